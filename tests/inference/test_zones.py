from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from shapely import Point, Polygon

from contracts.place import ZoneKind
from inference.zones import ZoneShape, feet, inside, wheels
from tests.inference.pictures import WHOLE, zone

unit = st.floats(0, 1)
polygons = st.lists(st.tuples(unit, unit), min_size=3, max_size=8)


@given(polygons, st.lists(st.tuples(unit, unit), min_size=1, max_size=10))
def test_point_in_polygon_agrees_with_shapely(
    polygon: list[tuple[float, float]], points: list[tuple[float, float]]
) -> None:
    shape = Polygon(polygon)
    assume(shape.is_valid and shape.area > 1e-6)
    answers = inside(np.array(polygon), np.array(points))
    for point, answer in zip(points, answers, strict=True):
        if shape.exterior.distance(Point(point)) > 1e-9:
            assert answer == shape.contains(Point(point))


@given(st.integers(2, 4000), st.integers(2, 3000), st.tuples(unit, unit))
def test_whole_picture_holds_every_point_on_any_size(width: int, height: int, point: tuple[float, float]) -> None:
    shape = ZoneShape.of(zone(ZoneKind.STANDING, WHOLE))
    pixels = np.array([[point[0] * width, point[1] * height]])
    assert shape.holds(pixels, width, height).all()


@given(polygons, st.integers(1, 8))
def test_zone_is_the_same_on_a_larger_picture(polygon: list[tuple[float, float]], factor: int) -> None:
    shape = ZoneShape.of(zone(ZoneKind.STANDING, tuple(polygon)))
    points = np.random.default_rng(1).uniform(0, 100, (20, 2))
    assert (shape.holds(points, 100, 100) == shape.holds(points * factor, 100 * factor, 100 * factor)).all()


def test_two_zones_that_share_an_edge_never_count_a_point_twice_or_not_at_all() -> None:
    left = ZoneShape.of(zone(ZoneKind.STANDING, ((0, 0), (0.5, 0), (0.5, 1), (0, 1))))
    right = ZoneShape.of(zone(ZoneKind.STANDING, ((0.5, 0), (1, 0), (1, 1), (0.5, 1))))
    points = np.column_stack((np.linspace(0, 100, 101), np.full(101, 50.0)))
    assert (left.holds(points, 100, 100) ^ right.holds(points, 100, 100)).all()


def test_whole_person_stands_at_the_middle_of_the_lower_edge() -> None:
    assert feet(np.array([[10, 20, 30, 80]], np.float32)).tolist() == [[20.0, 80.0]]


def test_person_hidden_from_the_chest_down_stands_where_the_legs_would_end() -> None:
    assert feet(np.array([[10, 20, 30, 45]], np.float32))[0].tolist() == pytest.approx([20.0, 20 + 2.6 * 20])


def test_vehicle_stands_a_little_above_its_lower_edge() -> None:
    assert wheels(np.array([[0, 0, 100, 50]], np.float32)).tolist() == [[50.0, 45.0]]
