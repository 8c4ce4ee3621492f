from __future__ import annotations

import numpy as np
import pytest

from models.evaluate.detect import decode, fitted, grid_points, iou, keep_best, letterbox

SIZE = (64, 32)
ROWS = np.array([0, 2])


def raw_table(classes: int = 3) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.zeros((len(grid_points(SIZE)), 5 + classes), dtype=np.float32)


def test_anchors_run_row_by_row_over_the_strides() -> None:
    points = grid_points(SIZE)
    assert len(points) == 8 * 4 + 4 * 2 + 2 * 1
    assert points[1].tolist() == [1, 0, 8]
    assert points[8].tolist() == [0, 1, 8]
    assert points[32].tolist() == [0, 0, 16]
    assert points[-1].tolist() == [1, 0, 32]


def test_box_is_decoded_in_picture_pixels() -> None:
    raw = raw_table()
    anchor = 8 * 2 + 3  # stride 8, cell (3, 2)
    raw[anchor, :4] = (0.5, 0.5, np.log(2.0), np.log(1.0))
    raw[anchor, 4] = 0.8
    raw[anchor, 7] = 0.5
    found = decode(raw, ROWS, SIZE, 0.5, (128, 64), floor=0.1, nms_iou=0.65)
    # Centre (28, 20), size 16 x 8 in the input; the input is half of the picture.
    assert found[0].tolist() == pytest.approx([1, 0.4, 40, 32, 72, 48])


def test_class_column_that_is_not_asked_for_is_left_out() -> None:
    raw = raw_table()
    raw[0, 4] = raw[0, 6] = 1.0
    assert len(decode(raw, ROWS, SIZE, 1.0, (64, 32), floor=0.1, nms_iou=0.65)) == 0


def test_overlapping_detection_of_the_same_class_is_suppressed() -> None:
    found = np.array(
        [[0, 0.9, 0, 0, 10, 10], [0, 0.8, 0, 0, 10, 9], [1, 0.7, 0, 0, 10, 10], [0, 0.6, 20, 0, 30, 10]],
        dtype=np.float32,
    )
    assert keep_best(found, 0.65).tolist() == [True, False, True, True]


def test_letterbox_keeps_the_shape_in_the_top_left() -> None:
    picture = np.full((100, 100, 3), 200, dtype=np.uint8)
    batch, scale = letterbox(picture, (416, 256))
    assert batch.shape == (1, 3, 256, 416)
    assert scale == pytest.approx(2.56)
    assert batch[0, 0, 255, 255] == 200
    assert batch[0, 0, 0, 256] == 114


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [
        (640, 360, (416, 256)),
        (640, 480, (416, 320)),
        (500, 500, (416, 416)),
        (360, 640, (256, 416)),
        (999, 3, (416, 32)),
    ],
)
def test_fitted_rectangle_keeps_the_longer_side(width: int, height: int, size: tuple[int, int]) -> None:
    assert fitted(np.zeros((height, width, 3), np.uint8), 416) == size


def test_overlap_of_half_covered_boxes() -> None:
    left = np.array([[0, 0, 10, 10]], dtype=np.float32)
    right = np.array([[5, 0, 15, 10], [20, 20, 30, 30]], dtype=np.float32)
    assert iou(left, right)[0].tolist() == pytest.approx([1 / 3, 0.0])
