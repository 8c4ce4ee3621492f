"""The simulated county: a part of the product, for trying out, drills (演练), tests and benchmarks.

It imports what it likes and nothing but the command line imports it. It meets the pipeline only through
RTSP, MQTT and the catalogue: the truth it knows never travels with a picture or a message.
"""
