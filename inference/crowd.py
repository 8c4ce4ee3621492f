"""Crowd: people per zone with an error, and density where the ground is measured.

The count is the number of confident findings. Its error is one standard error of a stated model: each finding,
also one too weak to count, is a person with the probability that the detector gives it (Poisson binomial), and
people whom the detector cannot see at all move the count by `recall_error` of itself:

    error^2 = sum p (1 - p) + (sum p - count)^2 + (recall_error * count)^2
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contracts.class_names import CLASS_NAMES
from contracts.detection import Detections
from contracts.instant import SECOND, Instant
from contracts.place import ZoneKind
from inference.config import CrowdConfig
from inference.zones import ZoneShape, feet

PERSON = CLASS_NAMES.index("person")
CROWD_KINDS = frozenset({ZoneKind.STANDING, ZoneKind.MOVING})


@dataclass(frozen=True, slots=True)
class CrowdCount:
    """People in one zone of one picture. `density` in 1/m2, None unless the zone's area is measured.

    `counted`: the boxes that were counted.
    """

    shape: ZoneShape
    count: int
    error: float
    density: float | None
    confidence: float
    counted: Detections


def count_people(
    shape: ZoneShape, found: Detections, confident: float, size: tuple[int, int], recall_error: float
) -> CrowdCount:
    """Count the persons of `found` (down to the detector's floor) that stand in the zone.

    `confident`: from this confidence a person counts; `size`: width and height of the picture in pixels.
    """
    persons = found[found.class_id == PERSON]
    persons = persons[shape.holds(feet(persons.xyxy), *size)]
    sure = persons[persons.confidence >= confident]
    count = len(sure)
    p = persons.confidence.astype(np.float64)
    variance = float((p * (1 - p)).sum()) + float(p.sum() - count) ** 2 + (recall_error * count) ** 2
    area = shape.zone.area_m2
    density = count / area if area else None
    weak = float(p.max()) if len(p) else 0.0
    confidence = float(sure.confidence.mean()) if count else 1.0 - weak
    return CrowdCount(shape, count, variance**0.5, density, confidence, sure)


class CrowdTalk:
    """Which counts of one zone are worth a sample: any that is not zero, changes, and a zero now and then."""

    def __init__(self, config: CrowdConfig) -> None:
        self._repeat_ns = round(config.repeat_s * SECOND)
        self._said: int | None = None
        self._said_at = Instant(0)

    def worth(self, count: int, at: Instant) -> bool:
        """Whether to say this count; remembers what was said."""
        if count == 0 and self._said == 0 and 0 <= at - self._said_at < self._repeat_ns:
            return False
        self._said, self._said_at = count, at
        return True

    def unknown(self) -> None:
        """The count was said to be unknown: the next one is news whatever it is."""
        self._said = None
