"""One program per number; each prints what it measured and on what."""
