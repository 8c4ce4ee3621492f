from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.class_names import CLASS_NAMES
from contracts.detection import Detections
from inference.detector import Detector
from inference.registry import load_model
from models.evaluate.detect import Detector as Judge
from sim.scenes import SceneKind, make_scene
from tests.inference.pictures import Bgr, textured

FOLDER = Path(__file__).resolve().parents[2] / "models" / "county-nano"
MODEL = load_model(FOLDER)


@pytest.fixture(scope="module")
def square() -> Bgr:
    bgr, _ = make_scene(SceneKind.SQUARE_FILLING, 3).render(90.0)
    return bgr


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(MODEL, floor=0.05, batch_max=2)


@pytest.mark.parametrize(
    ("size", "rectangle"),
    [
        ((1920, 1080), (416, 256)), ((640, 360), (416, 256)), ((704, 576), (416, 352)), ((640, 480), (416, 320)),
        ((500, 500), (416, 416)), ((360, 640), (256, 416)), ((4000, 10), (416, 32)), ((416, 256), (416, 256)),
    ],
)  # fmt: skip
def test_each_shape_gets_the_rectangle_that_fits_it(
    detector: Detector, size: tuple[int, int], rectangle: tuple[int, int]
) -> None:
    assert detector.rectangle_for(np.zeros((size[1], size[0], 3), np.uint8)) == rectangle


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(2, 300), st.integers(2, 300)), max_size=5))
def test_pictures_of_any_shapes_are_answered_in_order_and_within_their_borders(
    sizes: list[tuple[int, int]],
) -> None:
    own = Detector(MODEL, floor=0.05, batch_max=2)
    answers = own.detect([textured(width, height) for width, height in sizes])
    assert len(answers) == len(sizes)
    for found, (width, height) in zip(answers, sizes, strict=True):
        assert (found.xyxy >= 0).all()
        assert (found.xyxy <= (width, height, width, height)).all()


def test_batch_answers_as_single_pictures_do(detector: Detector, square: Bgr) -> None:
    others = [square, square[:, :300], square[::-1], square]
    together = detector.detect([np.ascontiguousarray(each) for each in others])
    for picture, answer in zip(others, together, strict=True):
        (alone,) = detector.detect([np.ascontiguousarray(picture)])
        assert np.allclose(answer.confidence, alone.confidence, atol=1e-3)
        assert np.allclose(answer.xyxy, alone.xyxy, atol=0.1)


def test_people_of_a_square_are_found_as_the_judge_finds_them(detector: Detector, square: Bgr) -> None:
    """Two independent implementations of letterbox, decode and suppression agree on real weights."""
    found = detector.confident(detector.detect([square])[0])
    judge = Judge(FOLDER / "weights.onnx", list(range(len(CLASS_NAMES))))
    theirs = judge.detect(square, (416, 256), floor=0.05, nms_iou=MODEL.toml.nms.iou)
    sure = theirs[theirs[:, 1] >= MODEL.thresholds[theirs[:, 0].astype(int)]]
    assert len(found) >= 10
    assert np.allclose(np.sort(found.confidence), np.sort(sure[:, 1]), atol=1e-3)
    assert np.allclose(found.xyxy[:5], sure[:5, 2:], atol=1.5)


def test_confident_findings_do_not_depend_on_the_floor(square: Bgr) -> None:
    def sure(floor: float) -> Detections:
        own = Detector(MODEL, floor=floor)
        return own.confident(own.detect([square])[0])

    assert np.array_equal(sure(0.02).xyxy, sure(0.2).xyxy)
