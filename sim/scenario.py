"""What happens in front of the live cameras: which camera plays which scene, and from when on.

Pure. The catalogue learns of a scene only what a survey of the camera would tell: zones, areas, homography.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import msgspec
import numpy as np
from shapely.geometry import Point, Polygon

from contracts.place import Zone, ZoneKind
from contracts.source import Camera, Catalogue, Sensor, SensorKind
from sim.config import SimConfig
from sim.county import County
from sim.scenes import GroundView, SceneKind, make_scene

WIDTH, HEIGHT = 640, 360
"""Size of all live pictures, px."""
QUIET_PICTURES_PER_S = 2.0
METRES_PER_DEGREE = 111_320.0
ZONE_NAMES = {
    ZoneKind.STANDING: "聚集区",
    ZoneKind.MOVING: "通行区",
    ZoneKind.LANE: "车道",
    ZoneKind.FIRE_LANE: "消防通道",
    ZoneKind.FIRE: "烟火监测区",
}
"""How the survey names zones for people."""
CREDENTIALS = "sim"
"""Entry of the secrets file that live cameras ask for when they want a login."""


@dataclass(frozen=True)
class Part:
    """One part of the default scenario. `after_s`: seconds behind the configured onset."""

    kind: SceneKind
    night: bool
    owner: str
    after_s: float = 0.0


TRAFFIC, CITY, SAFETY = "公安局交通管理大队", "城市管理综合执法局", "应急管理局"
CAST = (
    Part(SceneKind.SQUARE_FILLING, False, CITY),
    Part(SceneKind.VEHICLE_STOPPING, False, TRAFFIC, 5.0),
    Part(SceneKind.FIRE_STARTING, False, SAFETY, 10.0),
    Part(SceneKind.ROAD_SLOWING, False, TRAFFIC, 15.0),
    Part(SceneKind.SQUARE_FILLING, True, CITY, 30.0),
    Part(SceneKind.QUIET, False, CITY),
    Part(SceneKind.QUIET, True, TRAFFIC),
    Part(SceneKind.QUIET, False, SAFETY),
    Part(SceneKind.QUIET, True, CITY),
    Part(SceneKind.QUIET, False, TRAFFIC),
    Part(SceneKind.EMPTY, False, CITY),
    Part(SceneKind.EMPTY, True, SAFETY),
)
"""The default scenario; further live cameras repeat the quiet parts (and share their pictures)."""


class LivePart(msgspec.Struct, frozen=True, kw_only=True):
    """What one live camera plays. Cameras with the same `kind`, `seed` and `night` share one encoder."""

    camera_id: str
    kind: str
    """Name of a SceneKind."""
    seed: int
    night: bool
    onset_s: float
    pictures_per_s: float


def cast_live(county: County, config: SimConfig) -> tuple[LivePart, ...]:
    """Who plays what: `config.live_cameras` parts on cameras of fitting owners, each in a grid of its own."""
    cameras = _choose_cameras(county, config.live_cameras)
    quiet = [i for i, part in enumerate(CAST) if part.kind in (SceneKind.QUIET, SceneKind.EMPTY)]
    parts = []
    for i, camera in enumerate(cameras):
        role = i if i < len(CAST) else quiet[(i - len(CAST)) % len(quiet)]
        part = CAST[role]
        still = role in quiet
        rate = min(config.pictures_per_s, QUIET_PICTURES_PER_S) if still else config.pictures_per_s
        parts.append(
            LivePart(
                camera_id=camera.id,
                kind=part.kind.name,
                seed=config.seed + role,
                night=part.night,
                onset_s=config.onset_s + part.after_s,
                pictures_per_s=rate,
            )
        )
    return tuple(parts)


def part_scene(part: LivePart) -> tuple[SceneKind, int, bool]:
    """The key of the scene behind a part."""
    return SceneKind[part.kind], part.seed, part.night


def make_catalogue(county: County, config: SimConfig, parts: Sequence[LivePart]) -> Catalogue:
    """The catalogue of the county with its live cameras surveyed: URL, zones, homography.

    Cameras that play footage have a URL alone: nobody measured their ground.
    """
    polygons = {c.grid_code: c.polygon for c in county.communities}
    playing = {part.camera_id: part for part in parts}
    views: dict[tuple[SceneKind, int, bool], GroundView] = {}
    cameras = []
    for camera in county.cameras:
        part = playing.get(camera.id)
        if part is not None:
            camera = _live(camera, config)
            if not config.footage:
                key = part_scene(part)
                if key not in views:
                    views[key] = make_scene(*key[:2], night=key[2], width=WIDTH, height=HEIGHT).view
                camera = _surveyed(camera, views[key], polygons[camera.place.grid_code or ""])
        cameras.append(camera)
    return Catalogue(
        site=county.grids.site,
        county=county.grids.county,
        version=1,
        cameras=tuple(msgspec.structs.replace(c, exercise=config.exercise) for c in cameras),
        sensors=tuple(msgspec.structs.replace(s, exercise=config.exercise) for s in county.sensors),
    )


def alarming_sensor(county: County, parts: Sequence[LivePart]) -> Sensor:
    """The smoke detector of the default scenario: in a town, and in a grid without a live camera."""
    homes = {c.id: c.place.grid_code for c in county.cameras}
    busy = {homes[part.camera_id] for part in parts}
    for sensor in county.sensors:
        if sensor.kind is SensorKind.SMOKE and sensor.place.grid_code not in busy:
            return sensor
    raise ValueError("no smoke detector lies outside the grids of the live cameras; raise sensors_total")


def normalised_homography(view: GroundView, width: int, height: int) -> tuple[float, ...]:
    """The homography of a view for picture coordinates 0..1 instead of px, row by row."""
    matrix = np.array(view.homography).reshape(3, 3) @ np.diag([float(width), float(height), 1.0])
    return tuple(float(v) for v in matrix.ravel())


def _choose_cameras(county: County, wanted: int) -> list[Camera]:
    random = Random(f"{county.seed}/live")
    pool = [c for c in county.cameras if not c.secrecy]
    random.shuffle(pool)
    kinds = {c.grid_code: c.kind for c in county.communities}
    pool.sort(key=lambda c: kinds[c.place.grid_code or ""] == "苏木")
    chosen: list[Camera] = []
    used: set[str | None] = set()
    for i in range(wanted):
        owner = CAST[i].owner if i < len(CAST) else None
        fits = [c for c in pool if c.place.grid_code not in used and owner in (None, c.owner)]
        camera = fits[0] if fits else pool[0]
        pool.remove(camera)
        chosen.append(camera)
        used.add(camera.place.grid_code)
        if len(used) == len(county.communities):
            used.clear()
    return chosen


def _live(camera: Camera, config: SimConfig) -> Camera:
    return msgspec.structs.replace(
        camera,
        url=f"rtsp://{config.host}:{config.rtsp_port}/live/{camera.id}",
        credentials=CREDENTIALS if config.rtsp_user else None,
        key_interval_s=config.key_interval_s,
        # Every other one, so that both kinds of past are seen: kept in memory, and missing.
        keep_ring=int(camera.id[-6:]) % 2 == 0,
        live=True,
    )


def _surveyed(camera: Camera, view: GroundView, home: Polygon) -> Camera:
    matrix = np.array(view.homography).reshape(3, 3)
    fire_zone = f"fz-{camera.place.grid_code}-{camera.id[-6:]}"
    zones = []
    for number, shape in enumerate(view.zones, 1):
        lon, lat = _on_ground(camera, matrix, shape.polygon, home)
        zones.append(
            Zone(
                id=f"{camera.id}-{shape.name}",
                name=f"{ZONE_NAMES[ZoneKind(shape.kind)]}{number}",
                kind=ZoneKind(shape.kind),
                polygon=tuple((round(float(x) / WIDTH, 6), round(float(y) / HEIGHT, 6)) for x, y in shape.polygon),
                area_m2=round(float(shape.area_m2), 3),
                fire_zone=fire_zone,
                lon=lon,
                lat=lat,
            )
        )
    return msgspec.structs.replace(
        camera,
        place=msgspec.structs.replace(camera.place, fire_zone=fire_zone),
        zones=tuple(zones),
        homography=normalised_homography(view, WIDTH, HEIGHT),
    )


def _on_ground(
    camera: Camera,
    matrix: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    polygon: Sequence[tuple[float, float]],
    home: Polygon,
) -> tuple[float, float]:
    """Where a zone's middle lies: the camera looks north; its own place when that would leave the grid."""
    points = np.array([(x, y, 1.0) for x, y in polygon]) @ matrix.T
    east_m, north_m = (points[:, :2] / points[:, 2:]).mean(axis=0)
    here = camera.place
    lon = round(here.lon + float(east_m) / (METRES_PER_DEGREE * math.cos(math.radians(here.lat))), 6)
    lat = round(here.lat + float(north_m) / METRES_PER_DEGREE, 6)
    return (lon, lat) if home.contains(Point(lon, lat)) else (here.lon, here.lat)
