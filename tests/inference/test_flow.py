from __future__ import annotations

import numpy as np
import pytest

from contracts.place import RoadClass
from inference.congestion import BY_FEW, BY_QUEUE, BY_SPEED, grade_of
from inference.flow import grid_weights, lane_grid, occupancy
from inference.flow_watch import LaneState
from tests.inference.roadside import FAR_M, GROUND, NEAR_M, Car, Roadside, lane, shares, steady

QUEUE = [Car(steady(16 + 6.5 * n, 0.0), x=(-2.0, 2.0)[n % 2]) for n in range(6)]


def one(said: list[LaneState]) -> LaneState:
    told = [each for each in said if each.congestion is not None]
    assert len(told) == 1
    return told[0]


def stream(kmh: float, gap_m: float = 9.0, count: int = 40, x: float = 2.0) -> list[Car]:
    """Vehicles one behind another, going away."""
    return [Car(steady(40 - gap_m * n, kmh), x=x) for n in range(count)]


@pytest.mark.parametrize("kmh", [12.0, 25.0, 45.0, 70.0])
def test_speed_on_measured_ground_is_within_five_percent(kmh: float) -> None:
    road = Roadside(*stream(kmh, gap_m=max(9.0, kmh / 3.6 * 1.5)))
    told = one(road.burst(0.0)).congestion
    assert told is not None
    assert told.kmh == pytest.approx(kmh, rel=0.05)
    assert told.basis == BY_SPEED


def test_edie_speed_counts_those_who_stand_for_as_long_as_they_stand() -> None:
    """Four stand for 6 s, four go through at 36 km/h; all of it is metres over seconds."""
    standing = [Car(steady(16 + 9 * n, 0.0), x=-2.0) for n in range(4)]
    going = [Car(steady(14 - 15 * n, 36.0), x=2.0) for n in range(4)]
    told = one(Roadside(*standing, *going).burst(0.0)).congestion
    assert told is not None
    inside_s = sum(min(6.0, (FAR_M - 14 + 15 * n) / 10) - 1.5 * n for n in range(4))
    assert told.kmh == pytest.approx(36.0 * inside_s / (inside_s + 24), rel=0.15)


def test_queue_is_counted_and_measured_and_a_gap_ends_it() -> None:
    told = one(Roadside(*QUEUE, Car(steady(62.0, 0.0))).burst(0.0)).congestion
    assert told is not None
    assert told.queue == 6
    assert told.queue_m == pytest.approx(5 * 6.5, abs=3.0)
    assert told.kmh == pytest.approx(0.0, abs=1.0)
    assert told.grade == 5


def test_one_that_broke_down_does_not_congest_a_road_on_which_others_pass() -> None:
    broken = Car(steady(30.0, 0.0), x=-2.0)
    told = one(Roadside(broken, *stream(50.0, gap_m=20.0)).burst(0.0)).congestion
    assert told is not None
    assert told.kmh == pytest.approx(50.0, rel=0.08)


def test_unmeasured_ground_gives_no_speed_and_no_grade_by_speed() -> None:
    told = one(Roadside(*stream(12.0), ground=None).burst(0.0)).congestion
    assert told is not None
    assert told.kmh is None
    assert told.basis == BY_QUEUE
    assert told.queue_m is None


def test_occupancy_is_the_share_of_the_lane_under_boxes() -> None:
    shape = lane()
    grid = lane_grid(shape)
    low, high = shape.polygon.min(axis=0), shape.polygon.max(axis=0)
    whole = np.array([[low[0], low[1], high[0], high[1]]], np.float32)
    even = grid_weights(grid, None)
    assert occupancy(grid, even, whole, (1, 1)) == pytest.approx(1.0)
    assert occupancy(grid, even, whole[:0], (1, 1)) == 0.0
    left = np.array([[low[0], low[1], (low[0] + high[0]) / 2, high[1]]], np.float32)
    assert occupancy(grid, even, left, (1, 1)) == pytest.approx(0.5, abs=0.06)
    # The far half of the road is a tenth of its picture.
    middle = shares([(0.0, (NEAR_M + FAR_M) / 2)])[0][1]
    far = np.array([[0, 0, 1, middle]], np.float32)
    assert occupancy(grid, even, far, (1, 1)) < 0.35
    assert occupancy(grid, grid_weights(grid, GROUND), far, (1, 1)) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("road", "speeds"),
    [
        (RoadClass.EXPRESSWAY, (65.1, 65.0, 50.0, 35.0, 20.0)),
        (RoadClass.ARTERIAL, (40.1, 40.0, 30.0, 20.0, 15.0)),
        (RoadClass.SECONDARY, (35.1, 35.0, 25.0, 15.0, 10.0)),
    ],
)
def test_grades_begin_where_the_table_says(road: RoadClass, speeds: tuple[float, ...]) -> None:
    assert [grade_of(each, road) for each in speeds] == [1, 2, 3, 4, 5]


def test_vehicles_that_drive_away_leave_a_lane_that_is_told_to_be_free() -> None:
    road = Roadside(*QUEUE)
    assert one(road.burst(0.0)).congestion is not None
    road.cars.clear()
    said = [each.congestion for t_s in range(8, 250, 2) for each in road.sees(float(t_s))]
    assert said
    assert all(each is not None and (each.grade, each.basis) == (1, BY_FEW) for each in said)
    assert 5 <= len(said) <= 12, "now and then for as long as alerts needs, then no more"


def test_vehicles_between_near_and_far_end_cross_the_middle_once_each() -> None:
    road = Roadside(*stream(45.0, gap_m=25.0), shape=lane(outwards=True))
    told = one(road.burst(0.0)).congestion
    assert told is not None
    assert told.flow_per_h == pytest.approx(12.5 / 25 * 3600, rel=0.35)
