from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from contracts.errors import ConfigError
from contracts.place import ZoneKind
from inference.ground import Ground
from inference.zones import measured
from sim.scenes.camera_view import CameraView
from tests.inference.pictures import WHOLE, zone
from tests.inference.roadside import FAR_M, GROUND, HEIGHT, LANE_M, NEAR_M, WIDTH, shares

SQUARE = [(0.2, 0.9), (0.8, 0.9), (0.6, 0.5), (0.4, 0.5)]
LEVEL = Ground(
    CameraView(7.0, np.deg2rad(8.0), 1200.0, WIDTH, HEIGHT).image_to_ground
    @ np.diag([float(WIDTH), float(HEIGHT), 1.0])
)
METRES = [(0.0, 0.0), (6.0, 0.0), (6.0, 12.0), (0.0, 12.0)]


def test_four_points_are_met_and_the_area_between_them_is_right() -> None:
    ground = Ground.from_points(SQUARE, METRES)
    assert ground.to_ground(np.array(SQUARE)) == pytest.approx(np.array(METRES), abs=1e-6)
    assert ground.area_m2(np.array(SQUARE)) == pytest.approx(72.0)
    assert ground.error_m(SQUARE, METRES) == pytest.approx(0.0, abs=1e-6)


def test_catalogues_nine_floats_are_the_same_ground_again() -> None:
    ground = Ground.from_points(SQUARE, METRES)
    assert np.allclose(Ground.of(ground.homography).matrix, ground.matrix)


@given(
    st.lists(st.tuples(st.floats(0.05, 0.95), st.floats(0.45, 0.95)), min_size=4, max_size=9, unique=True),
    st.floats(-0.004, 0.004),
)
def test_points_of_a_true_camera_clicked_a_little_aside_give_its_ground(
    clicked: list[tuple[float, float]], aside: float
) -> None:
    true = GROUND.to_ground(np.array(clicked))
    signs = np.array([(1, -1)[index % 2] for index in range(len(clicked))])
    moved = np.clip(np.array(clicked) + aside * signs[:, None], 0, 1)
    try:
        found = Ground.from_points([tuple(each) for each in moved], [tuple(each) for each in true])
    except ConfigError:
        return
    if aside == 0:
        assume(np.ptp(np.array(clicked), axis=0).min() > 0.2)
        assert found.error_m(clicked, [tuple(each) for each in true]) < 1e-3
    back = found.to_picture(found.to_ground(moved))
    assert back == pytest.approx(moved, abs=1e-5)


@pytest.mark.parametrize(
    ("picture", "metres", "words"),
    [
        (SQUARE[:3], METRES[:3], "4"),
        (SQUARE, METRES[:3], "4"),
        ([(0.1, 0.1), (0.2, 0.2), (0.3, 0.3), (0.9, 0.2)], METRES, "line"),
        (SQUARE, [(0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (0.0, 5.0)], "line"),
        ([(0.2, 1.2), *SQUARE[1:]], METRES, "within 0..1"),
        ([(float("nan"), 0.2), *SQUARE[1:]], METRES, "within 0..1"),
    ],
)
def test_points_that_measure_nothing_are_refused_in_words(
    picture: list[tuple[float, float]], metres: list[tuple[float, float]], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        Ground.from_points(picture, metres)


def test_zone_that_reaches_the_horizon_has_no_area() -> None:
    assert LEVEL.area_m2(np.array(WHOLE)) is None
    assert GROUND.area_m2(np.array(shares(LANE_M))) == pytest.approx(8.0 * (FAR_M - NEAR_M), rel=1e-6)


def test_zone_takes_its_area_from_the_ground_unless_one_is_stated() -> None:
    lane = zone(ZoneKind.STANDING, shares(LANE_M))
    assert measured(lane, GROUND).area_m2 == pytest.approx(8.0 * (FAR_M - NEAR_M), abs=0.01)
    assert measured(zone(ZoneKind.STANDING, shares(LANE_M), area_m2=50.0), GROUND).area_m2 == 50.0
    assert measured(lane, None).area_m2 is None
    assert measured(zone(ZoneKind.STANDING, WHOLE), LEVEL).area_m2 is None
