"""Grid (网格): one area of the grid tree (county > street > community > grid) with its polygon."""

from __future__ import annotations

import enum

import msgspec


class GridLevel(enum.StrEnum):
    """Levels of the tree; a deployment may leave some out."""

    COUNTY = "county"
    STREET = "street"
    COMMUNITY = "community"
    GRID = "grid"


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """One node. `code`: 6 digits county, 9 street, 12 community, 15 grid; `parent`: the code above.

    `rings`: polygon exteriors as closed rings of (lon, lat) in degrees, RFC 7946 order; empty for nodes that are
    the union of their children. A leaf grid has at least one ring.
    """

    code: str
    name: str
    level: GridLevel
    parent: str | None = None
    rings: tuple[tuple[tuple[float, float], ...], ...] = ()
    retired: bool = False


class GridTree(msgspec.Struct, frozen=True, kw_only=True):
    """All grids of a site at one version; `grids` are ordered parents first."""

    site: str
    county: str
    version: int
    grids: tuple[Grid, ...]
    crs_note: str = "CGCS2000 lon,lat"
    schema: int = 1
