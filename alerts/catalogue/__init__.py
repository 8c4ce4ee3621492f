"""The catalogue: how entries come in from files and platforms, are checked, merged and kept at one version."""
