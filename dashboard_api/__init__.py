"""Shows: reads the database, turns requests into Commands, pushes changes to walls."""
