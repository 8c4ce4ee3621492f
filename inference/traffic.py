"""Traffic from key pictures alone: a vehicle that stands in a live lane.

No tracker is needed for what does not move: a *spot* is a box in which the same pixels stay, picture after
picture. A moving vehicle leaves its spot before the next key picture, another one that comes to the same place
looks different, and a slowly rolling one drifts out of its first box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from contracts.class_names import CLASS_NAMES
from contracts.detection import Detections
from contracts.instant import SECOND, Instant
from inference.config import TrafficConfig
from inference.picture import Bgr, Picture
from inference.postprocess import box_areas, iou
from inference.zones import ZoneShape, wheels

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
VEHICLES: Final = tuple(CLASS_NAMES.index(name) for name in ("motorcycle", "car", "bus", "truck"))
SPOTS_MAX: Final = 200
UNSEEN_MAX: Final = 10
"""Pictures in a row without a finding that a spot outlives: something stands in front, or it looks the same."""
_PATCH = (24, 24)
_FLAT_DEVIATION = 4.0
_COVERED_SHARE = 0.6
_SAME = 0.8
_BACKGROUND_PATIENCE = 15


@dataclass(slots=True)
class _Spot:
    """A place in a lane where a vehicle was seen. `box`: its first box, shares of the picture, float32 (4,)."""

    shape: ZoneShape
    box: F32
    patch: U8
    first_seen: Instant
    last_seen: Instant
    from_start: bool
    confidence: float
    """Mean over its pictures."""
    samples: int = 1
    sure: int = 1
    missed: int = 0
    """Pictures in a row in which it was gone."""
    unseen: int = 0
    """Pictures in a row in which it was hidden, or overlooked by the detector while its pixels stayed."""
    background: bool = False

    @property
    def stood_ns(self) -> int:
        """How long it has been standing."""
        return self.last_seen - self.first_seen


@dataclass(frozen=True, slots=True)
class StandingVehicles:
    """One zone of one picture: how long the longest standing vehicle stands there; `seconds` is 0 when `gone`.

    `boxes`: float32 (n, 4), pixels. `from_start`: it already stood in the first picture, so it may stand longer.
    """

    shape: ZoneShape
    seconds: float
    vehicles: int
    confidence: float
    samples: int
    span_ns: int
    boxes: F32
    from_start: bool = False
    gone: bool = False
    background: bool = False


class StoppedVehicles:
    """One camera's lanes, picture by picture, in order of event time.

    `background`: vehicles that were there from the first picture on become background after a while.
    """

    def __init__(self, config: TrafficConfig, lanes: Sequence[ZoneShape], *, background: bool = True) -> None:
        self._config = config
        self._background = background
        self._lanes = tuple(lanes)
        self._spots: list[_Spot] = []
        self._told: set[str] = set()
        self._pictures = 0

    @property
    def suspicious(self) -> bool:
        """A vehicle stays where it was, and is not background."""
        return any(spot.samples > 1 and not spot.background for spot in self._spots)

    def look(self, picture: Picture, found: Detections, sure: npt.NDArray[np.bool_]) -> list[StandingVehicles]:
        """What stands, and what no longer does. `sure`: findings that count; the others only keep a spot alive."""
        if not self._lanes:
            return []
        vehicles = np.isin(found.class_id, VEHICLES)
        found, sure = found[vehicles], sure[vehicles]
        shares = (found.xyxy / _sides(picture)).astype(np.float32)
        self._pictures += 1
        taken = self._renew_spots(picture, found, shares, sure)
        self._add_spots(picture, found, shares, sure & ~taken)
        return self._tell(picture)

    def _renew_spots(
        self, picture: Picture, found: Detections, shares: F32, sure: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.bool_]:
        taken = np.zeros(len(found), np.bool_)
        kept = []
        for spot in sorted(self._spots, key=lambda each: -each.samples):
            overlaps = iou(spot.box[None], shares)[0]
            overlaps[taken] = 0
            best = int(overlaps.argmax()) if len(overlaps) else -1
            if best >= 0 and overlaps[best] >= self._config.overlap_min:
                patch = _patch(picture.bgr, spot.box)
                if likeness(spot.patch, patch) >= self._config.likeness_min:
                    taken[best] = True
                    spot.sure += int(sure[best])
                    self._see(spot, patch, float(found.confidence[best]), picture.event_time)
                    kept.append(spot)
                # Else something else stands here now: this spot is over, the newcomer gets its own.
                continue
            if spot.unseen < UNSEEN_MAX and (_covered(spot.box, shares) or _unchanged(spot, picture.bgr)):
                spot.unseen += 1
            else:
                spot.missed += 1
            patience = _BACKGROUND_PATIENCE if spot.background else self._config.gone_samples
            if spot.missed < patience:
                kept.append(spot)
        self._spots = kept
        return taken

    def _see(self, spot: _Spot, patch: U8, confidence: float, at: Instant) -> None:
        spot.patch, spot.last_seen, spot.missed, spot.unseen = patch, at, 0, 0
        spot.samples += 1
        spot.confidence += (confidence - spot.confidence) / spot.samples
        if self._background and spot.from_start and spot.stood_ns >= round(self._config.background_s * SECOND):
            spot.background = True

    def _add_spots(self, picture: Picture, found: Detections, shares: F32, new: npt.NDArray[np.bool_]) -> None:
        points = wheels(found.xyxy)
        for lane in self._lanes:
            here = lane.holds(points, picture.width, picture.height) & new
            for index in np.flatnonzero(here):
                if len(self._spots) >= SPOTS_MAX:
                    return
                new[index] = False
                box = shares[index].copy()
                at = picture.event_time
                confidence = float(found.confidence[index])
                patch = _patch(picture.bgr, box)
                self._spots.append(_Spot(lane, box, patch, at, at, self._pictures == 1, confidence))

    def _tell(self, picture: Picture) -> list[StandingVehicles]:
        told = []
        for lane in self._lanes:
            standing = [spot for spot in self._spots if spot.shape is lane and self._stands(spot)]
            if any(_in_sight(spot) for spot in standing):
                told.append(_standing(lane, [spot for spot in standing if _in_sight(spot)], picture))
                self._told.add(lane.zone.id)
            elif not standing and lane.zone.id in self._told:
                self._told.discard(lane.zone.id)
                parked = any(spot.background for spot in self._spots if spot.shape is lane)
                none = np.empty((0, 4), np.float32)
                told.append(StandingVehicles(lane, 0.0, 0, 1.0, 1, 0, none, gone=True, background=parked))
        return told

    def _stands(self, spot: _Spot) -> bool:
        long_enough = spot.stood_ns >= round(self._config.claim_s * SECOND)
        # A shadow that is now and then taken for a car is none.
        sure_enough = spot.sure >= self._config.sure_share * spot.samples
        return long_enough and sure_enough and spot.samples >= self._config.samples_min and not spot.background


def likeness(before: U8, now: U8) -> float:
    """Correlation of two grey patches of one shape, -1..1; two flat ones of like brightness are alike."""
    a, b = before.astype(np.float64), now.astype(np.float64)
    if a.std() < _FLAT_DEVIATION or b.std() < _FLAT_DEVIATION:
        return 1.0 if abs(a.mean() - b.mean()) < 4 * _FLAT_DEVIATION else 0.0
    return float(((a - a.mean()) * (b - b.mean())).mean() / (a.std() * b.std()))


def _patch(bgr: Bgr, box: F32) -> U8:
    """The grey pixels of a box (shares of the picture), 24 x 24."""
    height, width = bgr.shape[:2]
    x1, y1 = min(int(box[0] * width), width - 2), min(int(box[1] * height), height - 2)
    x2, y2 = max(int(box[2] * width), x1 + 2), max(int(box[3] * height), y1 + 2)
    small = cv2.resize(bgr[y1:y2, x1:x2], _PATCH, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)


def _covered(box: F32, shares: F32) -> bool:
    """Whether one finding hides most of the box."""
    low, high = np.maximum(box[:2], shares[:, :2]), np.minimum(box[2:], shares[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    return bool((shared >= _COVERED_SHARE * box_areas(box[None])[0]).any())


def _in_sight(spot: _Spot) -> bool:
    """Found in the very last picture."""
    return spot.missed == 0 and spot.unseen == 0


def _unchanged(spot: _Spot, bgr: Bgr) -> bool:
    """Whether the spot looks as it did when the vehicle was last found: then the detector overlooked it."""
    return float(spot.patch.std()) >= _FLAT_DEVIATION and likeness(spot.patch, _patch(bgr, spot.box)) >= _SAME


def _sides(picture: Picture) -> F32:
    return np.array([picture.width, picture.height, picture.width, picture.height], np.float32)


def _standing(lane: ZoneShape, spots: list[_Spot], picture: Picture) -> StandingVehicles:
    longest = max(spots, key=lambda spot: spot.stood_ns)
    return StandingVehicles(
        shape=lane,
        seconds=longest.stood_ns / SECOND,
        vehicles=len(spots),
        confidence=longest.confidence,
        samples=longest.samples,
        span_ns=longest.stood_ns,
        boxes=np.stack([spot.box for spot in spots]) * _sides(picture),
        from_start=longest.from_start,
    )
