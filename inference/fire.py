"""Fire: flame and smoke seen in n of m pictures, over some seconds, and changing.

A flame flickers and a plume drifts: between two pictures the pixels inside their box change more than those
around it. A lamp, a red sign or a cloud bank over the ridge does not, however sure the detector is; it is a
steady light and stays unsaid. Nothing here ever takes a fire back: only a person or a sensor's reset does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from contracts.class_names import CLASS_NAMES
from contracts.detection import Detections
from contracts.instant import SECOND, Instant
from contracts.observation import IncidentType
from inference.config import FireConfig
from inference.picture import Bgr, Picture
from inference.postprocess import iou
from inference.steady_lights import SteadyLights
from inference.zones import ZoneShape, centres

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
KINDS: Final = {
    CLASS_NAMES.index("fire"): IncidentType.FLAME_SUSPECTED,
    CLASS_NAMES.index("smoke"): IncidentType.SMOKE_SUSPECTED,
}
CANDIDATES_MAX: Final = 16
_GREY_WIDTH = 320
_LINK_OVERLAP = 0.05
_CHANGES_MIN = 2
_DOUBTFUL_SEEN = 2


@dataclass(frozen=True, slots=True)
class _Sample:
    """One picture of a candidate's window; `box` in shares, None where it was not seen.

    `change`: how much more its pixels changed than the rest of the picture, 0..255; None for the first sight.
    """

    at: Instant
    box: F32 | None = None
    sure: bool = False
    confidence: float = 0.0
    change: float | None = None


@dataclass(slots=True)
class _Candidate:
    """Something that may burn at one place of one camera."""

    class_id: int
    shape: ZoneShape | None
    box: F32
    window: deque[_Sample] = field(default_factory=deque)
    said_at: Instant | None = None

    @property
    def seen(self) -> int:
        """In how many pictures of the window."""
        return sum(sample.box is not None for sample in self.window)


@dataclass(frozen=True, slots=True)
class FireClaim:
    """Flame or smoke that is believed. `box`: float32 (4,), pixels. `shape`: the fire zone, None = whole picture.

    `change`: mean extra change of its pixels, `growth`: largest over smallest area in the window.
    """

    type: IncidentType
    class_id: int
    shape: ZoneShape | None
    confidence: float
    samples: int
    span_ns: int
    box: F32
    change: float
    growth: float


class FireWatch:
    """One camera's candidates, picture by picture, in order of event time."""

    def __init__(self, config: FireConfig, fire_zones: Sequence[ZoneShape]) -> None:
        self._config = config
        self._zones = tuple(fire_zones)
        self._candidates: list[_Candidate] = []
        self._grey: U8 | None = None
        self._last_at: Instant | None = None
        self._lights = SteadyLights()
        self.steady = 0
        """Times that something was seen long enough but did not change, so that it stayed unsaid."""

    @property
    def suspicious(self) -> bool:
        """A candidate was surely seen in the last picture, and is no light that was learnt to be steady."""
        return any(each.window[-1].sure and not self._is_light(each) for each in self._candidates)

    @property
    def doubtful(self) -> bool:
        """A candidate was seen in the last picture and before, though perhaps never surely."""
        return any(
            each.window[-1].box is not None and each.seen >= _DOUBTFUL_SEEN and not self._is_light(each)
            for each in self._candidates
        )

    def strange(self, picture: Picture, found: Detections) -> bool:
        """Whether any of these findings is of flame or smoke, and at no learnt light."""
        shares = (found.xyxy / _sides(picture)).astype(np.float32)
        return any(
            not self._lights.known(int(found.class_id[index]), shares[index])
            for index in np.flatnonzero(np.isin(found.class_id, list(KINDS)))
        )

    @property
    def lights(self) -> int:
        """Steady lights that were learnt."""
        return len(self._lights)

    def look(
        self, picture: Picture, found: Detections, sure: npt.NDArray[np.bool_] | None = None
    ) -> list[FireClaim]:
        """What burns by now, each place at most every `repeat_s`.

        `found`: findings from `weak_share` of their thresholds on; `sure`: which of them count by themselves, None
        for all. A fire is seen weakly in most pictures and surely in some.
        """
        if sure is None:
            sure = np.ones(len(found), np.bool_)
        at = picture.event_time
        if self._last_at is not None and not 0 < at - self._last_at <= round(self._config.gap_max_s * SECOND):
            self._candidates.clear()
        self._last_at = at
        burning = np.isin(found.class_id, list(KINDS))
        found, sure = found[burning], sure[burning]
        if not len(found) and not self._candidates:
            self._grey = None
            return []
        grey = _grey(picture.bgr)
        before = self._grey if self._grey is not None and self._grey.shape == grey.shape else None
        changed = np.asarray(cv2.absdiff(grey, before), np.uint8) if before is not None else None
        self._grey = grey
        shares = (found.xyxy / _sides(picture)).astype(np.float32)
        free = self._renew(found, sure, shares, changed, at)
        self._add(picture, found, sure, shares, free)
        self._candidates = [each for each in self._candidates if any(s.box is not None for s in each.window)]
        return [claim for each in self._candidates if (claim := self._claim(each, picture)) is not None]

    def _is_light(self, each: _Candidate) -> bool:
        return self._lights.known(each.class_id, each.box)

    def _renew(
        self,
        found: Detections,
        sure: npt.NDArray[np.bool_],
        shares: F32,
        changed: U8 | None,
        at: Instant,
    ) -> npt.NDArray[np.bool_]:
        """Give each candidate its finding of this picture; the findings that nobody took are free."""
        free = np.ones(len(found), np.bool_)
        for each in self._candidates:
            near = free & (found.class_id == each.class_id) & _near(each.box, shares)
            sample = _Sample(at)
            if near.any():
                index = int(np.flatnonzero(near)[found.confidence[near].argmax()])
                # Further boxes at the same place are parts of the same fire.
                free &= ~near
                change = None if changed is None else _extra_change(changed, each.box, shares[index])
                sample = _Sample(
                    at, shares[index].copy(), bool(sure[index]), float(found.confidence[index]), change
                )
                each.box = shares[index].copy()
            each.window.append(sample)
            while len(each.window) > self._config.window:
                each.window.popleft()
        return free

    def _add(
        self,
        picture: Picture,
        found: Detections,
        sure: npt.NDArray[np.bool_],
        shares: F32,
        free: npt.NDArray[np.bool_],
    ) -> None:
        points = centres(found.xyxy)
        zone_of: list[ZoneShape | None] = [None] * len(found)
        for zone in self._zones:
            for index in np.flatnonzero(zone.holds(points, picture.width, picture.height)):
                zone_of[index] = zone
        for index in np.flatnonzero(free):
            outside = bool(self._zones) and zone_of[index] is None
            if outside or not free[index] or len(self._candidates) >= CANDIDATES_MAX:
                continue
            box, class_id = shares[index].copy(), int(found.class_id[index])
            free &= ~(_near(box, shares) & (found.class_id == class_id))
            sample = _Sample(picture.event_time, box, bool(sure[index]), float(found.confidence[index]))
            self._candidates.append(_Candidate(class_id, zone_of[index], box, deque([sample])))

    def _claim(self, each: _Candidate, picture: Picture) -> FireClaim | None:
        config, at = self._config, picture.event_time
        seen = [sample for sample in each.window if sample.box is not None]
        if each.window[-1].box is None or len(seen) < config.seen_min:
            return None
        if sum(sample.sure for sample in seen) < config.sure_min:
            return None
        span_ns = seen[-1].at - seen[0].at
        if span_ns < round(config.persist_s * SECOND):
            return None
        change, growth, changing = self._changes(each.class_id, seen)
        if not changing:
            self.steady += 1
            self._lights.steady(each.class_id, each.box.copy(), at)
            return None
        self._lights.changes(each.class_id, each.box)
        if each.said_at is not None and at - each.said_at < round(config.repeat_s * SECOND):
            return None
        each.said_at = at
        return FireClaim(
            type=KINDS[each.class_id],
            class_id=each.class_id,
            shape=each.shape,
            confidence=sum(sample.confidence for sample in seen) / len(seen),
            samples=len(seen),
            span_ns=span_ns,
            box=each.box * _sides(picture),
            change=change,
            growth=growth,
        )

    def _changes(self, class_id: int, seen: list[_Sample]) -> tuple[float, float, bool]:
        """Mean extra change, growth, and whether that is a fire's way: it flickers, or grows while it changes."""
        flame = KINDS[class_id] is IncidentType.FLAME_SUSPECTED
        limit = self._config.flicker_flame if flame else self._config.flicker_smoke
        changes = [sample.change for sample in seen if sample.change is not None]
        areas = [_area(sample.box) for sample in seen if sample.box is not None]
        mean = sum(changes) / len(changes) if changes else 0.0
        growth = max(areas) / max(min(areas), 1e-9)
        flickers = sum(change >= limit for change in changes) >= _CHANGES_MIN
        # Boxes of a steady lamp jitter, too: growth alone proves nothing.
        grows = growth >= self._config.growth_min and mean >= limit / 2
        return mean, growth, flickers or grows


def seen_twice(found: Detections, again: Detections) -> Detections:
    """Findings of flame and smoke after a second look at a larger size: each with the mean of both confidences.

    One that the second look does not see at its place keeps half of its own; a lamp that looks like a flame when
    it is small rarely does when it is larger.
    """
    confidence = found.confidence.copy()
    for class_id in KINDS:
        mine, theirs = np.flatnonzero(found.class_id == class_id), np.flatnonzero(again.class_id == class_id)
        for index in mine:
            near = _near(found.xyxy[index], again.xyxy[theirs])
            best = float(again.confidence[theirs][near].max(initial=0.0))
            confidence[index] = (confidence[index] + best) / 2
    return Detections(found.xyxy, confidence, found.class_id)


def _grey(bgr: Bgr) -> U8:
    """A grey picture 320 pixels wide."""
    height, width = bgr.shape[:2]
    size = (_GREY_WIDTH, max(2, round(height * _GREY_WIDTH / width)))
    small = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)


def _extra_change(changed: U8, before: F32, now: F32) -> float:
    """Mean change inside both boxes together, less the median change of the whole picture (light, shake)."""
    height, width = changed.shape[:2]
    low, high = np.minimum(before[:2], now[:2]), np.maximum(before[2:], now[2:])
    x1, y1 = min(int(low[0] * width), width - 1), min(int(low[1] * height), height - 1)
    x2, y2 = max(int(np.ceil(high[0] * width)), x1 + 1), max(int(np.ceil(high[1] * height)), y1 + 1)
    return max(0.0, float(changed[y1:y2, x1:x2].mean()) - float(np.median(changed)))


def _near(box: F32, shares: F32) -> npt.NDArray[np.bool_]:
    """Boxes that overlap `box` or whose middle is nearer than three quarters of the larger box's side."""
    overlap = iou(box[None], shares)[0] >= _LINK_OVERLAP
    middle = (shares[:, :2] + shares[:, 2:]) / 2 - (box[:2] + box[2:]) / 2
    reach = 0.75 * np.maximum(shares[:, 2:] - shares[:, :2], box[2:] - box[:2])
    return np.asarray(overlap | (np.abs(middle) <= reach).all(axis=1))


def _area(box: F32) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _sides(picture: Picture) -> F32:
    return np.array([picture.width, picture.height, picture.width, picture.height], np.float32)
