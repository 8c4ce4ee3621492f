"""Judging a model folder on labelled pictures: average precision, thresholds, people counted, one HTML report."""
