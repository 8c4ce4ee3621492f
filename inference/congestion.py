"""Congestion: the five grades of a road, from its mean speed over a signal cycle; without speed, from its queue.

The speeds are a table of practice (domain 2.7, [S]), not a standard. Where the ground is not measured there is no
speed and no grade by speed: a road that is full of slow vehicles in every burst of the cycle counts as moderately
congested [D], with its queue and occupancy beside it, else as free of congestion.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from contracts.instant import SECOND, Instant
from contracts.place import RoadClass
from inference.config import FlowConfig
from inference.flow import LaneFlow

FREE: Final = 1
LIGHT: Final = 3
MODERATE: Final = 4
SEVERE: Final = 5
BOUNDS_KMH: Final[Mapping[RoadClass, tuple[float, ...]]] = MappingProxyType(
    {
        RoadClass.EXPRESSWAY: (65.0, 50.0, 35.0, 20.0),
        RoadClass.ARTERIAL: (40.0, 30.0, 20.0, 15.0),
        RoadClass.SECONDARY: (35.0, 25.0, 15.0, 10.0),
    }
)
"""At or below the first bound grade 1 (畅通) ends, at or below the last grade 5 (严重拥堵) begins."""
BY_SPEED: Final = "speed"
BY_QUEUE: Final = "queue_occupancy"
BY_FEW: Final = "few_vehicles"
_VEHICLES_MIN: Final = 3
"""In a burst, on average: fewer are no congestion, however slow."""
_SLOW_SHARE: Final = 0.7


def grade_of(kmh: float, road: RoadClass) -> int:
    """Grade 1 (free) to 5 (severe) of a mean speed."""
    return FREE + sum(kmh <= bound for bound in BOUNDS_KMH[road])


@dataclass(frozen=True, slots=True)
class Congestion:
    """A lane over the last signal cycle.

    `kmh` None: the ground is not measured, or nothing moved there. `basis`: what the grade was told by (BY_SPEED,
    BY_QUEUE, BY_FEW). `flow_per_h`: vehicles an hour over the middle of the lane, None without a known direction.
    """

    grade: int
    basis: str
    kmh: float | None
    occupancy: float
    vehicles: int
    queue: int
    queue_m: float | None
    flow_per_h: float | None
    samples: int
    span_ns: int


@dataclass(frozen=True, slots=True)
class _Burst:
    at: Instant
    flow: LaneFlow
    occupancy: float


class CongestionBook:
    """What the bursts of one lane said over the last `cycle_s`."""

    def __init__(self, config: FlowConfig, road: RoadClass) -> None:
        self._config = config
        self._road = road
        self._bursts: deque[_Burst] = deque()
        self.told = FREE
        """The last grade."""

    def forget(self) -> None:
        """The camera was blind or away: what was before says nothing of now."""
        self._bursts.clear()

    def add(self, at: Instant, flow: LaneFlow, occupancy: float, *, directed: bool) -> Congestion:
        """Judge the lane after another burst. `occupancy` 0..1, `directed`: its direction is known."""
        self._bursts.append(_Burst(at, flow, occupancy))
        while at - self._bursts[0].at > round(self._config.cycle_s * SECOND):
            self._bursts.popleft()
        flows = [each.flow for each in self._bursts]
        time_s = sum(each.time_s for each in flows if each.distance_m is not None)
        distance = sum(each.distance_m for each in flows if each.distance_m is not None)
        kmh = distance / time_s * 3.6 if time_s > 0 else None
        covered = sum(each.occupancy for each in self._bursts) / len(self._bursts)
        if kmh is not None:
            grade, basis = grade_of(kmh, self._road), BY_SPEED
        else:
            grade, basis = (MODERATE if self._full() else FREE), BY_QUEUE
        if sum(each.vehicles for each in flows) < _VEHICLES_MIN * len(flows):
            # Two that stand are a breakdown, which is told as that.
            grade = min(grade, LIGHT)
        self.told = grade
        seconds = sum(each.seconds for each in flows)
        return Congestion(
            grade=grade,
            basis=basis,
            kmh=kmh,
            occupancy=covered,
            vehicles=flow.vehicles,
            queue=flow.queue,
            queue_m=flow.queue_m,
            flow_per_h=sum(each.crossed for each in flows) / seconds * 3600 if directed and seconds else None,
            samples=len(flows),
            span_ns=at - self._bursts[0].at,
        )

    def few(self, occupancy: float, vehicles: int) -> Congestion:
        """Key pictures show hardly a vehicle: whatever it was, it is no congestion any more."""
        self.forget()
        self.told = FREE
        return Congestion(FREE, BY_FEW, None, occupancy, vehicles, 0, None, None, 1, 0)

    def _full(self) -> bool:
        """Slow and full in every burst of the cycle, and in some at least: a queue at a red light goes on."""
        return len(self._bursts) >= self._config.bursts_min and all(
            each.occupancy >= self._config.full_share
            and each.flow.vehicles >= self._config.vehicles_min
            and each.flow.slow_s >= _SLOW_SHARE * each.flow.time_s
            for each in self._bursts
        )
