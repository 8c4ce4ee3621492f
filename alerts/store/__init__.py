"""Journal, snapshot, tables and lease: one transaction per step."""
