"""Grids on the ground: which one holds a point, which ones overlap, and what lies in none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import shapely
from shapely import MultiPolygon, Point, Polygon, STRtree

from contracts.grid import Grid, GridLevel, GridTree

_METRES_PER_DEGREE: Final = 111_320.0


class Overlap(msgspec.Struct, frozen=True):
    """Two grids that claim the same ground."""

    code: str
    other: str
    area_m2: float


class Gap(msgspec.Struct, frozen=True):
    """Ground that belongs to no grid: inside the county, or inside `parent` if that has a polygon."""

    parent: str
    lon: float
    lat: float
    area_m2: float


def polygon(grid: Grid) -> MultiPolygon:
    """The grid's ground, lon and lat in degrees; may be empty or invalid, as the file had it."""
    return MultiPolygon([Polygon(ring) for ring in grid.rings])


def leaves(tree: GridTree) -> list[Grid]:
    """Grids in use that have no grid below them and thus own ground."""
    parents = {grid.parent for grid in tree.grids if not grid.retired}
    return [grid for grid in tree.grids if not grid.retired and grid.code not in parents]


def area_m2(shape: shapely.Geometry) -> float:
    """Area on the ground; equirectangular at the shape's own latitude, good to 1 % over a county."""
    if shape.is_empty:
        return 0.0
    _, south, _, north = shape.bounds
    across = math.cos(math.radians((south + north) / 2))
    return float(shape.area) * _METRES_PER_DEGREE**2 * across


class GridIndex:
    """Finds the home grid of a point."""

    def __init__(self, tree: GridTree) -> None:
        self._grids = sorted(leaves(tree), key=lambda grid: grid.code)
        self._shapes = [polygon(grid) for grid in self._grids]
        for shape in self._shapes:
            shapely.prepare(shape)
        self._tree = STRtree(self._shapes)

    def locate(self, lon: float, lat: float) -> str | None:
        """Code of the grid that holds the point; on a border the lowest code; None outside all grids."""
        found = self._tree.query(Point(lon, lat), predicate="intersects")
        return self._grids[min(found)].code if len(found) else None

    def overlaps(self, tolerance_m2: float) -> list[Overlap]:
        """Pairs that share more ground than `tolerance_m2` (shared borders, slivers of surveying), worst first."""
        left, right = self._tree.query(self._shapes, predicate="intersects")
        found = []
        for first, second in zip(left, right, strict=True):
            if first < second:
                area = area_m2(shapely.intersection(self._shapes[first], self._shapes[second]))
                if area > tolerance_m2:
                    found.append(Overlap(self._grids[first].code, self._grids[second].code, area))
        return sorted(found, key=lambda overlap: -overlap.area_m2)


def gaps(tree: GridTree, tolerance_m2: float) -> list[Gap]:
    """Ground over `tolerance_m2` that no grid owns, largest first: holes, and parts of a parent's polygon."""
    own = leaves(tree)
    covered = shapely.union_all([polygon(grid) for grid in own])
    holes = [Polygon(ring) for part in _parts(covered) for ring in part.interiors]
    found = [_gap(tree.county, hole) for hole in holes]
    for grid in tree.grids:
        if grid.rings and not grid.retired and grid.level is not GridLevel.GRID and grid not in own:
            found.extend(_gap(grid.code, part) for part in _parts(shapely.difference(polygon(grid), covered)))
    return sorted((gap for gap in found if gap.area_m2 > tolerance_m2), key=lambda gap: -gap.area_m2)


def _gap(parent: str, shape: shapely.Geometry) -> Gap:
    inside = shape.representative_point()
    return Gap(parent, inside.x, inside.y, area_m2(shape))


def _parts(shape: shapely.Geometry) -> Sequence[Polygon]:
    return [part for part in getattr(shape, "geoms", [shape]) if isinstance(part, Polygon) and not part.is_empty]
