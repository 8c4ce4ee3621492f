from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.preprocess import Letterbox, Preprocessor
from inference.registry import ModelToml, Nms

sizes = st.tuples(st.integers(2, 4000), st.integers(2, 3000))
anchors = st.sampled_from(["top-left", "centre"])
INTO = (416, 256)


def toml(**fields: object) -> ModelToml:
    values: dict[str, object] = {
        "schema": 1, "name": "n", "version": "v", "family": "yolox", "weights": "w", "sha256": "0", "labels": "l",
        "input_name": "i", "input_width": 416, "input_height": 256, "output_name": "o", "licence": "",
        "thresholds": {}, "nms": Nms(),
    }  # fmt: skip
    return ModelToml(**(values | fields))  # type: ignore[arg-type]


@given(sizes, anchors, st.tuples(*[st.floats(0, 1)] * 4))
def test_box_comes_back_from_the_letterbox_as_it_went_in(
    size: tuple[int, int], anchor: str, corners: tuple[float, float, float, float]
) -> None:
    width, height = size
    x1, x2 = sorted((corners[0] * width, corners[1] * width))
    y1, y2 = sorted((corners[2] * height, corners[3] * height))
    box = np.array([[x1, y1, x2, y2]], np.float32)
    letterbox = Letterbox.of(width, height, INTO, anchor)  # type: ignore[arg-type]
    inside = letterbox.forward(box)
    assert (inside >= -1e-3).all()
    assert (inside[0, [0, 2]] <= INTO[0] + 1e-3).all()
    assert (inside[0, [1, 3]] <= INTO[1] + 1e-3).all()
    assert np.allclose(letterbox.back(inside, width, height), box, atol=0.02 + max(size) * 1e-4)


@given(sizes)
def test_picture_fits_and_keeps_its_shape(size: tuple[int, int]) -> None:
    letterbox = Letterbox.of(*size, INTO)
    assert 1 <= letterbox.width <= INTO[0]
    assert 1 <= letterbox.height <= INTO[1]
    assert letterbox.width == INTO[0] or letterbox.height == INTO[1]
    exact = min(INTO[0] / size[0], INTO[1] / size[1])
    assert abs(letterbox.width - size[0] * exact) <= 1
    assert abs(letterbox.height - size[1] * exact) <= 1


def test_boxes_from_the_border_are_clipped_to_the_picture() -> None:
    letterbox = Letterbox.of(400, 400, INTO)
    back = letterbox.back(np.array([[-50.0, -50.0, 900.0, 900.0]], np.float32), 400, 400)
    assert back.tolist() == [[0.0, 0.0, 400.0, 400.0]]


@pytest.mark.parametrize("anchor", ["top-left", "centre"])
def test_fill_puts_the_picture_where_the_letterbox_says(anchor: str) -> None:
    filler = Preprocessor(toml(letterbox_anchor=anchor, letterbox_value=7), INTO, 2)
    picture = np.full((100, 100, 3), (10, 20, 30), np.uint8)
    batch, (box,) = filler.fill([picture])
    assert batch.shape == (1, 3, 256, 416)
    assert batch.dtype == np.float32
    covered = np.zeros((256, 416), np.bool_)
    covered[box.pad_y : box.pad_y + box.height, box.pad_x : box.pad_x + box.width] = True
    for plane, value in zip(batch[0], (10, 20, 30), strict=True):
        assert (plane[covered] == value).all()
        assert (plane[~covered] == 7).all()


def test_pictures_of_different_shape_do_not_leak_into_each_other() -> None:
    filler = Preprocessor(toml(), INTO, 2)
    filler.fill([np.full((256, 416, 3), 200, np.uint8)])
    batch, (box,) = filler.fill([np.full((256, 100, 3), 50, np.uint8)])
    assert (batch[0, :, :, box.width :] == 114).all()


def test_rgb_and_scale_of_the_model_are_obeyed() -> None:
    filler = Preprocessor(toml(channel_order="rgb", pixel_scale=1 / 255), INTO, 1)
    batch, _ = filler.fill([np.full((256, 416, 3), (0, 51, 255), np.uint8)])
    assert batch[0, :, 0, 0].tolist() == pytest.approx([1.0, 0.2, 0.0])
