"""Aggregating platforms: where a camera's stream is to be had at this moment, and what cameras they hold."""
