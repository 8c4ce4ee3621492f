"""Positions as others write them, put right to degrees of CGCS2000.

GB/T 28181 says WGS-84, city management surveys in CGCS2000, and maps on the Chinese internet are shifted by some
hundreds of metres (GCJ-02). WGS-84 and CGCS2000 differ by centimetres, far below what a camera's position is
worth, and are taken as one. The shift of GCJ-02 was never published by its authority: the formula is the one that
all open implementations share; it is inverted here by iteration, to below a centimetre.
"""

from __future__ import annotations

import enum
import math
from typing import Final

from contracts.errors import RefusedInput

_SEMI_MAJOR_M: Final = 6_378_245.0
_ECCENTRICITY_SQUARED: Final = 0.006693421622965943
"""Ellipsoid of Krassovsky 1940, which the formula is built on."""
_CLOSE_DEG: Final = 1e-9
_ROUNDS_MAX: Final = 12


class CoordinateSystem(enum.StrEnum):
    """What a longitude and a latitude are counted in."""

    WGS84 = "wgs84"
    CGCS2000 = "cgcs2000"
    GCJ02 = "gcj02"


_NAMES: Final = {
    "wgs84": CoordinateSystem.WGS84,
    "epsg4326": CoordinateSystem.WGS84,
    "gps": CoordinateSystem.WGS84,
    "cgcs2000": CoordinateSystem.CGCS2000,
    "epsg4490": CoordinateSystem.CGCS2000,
    "国家2000": CoordinateSystem.CGCS2000,
    "2000国家大地坐标系": CoordinateSystem.CGCS2000,
    "gcj02": CoordinateSystem.GCJ02,
    "火星坐标": CoordinateSystem.GCJ02,
    "火星坐标系": CoordinateSystem.GCJ02,
    "高德": CoordinateSystem.GCJ02,
    "腾讯": CoordinateSystem.GCJ02,
}
_BAIDU: Final = frozenset({"bd09", "bd09ll", "bd09mc", "百度", "百度坐标", "百度坐标系"})


def coordinate_system(text: str) -> CoordinateSystem:
    """The system that a file or platform names, in any usual spelling.

    Raises RefusedInput with reason `coordinates_bd09` for Baidu's, which is shifted a second time, and
    `coordinate_system` for a name that is unknown.
    """
    name = text.strip().lower().replace("-", "").replace("_", "").replace(" ", "").replace(":", "")
    if name in _BAIDU:
        raise RefusedInput(
            f"坐标系 {text!r} 为百度坐标 (BD-09), 不予接收 (Baidu's system is not taken); "
            "请导出 WGS-84, CGCS2000 或 GCJ-02 (export one of these)",
            reason="coordinates_bd09",
        )
    if name not in _NAMES:
        raise RefusedInput(
            f"坐标系 {text[:40]!r} 未知 (unknown coordinate system); 可用 (known): WGS-84, CGCS2000, GCJ-02",
            reason="coordinate_system",
        )
    return _NAMES[name]


def to_wgs84(lon: float, lat: float, system: CoordinateSystem) -> tuple[float, float]:
    """Longitude and latitude, degrees WGS-84, of a point given in `system`; 7 decimals (a centimetre)."""
    if system is CoordinateSystem.GCJ02:
        lon, lat = gcj02_to_wgs84(lon, lat)
    return round(lon, 7), round(lat, 7)


def wgs84_to_gcj02(lon: float, lat: float) -> tuple[float, float]:
    """Degrees GCJ-02 of a point in degrees WGS-84; outside of China nothing is shifted."""
    if not _shifted(lon, lat):
        return lon, lat
    x, y = lon - 105.0, lat - 35.0
    waves = (20 * math.sin(6 * x * math.pi) + 20 * math.sin(2 * x * math.pi)) * 2 / 3
    north = (
        -100
        + 2 * x
        + 3 * y
        + 0.2 * y * y
        + 0.1 * x * y
        + 0.2 * math.sqrt(abs(x))
        + waves
        + (20 * math.sin(y * math.pi) + 40 * math.sin(y / 3 * math.pi)) * 2 / 3
        + (160 * math.sin(y / 12 * math.pi) + 320 * math.sin(y * math.pi / 30)) * 2 / 3
    )
    east = (
        300
        + x
        + 2 * y
        + 0.1 * x * x
        + 0.1 * x * y
        + 0.1 * math.sqrt(abs(x))
        + waves
        + (20 * math.sin(x * math.pi) + 40 * math.sin(x / 3 * math.pi)) * 2 / 3
        + (150 * math.sin(x / 12 * math.pi) + 300 * math.sin(x / 30 * math.pi)) * 2 / 3
    )
    latitude = math.radians(lat)
    bulge = 1 - _ECCENTRICITY_SQUARED * math.sin(latitude) ** 2
    meridian_m = _SEMI_MAJOR_M * (1 - _ECCENTRICITY_SQUARED) / (bulge * math.sqrt(bulge))
    parallel_m = _SEMI_MAJOR_M / math.sqrt(bulge) * math.cos(latitude)
    return lon + math.degrees(east / parallel_m), lat + math.degrees(north / meridian_m)


def gcj02_to_wgs84(lon: float, lat: float) -> tuple[float, float]:
    """Degrees WGS-84 of a point in degrees GCJ-02: the point whose shift leads here, found by iteration.

    The shift changes by less than a hundredth over its own length, so each round gains two digits.
    """
    if not _shifted(lon, lat):
        return lon, lat
    guess_lon, guess_lat = lon, lat
    for _ in range(_ROUNDS_MAX):
        found_lon, found_lat = wgs84_to_gcj02(guess_lon, guess_lat)
        off_lon, off_lat = found_lon - lon, found_lat - lat
        guess_lon, guess_lat = guess_lon - off_lon, guess_lat - off_lat
        if abs(off_lon) < _CLOSE_DEG and abs(off_lat) < _CLOSE_DEG:
            break
    return guess_lon, guess_lat


def _shifted(lon: float, lat: float) -> bool:
    """Whether the point is within the box that the shift applies to."""
    return 72.004 <= lon <= 137.8347 and 0.8293 <= lat <= 55.8271
