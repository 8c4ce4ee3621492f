"""Staged changes, encoded: what bench.activity_rank ranks."""
