"""FlowWatch: the lanes of one camera. Key pictures say which are busy; bursts of looks measure how these move.

A busy lane asks for a burst (`wants`) every so many seconds. Pictures of a burst come several times a second; they
are told from others by the time between them alone. When the burst is over its tracks are measured and forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.detection import Detections
from contracts.instant import SECOND, Instant
from inference.config import FlowConfig
from inference.congestion import FREE, Congestion, CongestionBook
from inference.flow import Passage, goes_wrong, grid_weights, lane_grid, measure, occupancy, passage
from inference.ground import Ground
from inference.picture import Picture
from inference.tracker import Track, Tracker
from inference.traffic import VEHICLES
from inference.zones import ZoneShape, wheels

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
BURST_STEP_NS: Final = SECOND // 2
"""Pictures that follow one another within this belong to a burst."""
_BURST_MIN_S: Final = 2.0
_WISH_AGAIN_NS: Final = 4 * SECOND
_FEW_SAMPLES: Final = 2
_FEW_EVERY_NS: Final = 20 * SECOND
_FEW_FOR_NS: Final = 200 * SECOND
"""So long it is said that a lane is free again: alerts holds that for a while before it ends an incident."""
_WRONG_OVER_NS: Final = 10 * SECOND
_LEARNT_PASSAGES: Final = 30
_LEARNT_ONE_WAY: Final = 0.9
_LEARNT_SIZES: Final = 1.5


@dataclass(frozen=True, slots=True)
class LaneState:
    """What is said of a lane: its congestion, a vehicle that goes against it, or that none does any more."""

    shape: ZoneShape
    congestion: Congestion | None = None
    wrong: Passage | None = None
    right_again: bool = False


@dataclass(slots=True)
class _Lane:
    shape: ZoneShape
    book: CongestionBook
    grid: F64
    weights: F64
    told_free_at: Instant | None = None
    free_since: Instant | None = None
    few: int = 0
    wrong_at: Instant | None = None
    covered: list[float] = field(default_factory=list)
    """Occupancy in each picture of the burst."""
    heading: F64 = field(default_factory=lambda: np.zeros(2))
    """Sum of the directions, unit vectors in pixels, of what went through..."""
    headings: int = 0
    """...and of how many."""

    def travel(self, size: tuple[int, int]) -> F64 | None:
        """Its direction in the picture, pixels, of any length: stated, or learnt where all went one way."""
        stated = self.shape.zone.travel
        if stated is not None:
            return np.asarray((np.array(stated[1]) - stated[0]) * size, np.float64)
        if self.headings < _LEARNT_PASSAGES or np.hypot(*self.heading) < _LEARNT_ONE_WAY * self.headings:
            return None
        return self.heading

    def learn(self, passages: Sequence[Passage]) -> None:
        """Where vehicles go here."""
        for each in passages:
            if each.went >= _LEARNT_SIZES:
                self.heading += each.velocity / max(float(np.hypot(*each.velocity)), 1e-9)
                self.headings += 1


class FlowWatch:
    """One camera's lanes, picture by picture, in order of event time."""

    def __init__(self, config: FlowConfig, lanes: Sequence[ZoneShape], ground: Ground | None) -> None:
        self._config = config
        self._ground = ground
        self._lanes = []
        for shape in lanes:
            grid = lane_grid(shape)
            book = CongestionBook(config, shape.zone.road)
            self._lanes.append(_Lane(shape, book, grid, grid_weights(grid, ground)))
        self._tracker = Tracker()
        self._size = (1, 1)
        self._began: Instant | None = None
        self._last: Instant | None = None
        self._measured: Instant | None = None
        self._wished: Instant | None = None
        self._busy = False

    @property
    def wants(self) -> bool:
        """Whether a burst is wanted now: a lane is busy, and was not measured for a while. True once per wish."""
        if not self._lanes or not self._busy or not self._config.at_once or self._last is None:
            return False
        if self._began is not None and self._last - self._began > BURST_STEP_NS:
            return False
        if self._measured is not None and self._last - self._measured < round(self._config.every_s * SECOND):
            return False
        if self._wished is not None and 0 <= self._last - self._wished < _WISH_AGAIN_NS:
            return False
        self._wished = self._last
        return True

    def look(self, picture: Picture, found: Detections, sure: npt.NDArray[np.bool_]) -> list[LaneState]:
        """Take a picture; what there is to say of the lanes. `sure`: findings that count."""
        if not self._lanes:
            return []
        at, step = picture.event_time, None if self._last is None else picture.event_time - self._last
        vehicles = np.isin(found.class_id, VEHICLES)
        found, sure = found[vehicles], sure[vehicles]
        said: list[LaneState] = []
        alone = step is None or not 0 < step <= BURST_STEP_NS or (picture.width, picture.height) != self._size
        if alone:
            said = self._finish()
            self._began, self._size = at, (picture.width, picture.height)
        self._last = at
        self._tracker.look(at, found.xyxy, found.class_id, sure)
        said += self._traffic_of(at, found[sure], alone)
        if self._began is not None and at - self._began >= round(self._config.burst_s * SECOND):
            said += self._finish()
            self._began = at
        return said

    def blind(self) -> list[ZoneShape]:
        """Nothing can be seen: what was is forgotten. Lanes whose congestion, said before, is unknown now."""
        unknown = [lane.shape for lane in self._lanes if lane.book.told > FREE]
        for lane in self._lanes:
            lane.book.forget()
            lane.covered.clear()
            lane.book.told = FREE
        self._tracker, self._began, self._busy = Tracker(), None, False
        return unknown

    def _traffic_of(self, at: Instant, vehicles: Detections, alone: bool) -> list[LaneState]:
        """What one picture tells: who is busy and, where it stands `alone`, who is free again."""
        said = []
        self._busy = False
        points = wheels(vehicles.xyxy)
        for lane in self._lanes:
            covered = occupancy(lane.grid, lane.weights, vehicles.xyxy, self._size)
            inside = int(lane.shape.holds(points, *self._size).sum())
            lane.covered.append(covered)
            busy = covered >= self._config.busy_share or inside >= self._config.vehicles_min
            self._busy = self._busy or busy
            lane.few = 0 if busy else lane.few + alone
            if alone and lane.wrong_at is not None and not 0 <= at - lane.wrong_at < _WRONG_OVER_NS:
                lane.wrong_at = None
                said.append(LaneState(lane.shape, right_again=True))
            if busy:
                lane.free_since = None
            elif alone and lane.few >= _FEW_SAMPLES and self._tells_free(lane, at):
                said.append(LaneState(lane.shape, lane.book.few(covered, inside)))
        return said

    def _tells_free(self, lane: _Lane, at: Instant) -> bool:
        """Whether it is news that hardly a vehicle is there: congestion was said, and not long ago taken back."""
        if lane.book.told > FREE:
            lane.free_since = at
        else:
            over = lane.free_since is None or at - lane.free_since > _FEW_FOR_NS
            if over or (lane.told_free_at is not None and 0 <= at - lane.told_free_at < _FEW_EVERY_NS):
                return False
        lane.told_free_at = at
        return True

    def _finish(self) -> list[LaneState]:
        """The burst is over, if it was one: measure its tracks and begin with none."""
        began, last, lanes = self._began, self._last, self._lanes
        tracks = [*self._tracker.ended, *self._tracker.tracks]
        self._tracker = Tracker()
        covered = [lane.covered for lane in lanes]
        for lane in lanes:
            lane.covered = []
        if began is None or last is None or last - began < round(_BURST_MIN_S * SECOND):
            return []
        self._measured = last
        said: list[LaneState] = []
        for lane, shares in zip(lanes, covered, strict=True):
            said += self._measure(lane, tracks, (last - began) / SECOND, last, float(np.mean(shares or [0.0])))
        return said

    def _measure(
        self, lane: _Lane, tracks: Sequence[Track], seconds: float, at: Instant, covered: float
    ) -> list[LaneState]:
        here = [
            each for track in tracks if (each := passage(track, lane.shape, self._ground, self._size)) is not None
        ]
        travel = lane.travel(self._size)
        flow = measure(here, lane.shape, travel, self._size, seconds)
        said = [LaneState(lane.shape, lane.book.add(at, flow, covered, directed=travel is not None))]
        if travel is not None:
            travel_m = self._travel_m(lane.shape, travel)
            wrong = [each for each in here if goes_wrong(each, travel, travel_m)]
            if wrong:
                lane.wrong_at = at
                said.append(LaneState(lane.shape, wrong=max(wrong, key=lambda each: each.seconds)))
        lane.learn(here)
        return said

    def _travel_m(self, shape: ZoneShape, travel: F64) -> F64 | None:
        """The lane's direction on the ground, at its middle."""
        if self._ground is None:
            return None
        middle = shape.polygon.mean(axis=0)
        step = travel / self._size
        ends = self._ground.to_ground(np.stack((middle, middle + 0.02 * step / max(float(np.hypot(*step)), 1e-9))))
        return np.asarray(ends[1] - ends[0]) if np.isfinite(ends).all() else None
