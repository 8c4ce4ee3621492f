"""The plumbing without county words: clock, channels, supervision, links, configuration, metrics, logs."""
