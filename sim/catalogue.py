"""Cameras, sensors, fire zones and recorders of the simulated county. Pure, from a seeded source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING

from shapely.geometry import Point, Polygon

from contracts.place import Place
from contracts.source import Camera, Sensor, SensorKind, SystemKind
from sim.names import VENUES

if TYPE_CHECKING:
    from sim.county import Community

OWNERS = (
    ("应急管理局", "02", "6", 0.10),
    ("城市管理综合执法局", "08", "6", 0.27),
    ("公安局交通管理大队", "04", "0", 0.30),
    ("市场监督管理局", "01", "6", 0.11),
    ("教育体育局", "11", "2", 0.14),
    ("生态环境局", "09", "2", 0.08),
)
"""Owner, industry digits and network digit of the GB/T 28181 id, share of the cameras. Six fields share their
cameras: 安全生产, 城管, 交管, 市场监管, 教育医疗, 生态."""

SENSOR_SPECS: dict[SensorKind, tuple[str, float, float, float, str]] = {
    SensorKind.SMOKE: ("", 0.0, 1.0, 0.44, "感烟探测器"),
    SensorKind.HEAT: ("Cel", -40.0, 300.0, 0.14, "感温探测器"),
    SensorKind.GAS_LEL: ("%LEL", 0.0, 100.0, 0.12, "可燃气体探测器"),
    SensorKind.CO: ("ppm", 0.0, 2000.0, 0.10, "一氧化碳探测器"),
    SensorKind.WATER_LEVEL: ("m", 0.0, 10.0, 0.04, "积水水位计"),
    SensorKind.CALL_POINT: ("", 0.0, 1.0, 0.08, "手动火灾报警按钮"),
    SensorKind.ELECTRICAL: ("mA", 0.0, 5000.0, 0.08, "电气火灾监控探测器"),
}
"""Unit, smallest and largest possible value, share, name."""

_RECORDER_CAMERAS = 48
_WEIGHT = {"街道": 3.0, "镇": 1.0, "苏木": 0.4}
_NEAR_DEG = {"街道": 0.003, "镇": 0.008, "苏木": 0.02}
_SECRET_CAMERAS = 3
_SPOTS = ("路口", "广场", "东门", "西门", "出入口", "停车场", "后院", "主街", "库房", "校门", "河道", "集市")


def make_cameras(random: Random, communities: Sequence[Community], total: int) -> tuple[Camera, ...]:
    """`total` cameras inside their grids, each behind the recorder (NVR) of its owner and street.

    Three have Secrecy=1, so that a site can see that they are never opened.
    """
    county = communities[0].grid_code[:6]
    recorders: dict[tuple[str, str], list[int]] = {}
    recorder_serial = 0
    secret = set(random.sample(range(total // 2, total), _SECRET_CAMERAS))
    cameras: list[Camera] = []
    for serial, home in enumerate(_spread(random, communities, total), start=1):
        owner, industry, network, _ = _pick_owner(random)
        load = recorders.setdefault((owner, home.grid_code[:9]), [0, 0])
        if load[1] % _RECORDER_CAMERAS == 0:
            recorder_serial += 1
            load[0] = recorder_serial
        load[1] += 1
        lon, lat = point_near(random, home.polygon, home.centre, _NEAR_DEG[home.kind])
        cameras.append(
            Camera(
                id=f"{county}00{industry}132{network}{serial:06d}",
                name=f"{home.name}{random.choice(_SPOTS)}{serial:04d}",
                place=Place(lon, lat, home.grid_code, name=home.name),
                owner=owner,
                platform=f"{county}00{industry}118{network}{load[0]:06d}",
                secrecy=serial - 1 in secret,
                system_kind=SystemKind.ART7_GOVERNMENT if network != "2" else SystemKind.ART7_OPERATOR,
            )
        )
    return tuple(cameras)


def make_sensors(
    random: Random, communities: Sequence[Community], total: int, period_s: float
) -> tuple[Sensor, ...]:
    """`total` sensors in fire zones (venues of a grid); a zone's sensors lie within some tens of metres."""
    county = communities[0].grid_code[:6]
    sensors: list[Sensor] = []
    zones = _fire_zones(random, communities)
    while len(sensors) < total:
        zone_id, venue, home, at = next(zones)
        for _ in range(min(random.randint(3, 8), total - len(sensors))):
            kind = SensorKind.SMOKE if not sensors else _pick_kind(random)
            unit, low, high, _, label = SENSOR_SPECS[kind]
            serial = len(sensors) + 1
            lon, lat = point_near(random, home.polygon, at, 0.0003)
            sensors.append(
                Sensor(
                    id=f"{county}00021346{serial:06d}",
                    name=f"{venue}{label}{serial:04d}",
                    kind=kind,
                    place=Place(lon, lat, home.grid_code, fire_zone=zone_id, name=venue),
                    owner="消防救援大队",
                    unit=unit,
                    valid_min=low,
                    valid_max=high,
                    period_s=period_s,
                )
            )
    return tuple(sensors)


def point_near(
    random: Random, polygon: Polygon, at: tuple[float, float], spread_deg: float
) -> tuple[float, float]:
    """A point (6 decimals) inside `polygon`, near `at`; the spread shrinks until it fits."""
    for attempt in range(400):
        spread = spread_deg / (1 + attempt / 20)
        lon, lat = round(random.gauss(at[0], spread), 6), round(random.gauss(at[1], spread), 6)
        if polygon.contains(Point(lon, lat)):
            return lon, lat
    inner = polygon.representative_point()
    return round(inner.x, 6), round(inner.y, 6)


def _spread(random: Random, communities: Sequence[Community], total: int) -> list[Community]:
    """Homes of the cameras: every grid gets some, towns more; in grid order."""
    weights = [_WEIGHT[c.kind] for c in communities]
    drawn = random.choices(range(len(communities)), weights, k=max(total - len(communities), 0))
    indices = sorted([*range(min(total, len(communities))), *drawn])
    return [communities[i] for i in indices]


def _pick_owner(random: Random) -> tuple[str, str, str, float]:
    return random.choices(OWNERS, [share for *_, share in OWNERS])[0]


def _pick_kind(random: Random) -> SensorKind:
    kinds = list(SENSOR_SPECS)
    return random.choices(kinds, [SENSOR_SPECS[k][3] for k in kinds])[0]


def _fire_zones(
    random: Random, communities: Sequence[Community]
) -> Iterator[tuple[str, str, Community, tuple[float, float]]]:
    """Fire zones without end: (id, venue, community, centre); one in every grid before the second round."""
    round_number = 0
    while True:
        round_number += 1
        for home in random.sample(list(communities), len(communities)):
            venue = home.name + random.choice(VENUES)
            at = point_near(random, home.polygon, home.centre, _NEAR_DEG[home.kind])
            yield f"fz-{home.grid_code}-{round_number:02d}", venue, home, at
