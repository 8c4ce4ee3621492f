"""Believes and acts: the one writer of incidents and tickets."""
