"""Every parser of bytes from outside. A new one is added here, with a few real inputs in corpus/<name>/."""

from __future__ import annotations

from tests.fuzz.campaign import Target
from tests.fuzz.catalogue_targets import catalogue_targets
from tests.fuzz.sensor_targets import sensor_targets
from tests.fuzz.video_targets import video_targets


def all_targets() -> list[Target]:
    """All targets; make them inside a running event loop."""
    return [*video_targets(), *sensor_targets(), *catalogue_targets()]
