"""Shadow: a second model that looks at a share of the pictures beside the live one, without any effect.

Which pictures follows from camera and time alone, so that a picture analysed twice is compared twice or never.
When pictures wait for the live model nothing is compared (counted as shed): the shadow is the first to go under
load.
"""

from __future__ import annotations

import time
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import numpy as np

from contracts.class_names import CLASS_NAMES
from contracts.errors import GridwhistleError
from inference.postprocess import iou

if TYPE_CHECKING:
    from contracts.detection import Detections
    from inference.detector import Detector
    from inference.picture import Picture
    from runtime.metrics import StageCounters

SAME: Final = 0.5
"""Intersection over union from which two findings of one class are the same thing."""
_ALARMS: Final = ("fire", "smoke")
_SMOOTHING: Final = 0.05


class Shadow:
    """Compares, in the pixel thread. Counters and gauges `shadow_*` of the health report are its result."""

    def __init__(self, live: Detector, shadow: Detector, share: float, counters: StageCounters) -> None:
        self._live = live
        self._shadow = shadow
        self._below = round(share * 2**64)
        self._counters = counters
        self._ms = 0.0

    def chosen(self, picture: Picture) -> bool:
        """Whether this picture is among the share that is compared."""
        name = f"{picture.source_id}@{picture.event_time}".encode()
        return int.from_bytes(blake2b(name, digest_size=8).digest(), "big") < self._below

    def look(self, picture: Picture, found: Detections, *, behind: bool) -> None:
        """Compare, if the picture is chosen. `found`: the live model's; `behind`: pictures wait. Never raises."""
        if not self.chosen(picture):
            return
        if behind:
            self._counters.count("shadow_shed")
            return
        began = time.perf_counter_ns()
        try:
            other = self._shadow.detect([picture.bgr])[0]
        except GridwhistleError as error:
            self._counters.count("shadow_failed", error.reason)
            return
        took_ms = (time.perf_counter_ns() - began) / 1e6
        self._ms += (took_ms - self._ms) * (_SMOOTHING if self._ms else 1.0)
        self._counters.gauge("shadow_ms_per_picture", round(self._ms, 2))
        self._counters.count("shadow_pictures")
        self._compare(self._live.confident(found), self._shadow.confident(other))

    def _compare(self, ours: Detections, theirs: Detections) -> None:
        for class_id, name in enumerate(CLASS_NAMES):
            left = ours[ours.class_id == class_id]
            right = theirs[theirs.class_id == class_id]
            both = matches(left, right)
            for kind, count in (
                ("both", both),
                ("live_only", len(left) - both),
                ("shadow_only", len(right) - both),
            ):
                if count:
                    self._counters.count(f"shadow_{kind}", name, count)
            if name in _ALARMS and bool(len(left)) != bool(len(right)):
                self._counters.count("shadow_disagrees", name)


def matches(left: Detections, right: Detections) -> int:
    """How many findings are in both, each taken once, the likest pair first."""
    overlaps = iou(left.xyxy, right.xyxy)
    both = 0
    while overlaps.size and overlaps.max() >= SAME:
        row, column = np.unravel_index(int(overlaps.argmax()), overlaps.shape)
        overlaps[row, :] = overlaps[:, column] = 0
        both += 1
    return both
