"""Intrusion: people on foot in a live traffic lane, from key pictures alone.

Who rides is no intruder: a person's box that shares a third of itself, or of the bicycle or motorcycle, with one.
Animals are not seen by models that do not know them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.class_names import CLASS_NAMES
from contracts.detection import Detections
from contracts.instant import SECOND, Instant
from inference.config import IntrusionConfig
from inference.crowd import PERSON
from inference.picture import Picture
from inference.postprocess import box_areas
from inference.zones import ZoneShape, feet

F32 = npt.NDArray[np.float32]
TWO_WHEELS: Final = tuple(CLASS_NAMES.index(name) for name in ("bicycle", "motorcycle"))
IN_VEHICLE: Final = tuple(CLASS_NAMES.index(name) for name in ("car", "bus", "truck"))
_RIDES_SHARE: Final = 0.3
_INSIDE_SHARE: Final = 0.7


@dataclass(frozen=True, slots=True)
class Intrusion:
    """People in one lane of one picture; `gone`: none any more. `boxes`: float32 (n, 4), pixels."""

    shape: ZoneShape
    people: int
    confidence: float
    samples: int
    span_ns: int
    boxes: F32
    gone: bool = False


@dataclass(slots=True)
class _Lane:
    shape: ZoneShape
    since: Instant | None = None
    samples: int = 0
    missed: int = 0
    said_at: Instant | None = None


class IntrusionWatch:
    """One camera's lanes, picture by picture, in order of event time."""

    def __init__(self, config: IntrusionConfig, lanes: Sequence[ZoneShape]) -> None:
        self._config = config
        self._lanes = [_Lane(shape) for shape in lanes]
        self._last_at: Instant | None = None

    @property
    def suspicious(self) -> bool:
        """Somebody was in a lane in the last picture."""
        return any(lane.since is not None and not lane.missed for lane in self._lanes)

    def look(self, picture: Picture, found: Detections) -> list[Intrusion]:
        """Who is where nobody should walk. `found`: confident findings only."""
        if not self._lanes:
            return []
        at, gap_ns = picture.event_time, round(self._config.gap_max_s * SECOND)
        if self._last_at is not None and not 0 < at - self._last_at <= gap_ns:
            for lane in self._lanes:
                lane.since = None
        self._last_at = at
        walking = found[on_foot(found)]
        points = feet(walking.xyxy)
        said = []
        for lane in self._lanes:
            here = walking[lane.shape.holds(points, picture.width, picture.height)]
            told = self._see(lane, here, at) if len(here) else self._miss(lane)
            if told is not None:
                said.append(told)
        return said

    def _see(self, lane: _Lane, here: Detections, at: Instant) -> Intrusion | None:
        if lane.since is None:
            lane.since, lane.samples = at, 0
        lane.samples, lane.missed = lane.samples + 1, 0
        span_ns = at - lane.since
        if lane.samples < self._config.samples_min or span_ns < round(self._config.persist_s * SECOND):
            return None
        if lane.said_at is not None and at - lane.said_at < round(self._config.repeat_s * SECOND):
            return None
        lane.said_at = at
        confidence = float(here.confidence.max())
        return Intrusion(lane.shape, len(here), confidence, lane.samples, span_ns, here.xyxy)

    def _miss(self, lane: _Lane) -> Intrusion | None:
        """One picture without anybody may be the detector's; two are not."""
        lane.missed += 1
        if lane.missed < 2:
            return None
        lane.since = None
        if lane.said_at is None:
            return None
        lane.said_at = None
        return Intrusion(lane.shape, 0, 1.0, lane.missed, 0, np.empty((0, 4), np.float32), gone=True)


def on_foot(found: Detections) -> npt.NDArray[np.bool_]:
    """Which findings are people who walk or stand: not on two wheels, and not behind a windscreen."""
    walks = found.class_id == PERSON
    people = found.xyxy[walks]
    wheeled = found.xyxy[np.isin(found.class_id, TWO_WHEELS)]
    cabins = found.xyxy[np.isin(found.class_id, IN_VEHICLE)]
    rides = _shared(people, wheeled) >= _RIDES_SHARE * np.minimum(
        box_areas(people)[:, None], box_areas(wheeled)[None]
    )
    sits = _shared(people, cabins) >= _INSIDE_SHARE * box_areas(people)[:, None]
    out = walks.copy()
    out[walks] = ~(rides.any(axis=1) | sits.any(axis=1))
    return np.asarray(out)


def _shared(left: F32, right: F32) -> F32:
    low = np.maximum(left[:, None, :2], right[None, :, :2])
    high = np.minimum(left[:, None, 2:], right[None, :, 2:])
    return np.asarray(np.prod(np.clip(high - low, 0, None), axis=2), np.float32)
