"""The simulated county: a banner like 阿拉善左旗, invented from one seed. Pure: no clock, no file, no socket.

Grid polygons are Voronoi cells of community centres, cut to the county's outline and rounded to one lattice, so
that they tile it without overlap or gap. Codes follow contracts.ids (6 + 3 + 3 + 3 digits; 街道 from 001, 镇 from
100, 苏木 from 200), numbered from west to east and from north to south.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import shapely
from shapely.geometry import MultiPoint, Point, Polygon

from contracts.grid import Grid, GridLevel, GridTree
from contracts.source import Camera, Sensor
from sim.catalogue import make_cameras, make_sensors
from sim.names import NameMaker

COUNTY_CODE = "152921"
COUNTY_NAME = "阿拉善左旗"
CENTRE = (105.7, 38.8)
"""Longitude and latitude around which the county lies, degrees."""
STREETS = (("街道", 3, 1), ("镇", 8, 100), ("苏木", 4, 200))
"""Kind, how many, first code."""
COMMUNITIES = {"街道": 13, "镇": 10, "苏木": 7}
"""Communities per street of a kind: 3 x 13 + 8 x 10 + 4 x 7 = 147."""
LATTICE_DEG = 1e-7
"""Vertices lie on this lattice (about a centimetre), finer than the 6 decimals that the field asks for."""
_SPREAD_DEG = {"街道": 0.014, "镇": 0.07, "苏木": 0.22}
_MIN_APART_DEG = {"街道": 0.003, "镇": 0.012, "苏木": 0.05}


@dataclass(frozen=True)
class Community:
    """A community with its one grid. `centre` is (lon, lat); `kind` is that of its street."""

    grid_code: str
    name: str
    kind: str
    centre: tuple[float, float]
    polygon: Polygon


@dataclass(frozen=True)
class County:
    """All that is invented. `grids` as the GridTree holds them, `communities` with shapely polygons."""

    seed: int
    grids: GridTree
    outline: Polygon
    communities: tuple[Community, ...]
    cameras: tuple[Camera, ...]
    sensors: tuple[Sensor, ...]


def build_county(
    seed: int, *, cameras_total: int = 3700, sensors_total: int = 700, sensor_period_s: float = 60.0
) -> County:
    """The county of a seed: 15 streets, 147 communities, 147 grids, cameras and sensors. None is live yet."""
    outline = _outline(Random(f"{seed}/outline"))
    grids, communities = _divide(seed, outline)
    tree = GridTree(site=COUNTY_CODE, county=COUNTY_CODE, version=1, grids=grids)
    outline = shapely.coverage_union_all([c.polygon for c in communities])
    return County(
        seed,
        tree,
        outline,
        communities,
        make_cameras(Random(f"{seed}/cameras"), communities, cameras_total),
        make_sensors(Random(f"{seed}/sensors"), communities, sensors_total, sensor_period_s),
    )


def _outline(random: Random) -> Polygon:
    """An irregular shape of about the real size (65,000 km2)."""
    waves = [(k, random.uniform(0.02, 0.09), random.uniform(0, math.tau)) for k in range(2, 9)]
    ring = []
    for step in range(180):
        angle = step * math.tau / 180
        reach = 1.0 + sum(size * math.sin(k * angle + shift) for k, size, shift in waves)
        ring.append(
            _on_lattice(CENTRE[0] + 1.35 * reach * math.cos(angle), CENTRE[1] + 1.5 * reach * math.sin(angle))
        )
    return Polygon(ring)


def _on_lattice(lon: float, lat: float) -> tuple[float, float]:
    return round(lon, 7), round(lat, 7)


def _divide(seed: int, outline: Polygon) -> tuple[tuple[Grid, ...], tuple[Community, ...]]:
    random, names = Random(f"{seed}/places"), NameMaker(Random(f"{seed}/names"))
    streets = _street_centres(random, outline)
    centres: list[tuple[float, float]] = []
    for kind, at in streets:
        centres += _scatter(random, at, kind, outline, centres)
    cells = _cells(centres, outline)
    grids = [Grid(code=COUNTY_CODE, name=COUNTY_NAME, level=GridLevel.COUNTY)]
    deeper: list[Grid] = []
    communities: list[Community] = []
    counters = {kind: first for kind, _, first in STREETS}
    done = 0
    for kind, _ in streets:
        code = f"{COUNTY_CODE}{counters[kind]:03d}"
        counters[kind] += 1
        street_name = names.street(kind)
        grids.append(Grid(code=code, name=street_name, level=GridLevel.STREET, parent=COUNTY_CODE))
        span = range(done, done + COMMUNITIES[kind])
        done += COMMUNITIES[kind]
        ordered = sorted(span, key=lambda i: (round(centres[i][0], 2), -centres[i][1]))
        for number, i in enumerate(ordered, start=1):
            name = names.community(_community_kind(kind, number))
            deeper += _leaf(f"{code}{number:03d}", code, name, cells[i])
            leaf = f"{code}{number:03d}001"
            communities.append(Community(leaf, name, kind, centres[i], cells[i]))
    return (*grids, *sorted(deeper, key=lambda g: (len(g.code), g.code))), tuple(communities)


def _community_kind(street_kind: str, number: int) -> str:
    if street_kind == "街道" or number == 1:
        return "社区"
    return "嘎查" if street_kind == "苏木" or number % 2 else "村"


def _leaf(code: str, street: str, name: str, cell: Polygon) -> list[Grid]:
    ring = tuple((float(x), float(y)) for x, y in cell.exterior.coords)
    return [
        Grid(code=code, name=name, level=GridLevel.COMMUNITY, parent=street),
        Grid(code=f"{code}001", name=f"{name}第一网格", level=GridLevel.GRID, parent=code, rings=(ring,)),
    ]


def _street_centres(random: Random, outline: Polygon) -> list[tuple[str, tuple[float, float]]]:
    """The three 街道 side by side in the seat of the banner, towns and pastures far apart, west to east."""
    seat = (CENTRE[0] + random.uniform(-0.1, 0.1), CENTRE[1] + random.uniform(-0.1, 0.1))
    centres = [("街道", (seat[0] + dx, seat[1] + dy)) for dx, dy in ((-0.05, 0.01), (0.0, -0.015), (0.05, 0.015))]
    placed = [seat]
    inner = outline.buffer(-0.2)
    for kind, number, _ in STREETS[1:]:
        found: list[tuple[float, float]] = []
        while len(found) < number:
            at = (CENTRE[0] + random.uniform(-1.4, 1.4), CENTRE[1] + random.uniform(-1.6, 1.6))
            if inner.contains(Point(at)) and all(math.dist(at, other) > 0.38 for other in placed):
                found.append(at)
                placed.append(at)
        centres += [(kind, at) for at in sorted(found, key=lambda p: (round(p[0], 1), -p[1]))]
    return centres


def _scatter(
    random: Random, at: tuple[float, float], kind: str, outline: Polygon, taken: list[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Community centres around a street's seat, denser towards it."""
    found: list[tuple[float, float]] = []
    while len(found) < COMMUNITIES[kind]:
        point = _on_lattice(random.gauss(at[0], _SPREAD_DEG[kind]), random.gauss(at[1], _SPREAD_DEG[kind]))
        apart = all(math.dist(point, other) > _MIN_APART_DEG[kind] for other in (*taken, *found))
        if apart and outline.contains(Point(point)):
            found.append(point)
    return found


def _cells(centres: list[tuple[float, float]], outline: Polygon) -> list[Polygon]:
    """The Voronoi cell of each centre inside the outline, counter-clockwise, vertices on the lattice."""
    diagram = shapely.voronoi_polygons(MultiPoint(centres), extend_to=outline)
    tree = shapely.STRtree([Point(c) for c in centres])
    cells: list[Polygon | None] = [None] * len(centres)
    for cell in diagram.geoms:
        [index] = tree.query(cell, predicate="contains")
        cut = cell.intersection(outline)
        parts = [cut] if isinstance(cut, Polygon) else [g for g in cut.geoms if isinstance(g, Polygon)]
        home = max(parts, key=lambda g: g.area)
        ring = [_on_lattice(x, y) for x, y in home.exterior.coords]
        cells[index] = shapely.geometry.polygon.orient(Polygon(ring))
    return [cell for cell in cells if cell is not None]
