"""A straight road: free flow, a queue that grows upstream, a vehicle that stops in its lane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.scenes.background import Backdrop, Road
from sim.scenes.camera_view import CameraView, zone_of
from sim.scenes.cast import Driven, Rider
from sim.scenes.lamps import Lamp
from sim.scenes.light import Colour, make_light, night_floor
from sim.scenes.stage import Setting
from sim.scenes.truth import ZoneShape

SEEN_M = 130.0
STOP_GAP_M = 2.2
QUEUE_LIMIT = 60
BRAKING_MPS2 = 3.0
Flow = tuple[tuple[Driven, ...], tuple[Rider, ...]]


@dataclass(frozen=True)
class RoadScene:
    """The road of a setting and where on it the zones lie (m along)."""

    road: Road
    near_m: float
    far_m: float


def road_setting(
    rng: np.random.Generator, night: bool, width: int, height: int, least_lanes: int = 1
) -> tuple[Setting, RoadScene]:
    """Camera beside or above a road (lanes each way: `least_lanes` to 3) with houses and trees along it."""
    light = make_light(rng, night)
    height_m = float(rng.uniform(5.5, 9.0))
    tilt = float(np.deg2rad(rng.uniform(15, 22)))
    view = CameraView(height_m, tilt, width * float(rng.uniform(0.85, 1.2)), width, height)
    lanes = max(int(rng.choice([1, 2, 2, 3])), least_lanes)
    side = float(rng.choice([-1, 1]))
    skew = float(np.deg2rad(rng.uniform(6, 22)))
    direction = np.pi / 2 + side * skew
    middle_y = height_m / float(np.tan(tilt)) * 0.9
    x_at_middle = float(rng.uniform(-1.5, 1.5))
    road = Road(x_at_middle, middle_y, float(direction), lanes, float(rng.uniform(3.3, 3.7)))
    stage = Backdrop(view, light, rng)
    stage.sky()
    stage.ground("pavers" if rng.random() < 0.5 else "concrete")
    walk = road.half_m + float(rng.uniform(3.0, 5.0))
    c, s = float(np.cos(road.direction_rad)), float(np.sin(road.direction_rad))
    left = -(stage.x - road.x) * s + (stage.y - road.y) * c
    if rng.random() < 0.6:
        stage.ground("grass" if rng.random() < 0.6 else "sand", (np.abs(left) > walk).astype(np.float64))
    stage.road(road)
    lamps = _furnish(rng, stage, road, walk, middle_y)
    near, far = _span(view, road)
    zones = tuple(_lane_zones(view, road, near, far))
    picture, shine = stage.finished()
    setting = Setting(view, light, picture, shine, tuple(lamps), view.ground_view(zones), night_floor(rng))
    return setting, RoadScene(road, near, far)


def _furnish(rng: np.random.Generator, stage: Backdrop, road: Road, walk: float, middle_y: float) -> list[Lamp]:
    for side in (1, -1):
        if rng.random() < 0.8:
            back, along = walk + float(rng.uniform(2, 12)), 150.0
            while along > -middle_y * 0.2:
                length = float(rng.uniform(12, 32))
                a, b = road.at(along, side * back), road.at(along - length, side * back)
                tall = float(rng.choice([4, 7, 10, 16, 20])) * float(rng.uniform(0.9, 1.1))
                stage.facade(a, b, tall)
                along -= length + float(rng.choice([0, 0, 3, 8]))
    lamps: list[Lamp] = []
    sodium = bool(rng.random() < 0.5)
    colour: Colour = (110, 190, 255) if sodium else (225, 240, 255)
    for i in range(5, -2, -1):
        for side in (1, -1):
            along = i * 24.0 + float(rng.uniform(-2, 2))
            if rng.random() < 0.7:
                x, y = road.at(along + 9, side * (walk - 1.0))
                stage.tree(x, y, float(rng.uniform(4, 7)))
            foot, head = road.at(along, side * (road.half_m + 0.7)), road.at(along, side * (road.half_m - 1.5))
            lamp = Lamp(*head, 8.0, float(rng.uniform(7, 10)), colour, float(rng.uniform(0.45, 0.65)))
            lamps.append(lamp)
            stage.lamp_post(lamp, foot)
    return lamps


def _span(view: CameraView, road: Road) -> tuple[float, float]:
    """Stretch of the road whose middle is well in the picture: m along, near end and far end."""
    steps = np.arange(-60.0, 60.0, 0.5)
    points = np.array([[*road.at(a, 0.0), 0.0] for a in steps])
    px = view.project(points)
    good = (points[:, 1] > 4) & (px[:, 0] > 30) & (px[:, 0] < view.width - 30) & (px[:, 1] < view.height - 15)
    good &= px[:, 1] > max(view.horizon_px, 0.0) + 35
    kept = steps[good]
    near = float(kept[0])
    return near, float(min(kept[-1], near + 45.0))


def _lane_zones(view: CameraView, road: Road, near: float, far: float) -> list[ZoneShape]:
    zones = []
    for i in range(road.lanes):
        for name, sign in (("in", 1), ("out", -1)):
            a, b = sign * i * road.lane_m, sign * (i + 1) * road.lane_m
            ground = np.array([road.at(near, a), road.at(far, a), road.at(far, b), road.at(near, b)])
            zone = zone_of(view, f"lane-{name}-{i + 1}", "lane", ground)
            if zone.area_m2 > 10 and len(zone.polygon) >= 3:
                zones.append(zone)
    return zones
