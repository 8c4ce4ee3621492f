"""Runs a model of the YOLOX family over single pictures, for judging and for labelling: letterbox, decode, NMS.

Plain numpy on purpose: judging must not share its arithmetic with the code that it judges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

STRIDES = (8, 16, 32)
LETTERBOX_VALUE = 114
Bgr = NDArray[np.uint8]
Size = tuple[int, int]
Seen = Size | int
"""At what size a network sees a picture: a fixed width and height, or the length of the longer side, the other
as short as the picture allows (what inference does with a network that takes any size)."""
Found = NDArray[np.float32]
"""n x 6: class, score, x1, y1, x2, y2 in pixels of the picture, best score first."""


class Detector:
    """One ONNX file with free or fixed input size.

    `class_rows` picks and orders the class columns of the file; the classes of the answer are positions in it.
    """

    def __init__(self, weights: Path, class_rows: Sequence[int], *, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(weights), sess_options=options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name
        self._rows = np.asarray(class_rows, dtype=np.intp)

    def detect(self, picture: Bgr, seen: Seen, *, floor: float, nms_iou: float = 0.65) -> Found:
        """All detections with objectness x class score >= `floor`, after per-class NMS."""
        size = fitted(picture, seen) if isinstance(seen, int) else seen
        batch, scale = letterbox(picture, size)
        (raw,) = self._session.run(None, {self._input: batch})
        height, width = picture.shape[:2]
        return decode(np.asarray(raw)[0], self._rows, size, scale, (width, height), floor=floor, nms_iou=nms_iou)


def fitted(picture: Bgr, longer: int) -> Size:
    """Width and height, multiples of the largest stride, of the rectangle that holds the picture at `longer`."""
    height, width = picture.shape[:2]
    scale = longer / max(width, height)
    columns, rows = (
        math.ceil(max(1, round(side * scale)) / STRIDES[-1]) * STRIDES[-1] for side in (width, height)
    )
    return columns, rows


def letterbox(picture: Bgr, size: Size) -> tuple[NDArray[np.float32], float]:
    """The picture scaled into the top left of a grey rectangle, as 1 x 3 x H x W float32, and its scale."""
    width, height = size
    scale = min(width / picture.shape[1], height / picture.shape[0])
    columns = max(1, round(picture.shape[1] * scale))
    rows = max(1, round(picture.shape[0] * scale))
    canvas = np.full((height, width, 3), LETTERBOX_VALUE, np.uint8)
    canvas[:rows, :columns] = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(canvas.transpose(2, 0, 1)[None], dtype=np.float32), scale


def grid_points(size: Size) -> NDArray[np.float32]:
    """A x 3: cell x, cell y, stride of every anchor, row by row over the strides."""
    width, height = size
    levels = []
    for stride in STRIDES:
        ys, xs = np.mgrid[: height // stride, : width // stride]
        levels.append(np.stack((xs.ravel(), ys.ravel(), np.full(xs.size, stride)), axis=1))
    return np.concatenate(levels).astype(np.float32)


def decode(
    raw: NDArray[np.float32],
    rows: NDArray[np.intp],
    size: Size,
    scale: float,
    bounds: tuple[int, int],
    *,
    floor: float,
    nms_iou: float,
) -> Found:
    """A x (5 + classes) network values as detections in the picture of width and height `bounds`."""
    scores = raw[:, 4:5] * raw[:, 5 + rows]
    anchors, classes = np.nonzero(scores >= floor)
    grid = grid_points(size)[anchors]
    stride = grid[:, 2:3]
    centre = (raw[anchors, :2] + grid[:, :2]) * stride
    half = np.exp(np.minimum(raw[anchors, 2:4], 12.0)) * stride / 2
    corners = np.concatenate((centre - half, centre + half), axis=1) / scale
    corners[:, 0::2] = corners[:, 0::2].clip(0, bounds[0])
    corners[:, 1::2] = corners[:, 1::2].clip(0, bounds[1])
    found = np.column_stack((classes, scores[anchors, classes], corners)).astype(np.float32)
    found = found[np.argsort(-found[:, 1], kind="stable")]
    return found[keep_best(found, nms_iou)]


def keep_best(found: Found, nms_iou: float) -> NDArray[np.bool_]:
    """Greedy per-class non-maximum suppression over rows sorted by score: the mask of what stays."""
    keep = np.ones(len(found), dtype=np.bool_)
    for index in range(len(found)):
        if keep[index]:
            rest = slice(index + 1, None)
            same = found[rest, 0] == found[index, 0]
            overlap = iou(found[index : index + 1, 2:], found[rest, 2:])[0]
            keep[rest] &= ~(same & (overlap > nms_iou))
    return keep


def iou(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of boxes x1, y1, x2, y2: n x m."""
    low = np.maximum(left[:, None, :2], right[None, :, :2])
    high = np.minimum(left[:, None, 2:], right[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    area_left = np.prod(left[:, 2:] - left[:, :2], axis=1)
    area_right = np.prod(right[:, 2:] - right[:, :2], axis=1)
    union = area_left[:, None] + area_right[None] - shared
    return np.asarray(shared / np.maximum(union, 1e-9), dtype=np.float32)
