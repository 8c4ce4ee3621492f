from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from contracts.errors import ConfigError
from inference.heights import PEOPLE_MIN, learn, upright
from sim.scenes import SceneKind, make_scene
from sim.scenes.camera_view import CameraView

WIDTH, HEIGHT = 1280, 720
F64 = npt.NDArray[np.float64]


def people(view: CameraView, count: int = 300, sitting: float = 0.0) -> F64:
    """Boxes of people on flat ground, shares of the picture: 1.67 m tall, give or take 7 cm; some of them sit."""
    rng = np.random.default_rng(1)
    boxes: list[F64] = []
    while len(boxes) < count:
        x, y = rng.uniform(-8, 8), rng.uniform(3, 40)
        tall = rng.normal(1.67, 0.07) * (0.65 if rng.random() < sitting else 1.0)
        (fx, fy), (_, cy) = view.project(np.array([[x, y, 0.0], [x, y, tall]]))
        wide = (fy - cy) / 5.5
        box = np.array([fx - wide, cy, fx + wide, fy])
        if (box > 0).all() and box[2] < WIDTH and fy < HEIGHT:
            boxes.append(box / (WIDTH, HEIGHT, WIDTH, HEIGHT))
    return np.array(boxes)


@pytest.mark.parametrize(("height_m", "tilt", "view"), [(4.0, 15.0, 90.0), (7.0, 25.0, 60.0), (10.0, 40.0, 75.0)])
@pytest.mark.parametrize("sitting", [0.0, 0.2])
def test_ground_of_a_camera_is_learnt_from_people_with_its_own_error_bound(
    height_m: float, tilt: float, view: float, sitting: float
) -> None:
    focal = WIDTH / 2 / np.tan(np.radians(view) / 2)
    true = CameraView(height_m, np.radians(tilt), focal, WIDTH, HEIGHT)
    corners = [(-3.0, 8.0), (3.0, 8.0), (3.0, 14.0), (-3.0, 14.0)]
    px = true.project(np.array([(x, y, 0.0) for x, y in corners])) / (WIDTH, HEIGHT)
    learnt = learn(people(true, sitting=sitting), WIDTH / HEIGHT)
    area, error = learnt.ground.area_m2(px), learnt.area_error(px)
    assert area is not None
    assert error is not None
    assert area == pytest.approx(36.0, rel=0.3)
    assert abs(np.log(area / 36.0)) < 2.5 * error
    known = learn(people(true, sitting=sitting), WIDTH / HEIGHT, view_deg=view)
    assert known.ground.area_m2(px) == pytest.approx(36.0, rel=0.2)
    assert known.view_deg == pytest.approx(view, rel=0.12)


def test_few_people_or_people_at_one_distance_are_refused_in_words() -> None:
    true = CameraView(5.0, 0.4, 900.0, WIDTH, HEIGHT)
    with pytest.raises(ConfigError, match=str(PEOPLE_MIN)):
        learn(people(true, PEOPLE_MIN - 1), WIDTH / HEIGHT)
    row = people(true)
    row[:, 1] += 0.7 - row[:, 3]
    row[:, 3] = 0.7
    with pytest.raises(ConfigError, match="equally far"):
        learn(row, WIDTH / HEIGHT)


def test_only_people_seen_from_head_to_foot_are_measured() -> None:
    boxes = np.array(
        [
            (100, 100, 140, 210), (100, 100, 200, 210), (100, 100, 115, 210), (0, 100, 40, 210),
            (100, 610, 140, 720), (100, 0, 140, 110),
        ],
        np.float32,
    )  # fmt: skip
    assert upright(boxes, (WIDTH, HEIGHT)).tolist() == [True, False, False, False, False, False]


@pytest.mark.parametrize("seed", [9201, 9204])
def test_square_of_the_simulated_county_is_within_30_percent(seed: int) -> None:
    scene = make_scene(SceneKind.SQUARE_FILLING, seed, width=WIDTH, height=HEIGHT, onset_s=60.0)
    boxes = [
        (box.x1, box.y1, box.x2, box.y2)
        for t_s in range(0, 240, 3)
        for box in scene.truth(float(t_s)).boxes
        if box.cls == 0 and box.visible > 0.95
    ]
    whole = np.array(boxes, np.float32)
    whole = whole[upright(whole, (WIDTH, HEIGHT))]
    learnt = learn(whole.astype(np.float64) / (WIDTH, HEIGHT, WIDTH, HEIGHT), WIDTH / HEIGHT)
    square = next(each for each in scene.view.zones if each.kind == "standing")
    area = learnt.ground.area_m2(np.array(square.polygon) / (WIDTH, HEIGHT))
    assert area == pytest.approx(square.area_m2, rel=0.3)
