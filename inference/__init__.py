"""Sees: pulls the pictures worth it, decodes, detects, and turns findings into observations."""
