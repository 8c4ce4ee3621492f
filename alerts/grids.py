"""The two files that a site is given: the grid tree (GeoJSON) and the catalogue (JSON). Wrong ones are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NoReturn, TypeVar

import msgspec
import shapely

from alerts import catalogue_rules, grid_index
from alerts.grid_index import GridIndex
from contracts.errors import ConfigError, RefusedInput
from contracts.grid import Grid, GridLevel, GridTree
from contracts.ids import COUNTIES, parse_grid_code
from contracts.place import Place
from contracts.source import Camera, Catalogue, Sensor
from contracts.wire import DOES_NOT_PARSE

OVERLAP_MAX_M2: Final = 25.0
"""Less than this is how neighbours were surveyed; more is a quarrel over ground."""
_DIGITS: Final = {
    GridLevel.COUNTY: 6,
    GridLevel.STREET: 9,
    GridLevel.COMMUNITY: 12,
    GridLevel.GRID: 15,
}

Ring = tuple[tuple[float, float], ...]
S = TypeVar("S", Camera, Sensor)


class _Properties(msgspec.Struct, frozen=True):
    code: str
    name: str
    level: GridLevel
    parent: str | None = None
    retired: bool = False


class _PolygonShape(msgspec.Struct, frozen=True, tag="Polygon", tag_field="type"):
    coordinates: tuple[Ring, ...]


class _MultiPolygonShape(msgspec.Struct, frozen=True, tag="MultiPolygon", tag_field="type"):
    coordinates: tuple[tuple[Ring, ...], ...]


class _Feature(msgspec.Struct, frozen=True, tag="Feature", tag_field="type"):
    properties: _Properties
    geometry: _PolygonShape | _MultiPolygonShape | None = None


class _Collection(msgspec.Struct, frozen=True, tag="FeatureCollection", tag_field="type"):
    features: tuple[_Feature, ...]
    site: str | None = None
    county: str | None = None
    version: int = 1
    crs_note: str = "CGCS2000 lon,lat"


def load_grids(file: Path, site: str, county: str) -> GridTree:
    """The grid tree of a GeoJSON file (RFC 7946); properties `code`, `name`, `level`, `parent`, `retired`.

    Raises ConfigError naming the file, the codes and what to write instead: bad JSON, code form, unknown parent,
    a code twice, a grid without ground, crossing rings, holes, coordinates out of range, overlapping grids.
    """
    try:
        collection = msgspec.json.decode(_read(file), type=_Collection)
    except DOES_NOT_PARSE as error:
        _refuse(file, f"网格文件不合格式 (not the GeoJSON that is expected): {error}")
    if collection.county not in (None, county):
        _refuse(file, f"县代码 {collection.county} 与本站 {county} 不符 (county); 请改 [site] county 或换文件")
    grids = tuple(
        Grid(
            code=feature.properties.code,
            name=feature.properties.name,
            level=feature.properties.level,
            parent=feature.properties.parent,
            rings=_rings(file, feature),
            retired=feature.properties.retired,
        )
        for feature in collection.features
    )
    _check_codes(file, grids, county)
    ordered = tuple(sorted(grids, key=lambda grid: (len(grid.code), grid.code)))
    tree = GridTree(
        site=site,
        county=county,
        version=collection.version,
        grids=ordered,
        crs_note=collection.crs_note,
    )
    _check_ground(file, tree)
    return tree


def load_catalogue(file: Path, tree: GridTree) -> Catalogue:
    """The catalogue of a JSON file; a source without a grid code gets that of the grid it lies in.

    Raises ConfigError naming the file, the source and what to write instead.
    """
    data = _read(file)
    try:
        catalogue = msgspec.json.decode(data, type=Catalogue)
        catalogue_rules.check_keys(data)
        catalogue_rules.check(catalogue, tree)
    except (*DOES_NOT_PARSE, ValueError) as error:
        _refuse(file, f"目录不合要求 (catalogue): {error}")
    index = GridIndex(tree)
    return msgspec.structs.replace(
        catalogue,
        cameras=tuple(_located(camera, index) for camera in catalogue.cameras),
        sensors=tuple(_located(sensor, index) for sensor in catalogue.sensors),
    )


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: 文件无法读取 (cannot be read: {error.strerror}); 请检查 [paths]") from None


def _refuse(file: Path, sentence: str) -> NoReturn:
    raise ConfigError(f"{file}: {sentence}")


def _rings(file: Path, feature: _Feature) -> tuple[Ring, ...]:
    shape, code = feature.geometry, feature.properties.code
    if shape is None:
        return ()
    parts = (shape.coordinates,) if isinstance(shape, _PolygonShape) else shape.coordinates
    for part in parts:
        if len(part) != 1:
            _refuse(
                file,
                f"网格 {code} 的多边形有孔或没有外环 (a polygon with holes, or without a ring); "
                "请拆成不带孔的几块 (split it into parts)",
            )
        ring = part[0]
        if len(ring) < 4 or ring[0] != ring[-1]:
            _refuse(file, f"网格 {code} 的环未闭合 (ring not closed); 首末两点须相同且至少四点")
        for lon, lat in ring:
            if not (-180 <= lon <= 180 and -90 <= lat <= 90):
                _refuse(file, f"网格 {code} 的坐标 ({lon}, {lat}) 超出范围; 应为经度, 纬度 (lon, lat in degrees)")
    return tuple(part[0] for part in parts)


def _check_codes(file: Path, grids: tuple[Grid, ...], county: str) -> None:
    by_code: dict[str, Grid] = {}
    for grid in grids:
        digits = _DIGITS[grid.level]
        if len(grid.code) != digits or not (grid.code.isascii() and grid.code.isdigit()):
            _refuse(file, f"网格编码 {grid.code!r} 应为 {digits} 位数字 (level {grid.level} has {digits} digits)")
        if not grid.code.startswith(county):
            _refuse(file, f"网格 {grid.code} 不属于本县 {county} (county); 请改正编码或 [site] county")
        if grid.level is GridLevel.GRID:
            try:
                parse_grid_code(grid.code, frozenset({*COUNTIES, county}))
            except RefusedInput as error:
                _refuse(file, str(error))
        if grid.code in by_code:
            _refuse(file, f"网格编码 {grid.code} 出现两次 (code used twice)")
        by_code[grid.code] = grid
    for grid in grids:
        if grid.level is GridLevel.COUNTY:
            continue
        parent = by_code.get(grid.parent or "")
        if parent is None:
            _refuse(file, f"网格 {grid.code} 的上级 {grid.parent!r} 不在文件中 (unknown parent)")
        if not (len(parent.code) < len(grid.code) and grid.code.startswith(parent.code)):
            _refuse(file, f"网格 {grid.code} 的上级 {parent.code} 不是其编码前缀 (not a prefix of the code)")


def _check_ground(file: Path, tree: GridTree) -> None:
    for grid in tree.grids:
        shape = grid_index.polygon(grid)
        if not shape.is_valid:
            _refuse(file, f"网格 {grid.code} 的边界自相交 (invalid polygon): {shapely.is_valid_reason(shape)}")
    own = grid_index.leaves(tree)
    if not own:
        _refuse(file, "没有网格 (no grids); 至少需要一个带边界的网格")
    for grid in own:
        if not grid.rings:
            _refuse(file, f"网格 {grid.code} 没有边界 (a leaf grid needs a polygon)")
    overlaps = GridIndex(tree).overlaps(OVERLAP_MAX_M2)
    if overlaps:
        worst = overlaps[0]
        _refuse(
            file,
            f"网格 {worst.code} 与 {worst.other} 重叠 {worst.area_m2:.0f} 平方米 (overlap), "
            f"共 {len(overlaps)} 处; 请改正边界, 每对重叠不得超过 {OVERLAP_MAX_M2:.0f} 平方米 (move the borders)",
        )


def _located(source: S, index: GridIndex) -> S:
    place: Place = source.place
    if place.grid_code is not None:
        return source
    code = index.locate(place.lon, place.lat)
    return msgspec.structs.replace(source, place=msgspec.structs.replace(place, grid_code=code))
