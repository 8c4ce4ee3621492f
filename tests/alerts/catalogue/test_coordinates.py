from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.catalogue.coordinates import (
    CoordinateSystem,
    coordinate_system,
    gcj02_to_wgs84,
    to_wgs84,
    wgs84_to_gcj02,
)
from contracts.errors import RefusedInput

TOWER_WGS84 = (116.391349, 39.907375)
"""天安门, and where a map in GCJ-02 draws it (as published with several public converters)."""
TOWER_GCJ02 = (116.397590, 39.908776)

in_china = st.tuples(st.floats(74, 134), st.floats(4, 53))


def metres(a: tuple[float, float], b: tuple[float, float]) -> float:
    east = (a[0] - b[0]) * 111_320 * math.cos(math.radians((a[1] + b[1]) / 2))
    return math.hypot(east, (a[1] - b[1]) * 111_320)


def test_check_6_one_landmark_in_three_systems_ends_within_five_metres() -> None:
    """Domain check 6; CGCS2000 differs from WGS-84 by centimetres."""
    found = [
        to_wgs84(*TOWER_WGS84, CoordinateSystem.WGS84),
        to_wgs84(TOWER_WGS84[0] + 3e-7, TOWER_WGS84[1] - 2e-7, CoordinateSystem.CGCS2000),
        to_wgs84(*TOWER_GCJ02, CoordinateSystem.GCJ02),
    ]
    assert max(metres(a, b) for a in found for b in found) < 5
    assert metres(TOWER_WGS84, TOWER_GCJ02) > 400, "taken as it stands it would be in another street"


@given(in_china)
def test_shift_and_its_inverse_meet_within_a_centimetre(point: tuple[float, float]) -> None:
    shifted = wgs84_to_gcj02(*point)
    assert 50 < metres(point, shifted) < 1_500
    assert metres(gcj02_to_wgs84(*shifted), point) < 0.01


@given(st.tuples(st.floats(-180, 60), st.floats(-90, 90)))
def test_outside_of_china_nothing_is_shifted(point: tuple[float, float]) -> None:
    assert wgs84_to_gcj02(*point) == gcj02_to_wgs84(*point) == point


@pytest.mark.parametrize(
    ("text", "system"),
    [
        ("WGS-84", CoordinateSystem.WGS84),
        ("wgs84", CoordinateSystem.WGS84),
        ("EPSG:4490", CoordinateSystem.CGCS2000),
        (" CGCS 2000 ", CoordinateSystem.CGCS2000),
        ("GCJ_02", CoordinateSystem.GCJ02),
        ("火星坐标系", CoordinateSystem.GCJ02),
    ],
)
def test_usual_spellings_are_known(text: str, system: CoordinateSystem) -> None:
    assert coordinate_system(text) is system


@pytest.mark.parametrize(
    ("text", "reason"),
    [("BD-09", "coordinates_bd09"), ("百度坐标系", "coordinates_bd09"), ("北京54", "coordinate_system")],
)
def test_other_systems_are_refused_by_name(text: str, reason: str) -> None:
    with pytest.raises(RefusedInput) as refused:
        coordinate_system(text)
    assert refused.value.reason == reason
