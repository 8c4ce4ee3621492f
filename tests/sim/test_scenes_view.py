from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.scenes import SceneKind, make_scene
from sim.scenes.camera_view import CameraView, aimed_at, clip_to_picture, inside, shoelace_m2

views = st.builds(
    CameraView,
    height_m=st.floats(4, 12),
    tilt_rad=st.floats(0.15, 1.2),
    focal_px=st.floats(200, 1500),
    width=st.just(640),
    height=st.just(360),
)


@given(view=views, x=st.floats(-30, 30), y=st.floats(2, 80))
def test_ground_point_projected_and_back_is_where_it_was(view: CameraView, x: float, y: float) -> None:
    u, v = view.project(np.array([[x, y, 0.0]]))[0]
    back_x, back_y = view.to_ground(np.array([u]), np.array([v]))
    assert back_x[0] == pytest.approx(x, abs=1e-4)
    assert back_y[0] == pytest.approx(y, abs=1e-4)


@given(view=views, x=st.floats(-30, 30), y=st.floats(2, 80))
def test_homography_agrees_with_the_pinhole(view: CameraView, x: float, y: float) -> None:
    px = view.ground_to_image @ np.array([x, y, 1.0])
    assert px[:2] / px[2] == pytest.approx(view.project(np.array([[x, y, 0.0]]))[0], abs=1e-6)


@given(view=views, x=st.floats(-10, 10), y=st.floats(5, 40), tall=st.floats(0.2, 3.0))
def test_heads_are_above_feet_and_nearer_things_larger(view: CameraView, x: float, y: float, tall: float) -> None:
    near = view.project(np.array([[x, y, 0.0], [x, y, tall], [x + 1, y, 0.0]]))
    far = view.project(np.array([[x, y + 5, 0.0], [x + 1, y + 5, 0.0]]))
    assert near[1, 1] < near[0, 1]
    assert near[2, 0] - near[0, 0] > far[1, 0] - far[0, 0]


@given(cx=st.floats(-2, 2), cy=st.floats(6, 14), half=st.floats(0.5, 3), height_m=st.floats(5, 9))
def test_aimed_camera_holds_all_its_points(cx: float, cy: float, half: float, height_m: float) -> None:
    points = np.array([[cx + i * half, cy + j * half, k] for i in (-1, 1) for j in (-1, 1) for k in (0.0, 1.7)])
    px = aimed_at(points, height_m, 640, 360, 0.9).project(points)
    assert (px >= -2).all()
    assert (px <= [642, 362]).all()


@given(corners=st.lists(st.tuples(st.floats(-500, 1100), st.floats(-500, 900)), min_size=3, max_size=6))
def test_clipped_polygon_lies_in_the_picture(corners: list[tuple[float, float]]) -> None:
    kept = clip_to_picture(np.array(corners), 640, 360)
    assert ((kept >= -1e-6) & (kept <= np.array([640, 360]) + 1e-6)).all()


def test_clipping_halves_a_square_that_sticks_out_by_half() -> None:
    square = np.array([[-50.0, 100.0], [50.0, 100.0], [50.0, 200.0], [-50.0, 200.0]])
    assert shoelace_m2(clip_to_picture(square, 640, 360)) == pytest.approx(5000.0)


@pytest.mark.parametrize("kind", list(SceneKind))
def test_zone_areas_follow_from_the_published_homography(kind: SceneKind) -> None:
    for seed in range(2):
        view = make_scene(kind, seed).view
        m = np.array(view.homography).reshape(3, 3)
        assert view.zones
        for zone in view.zones:
            px = np.array([(*p, 1.0) for p in zone.polygon]) @ m.T
            assert shoelace_m2(px[:, :2] / px[:, 2:]) == pytest.approx(zone.area_m2, abs=0.01)
            assert all(0 <= u <= 640 and 0 <= v <= 360 for u, v in zone.polygon)


def test_inside_tells_apart_points_in_and_out_of_a_polygon() -> None:
    triangle = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    answers = inside(triangle, np.array([[1.0, 1.0], [9.0, 9.0], [-1.0, 5.0], [4.0, 5.0]]))
    assert answers.tolist() == [True, False, False, True]
