"""A road under a camera, with vehicles as boxes of true size: what a perfect detector would find there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contracts.class_names import CLASS_NAMES
from contracts.detection import Detections
from contracts.place import RoadClass, Zone, ZoneKind
from inference.config import FlowConfig
from inference.flow_watch import FlowWatch, LaneState
from inference.ground import Ground
from inference.picture import Picture
from inference.zones import ZoneShape
from sim.scenes.camera_view import CameraView
from tests.inference.pictures import at

WIDTH, HEIGHT = 1280, 720
VIEW = CameraView(7.0, np.deg2rad(18.0), 1200.0, WIDTH, HEIGHT)
SHARES = VIEW.image_to_ground @ np.diag([float(WIDTH), float(HEIGHT), 1.0])
GROUND = Ground.of(tuple(float(value) for value in SHARES.ravel()))
NEAR_M, FAR_M = 14.0, 55.0
LANE_M = ((-4.0, NEAR_M), (-4.0, FAR_M), (4.0, FAR_M), (4.0, NEAR_M))
CAR = CLASS_NAMES.index("car")
EMPTY = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
Seconds = float
Way = Callable[[Seconds], float]
"""Metres from the camera, by time."""


def shares(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Ground metres as shares of the picture."""
    flat = np.array([(x, y, 0.0) for x, y in points])
    return tuple((float(u) / WIDTH, float(v) / HEIGHT) for u, v in VIEW.project(flat))


def lane(road: RoadClass = RoadClass.ARTERIAL, *, outwards: bool | None = None) -> ZoneShape:
    """Both lanes of the road, 8 m wide and 41 m long; `outwards`: the way that vehicles go, None = not stated."""
    travel = None
    if outwards is not None:
        ends = shares([(0.0, NEAR_M), (0.0, FAR_M)])
        travel = (ends[0], ends[1]) if outwards else (ends[1], ends[0])
    return ZoneShape.of(Zone("lane", "lane", ZoneKind.LANE, shares(LANE_M), road=road, travel=travel))


@dataclass(frozen=True)
class Car:
    """A car 4.5 m long, 1.8 m wide and 1.5 m high. `way`: where its middle is; `x`: metres right of the camera."""

    way: Way
    x: float = 0.0

    def box(self, t_s: float) -> tuple[float, float, float, float] | None:
        y = self.way(t_s)
        if not 8.0 < y < 70.0:
            return None
        corners = [(self.x + dx, y + dy, z) for dx in (-0.9, 0.9) for dy in (-2.25, 2.25) for z in (0.0, 1.5)]
        px = VIEW.project(np.array(corners))
        low, high = px.min(axis=0), px.max(axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def steady(start_m: float, kmh: float) -> Way:
    """At one speed."""
    return lambda t_s: start_m + kmh / 3.6 * t_s


class Roadside:
    """A camera at the road, told what a perfect detector finds, a few pixels aside."""

    def __init__(
        self, *cars: Car, shape: ZoneShape | None = None, ground: Ground | None = GROUND, jitter_px: float = 1.0
    ) -> None:
        self.cars = list(cars)
        self.watch = FlowWatch(FlowConfig(), [shape or lane()], ground)
        self._rng = np.random.default_rng(4)
        self._jitter_px = jitter_px

    def sees(self, t_s: float) -> list[LaneState]:
        boxes = [box for car in self.cars if (box := car.box(t_s)) is not None]
        xyxy = np.array(boxes, np.float32).reshape(-1, 4)
        xyxy += self._rng.normal(0, self._jitter_px, xyxy.shape).astype(np.float32)
        count = len(boxes)
        found = Detections(xyxy, np.full(count, 0.9, np.float32), np.full(count, CAR, np.int16))
        moment = at(t_s)
        return self.watch.look(Picture("cam", EMPTY, moment, moment), found, np.ones(count, np.bool_))

    def burst(self, begin_s: float, seconds: float = 6.2, step_s: float = 0.12) -> list[LaneState]:
        """A burst of looks, and what it said."""
        said = []
        for moment in np.arange(begin_s, begin_s + seconds, step_s):
            said += self.sees(float(moment))
        return said


Boxes = npt.NDArray[np.float32]
