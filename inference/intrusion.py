"""Intrusion: people on foot in a live traffic lane, from key pictures alone.

Who rides is no intruder: a person's box that shares a third of itself, or of the bicycle or motorcycle, with one.
Animals are not seen by models that do not know them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
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
F64 = npt.NDArray[np.float64]
TWO_WHEELS: Final = tuple(CLASS_NAMES.index(name) for name in ("bicycle", "motorcycle"))
IN_VEHICLE: Final = tuple(CLASS_NAMES.index(name) for name in ("car", "bus", "truck"))
_RIDES_SHARE: Final = 0.3
_INSIDE_SHARE: Final = 0.7
_WALKS_PER_S: Final = 1.0
"""Heights of a body that a person on foot gets on in a second, at most: 1.7 m."""
_REACH: Final = 0.4
_MISSED_MAX: Final = 2
_WALKERS_MAX: Final = 64


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
class _Walker:
    """Somebody in a lane: where the feet were last, pixels, how tall the box was, and since when."""

    feet: F64
    height: float
    since: Instant
    last: Instant
    samples: int = 1
    missed: int = 0


@dataclass(slots=True)
class _Lane:
    shape: ZoneShape
    walkers: list[_Walker] = field(default_factory=list)
    told: bool = False
    said_at: Instant | None = None


class IntrusionWatch:
    """One camera's lanes, picture by picture, in order of event time.

    Whoever is in a lane in successive pictures must have got from one place to the other on foot: riders whose
    vehicle the model overlooks are too fast for that.
    """

    def __init__(self, config: IntrusionConfig, lanes: Sequence[ZoneShape]) -> None:
        self._config = config
        self._lanes = [_Lane(shape) for shape in lanes]
        self._last_at: Instant | None = None

    @property
    def suspicious(self) -> bool:
        """Somebody was in a lane in the last picture, and before."""
        return any(not walker.missed and walker.samples > 1 for lane in self._lanes for walker in lane.walkers)

    def look(self, picture: Picture, found: Detections) -> list[Intrusion]:
        """Who is where nobody should walk. `found`: confident findings only."""
        if not self._lanes:
            return []
        at, gap_ns = picture.event_time, round(self._config.gap_max_s * SECOND)
        if self._last_at is not None and not 0 < at - self._last_at <= gap_ns:
            for lane in self._lanes:
                lane.walkers.clear()
        self._last_at = at
        walking = found[on_foot(found)]
        points = feet(walking.xyxy)
        said = []
        for lane in self._lanes:
            inside = lane.shape.holds(points, picture.width, picture.height)
            here = walking[inside]
            self._follow(lane, points[inside], here.xyxy, at)
            told = self._tell(lane, here, at)
            if told is not None:
                said.append(told)
        return said

    def _follow(self, lane: _Lane, points: F64, xyxy: F32, at: Instant) -> None:
        free = set(range(len(points)))
        for walker in sorted(lane.walkers, key=lambda each: -each.samples):
            reach = walker.height * (_REACH + _WALKS_PER_S * (at - walker.last) / SECOND)
            apart = {index: float(np.hypot(*(points[index] - walker.feet))) for index in free}
            nearest = min(apart, key=apart.__getitem__, default=-1)
            if nearest < 0 or apart[nearest] > reach:
                walker.missed += 1
                continue
            free.discard(nearest)
            walker.feet, walker.last, walker.missed = points[nearest], at, 0
            walker.height = float(xyxy[nearest, 3] - xyxy[nearest, 1])
            walker.samples += 1
        # One picture without somebody may be the detector's; two are not.
        lane.walkers = [walker for walker in lane.walkers if walker.missed < _MISSED_MAX]
        for index in sorted(free):
            if len(lane.walkers) < _WALKERS_MAX:
                height = float(xyxy[index, 3] - xyxy[index, 1])
                lane.walkers.append(_Walker(points[index], height, at, at))

    def _tell(self, lane: _Lane, here: Detections, at: Instant) -> Intrusion | None:
        config = self._config
        long_ns = round(config.persist_s * SECOND)
        lasting = [
            walker
            for walker in lane.walkers
            if walker.samples >= config.samples_min and walker.last - walker.since >= long_ns
        ]
        if not lasting:
            if not lane.told:
                return None
            lane.told, lane.said_at = False, None
            return Intrusion(lane.shape, 0, 1.0, _MISSED_MAX, 0, np.empty((0, 4), np.float32), gone=True)
        now = [walker for walker in lasting if not walker.missed]
        if not now or (lane.said_at is not None and at - lane.said_at < round(config.repeat_s * SECOND)):
            return None
        lane.told, lane.said_at = True, at
        longest = max(now, key=lambda each: each.last - each.since)
        return Intrusion(
            lane.shape,
            len(here),
            float(here.confidence.max()),
            longest.samples,
            longest.last - longest.since,
            here.xyxy,
        )


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
