"""Postprocess: what a network answers, as findings in the network's rectangle. One function per family.

`yolox`: Ge et al., "YOLOX: Exceeding YOLO Series in 2021" (arXiv:2107.08430), raw head: centre = (p + cell) *
stride, size = exp(p) * stride, score = objectness * class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.detection import Detections
from inference.registry import Model

F32 = npt.NDArray[np.float32]
CANDIDATES_MAX: Final = 1000
"""Findings of one picture that go into suppression, best first; a picture has room for few hundred."""
_EXPONENT_MAX: Final = 12.0

Decode = Callable[[F32, F32], Detections]
"""(anchors x values of one picture, float32 (classes,) floors) -> findings, before suppression."""


class YoloxDecode:
    """Decodes the raw head of YOLOX for one rectangle (width, height)."""

    def __init__(self, model: Model, size: tuple[int, int]) -> None:
        toml = model.toml
        self._ids = model.class_ids
        self._cells, self._strides = anchor_grid(*size, toml.strides)
        self._probabilities = toml.scores_are_probabilities

    @staticmethod
    def output_shape(strides: tuple[int, ...], size: tuple[int, int], labels: int) -> tuple[int, int]:
        """Anchors and values per anchor that this family answers with."""
        anchors = sum((size[0] // s) * (size[1] // s) for s in strides)
        return anchors, 5 + labels

    def __call__(self, raw: F32, floors: F32) -> Detections:
        """Findings at or over the floor of their class; one per anchor and class, boxes in the rectangle."""
        objectness, classes = raw[:, 4], raw[:, 5:]
        if not self._probabilities:
            objectness, classes = _sigmoid(objectness), _sigmoid(classes)
        # Anchors whose objectness alone is below every floor go first: that leaves tens of thousands.
        rows = np.flatnonzero(objectness >= floors[self._ids].min())
        scores = objectness[rows, None] * classes[rows]
        picked, labels = np.nonzero(scores >= floors[self._ids])
        anchors = rows[picked]
        stride = self._strides[anchors, None]
        centre = (raw[anchors, 0:2] + self._cells[anchors]) * stride
        half = np.exp(np.minimum(raw[anchors, 2:4], _EXPONENT_MAX)) * stride / 2
        xyxy = np.concatenate((centre - half, centre + half), axis=1).astype(np.float32)
        confidence = np.clip(scores[picked, labels], 0.0, 1.0).astype(np.float32)
        # A network fed with noise may answer with NaN or infinity; such a box is nowhere.
        good = np.isfinite(xyxy).all(axis=1) & np.isfinite(confidence)
        return Detections(xyxy, confidence, self._ids[labels])[good]


FAMILIES: Final = {"yolox": YoloxDecode}
"""Output families that this release reads, by the name in model.toml."""


def anchor_grid(width: int, height: int, strides: tuple[int, ...]) -> tuple[F32, F32]:
    """Cells float32 (anchors, 2) as x, y and strides float32 (anchors,), row by row, small strides first."""
    cells, sizes = [], []
    for stride in strides:
        ys, xs = np.mgrid[: height // stride, : width // stride]
        cells.append(np.stack((xs.ravel(), ys.ravel()), axis=1))
        sizes.append(np.full(xs.size, stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(sizes).astype(np.float32)


def suppress(found: Detections, iou_max: float) -> Detections:
    """Greedy non-maximum suppression per class: best first, weaker ones that overlap more than `iou_max` go.

    The result is sorted by confidence, and what a stronger finding does to others does not depend on weaker
    ones: cutting the result at a higher confidence is the same as cutting the input.
    """
    order = np.argsort(-found.confidence, kind="stable")[:CANDIDATES_MAX]
    found = found[order]
    overlaps = iou(found.xyxy, found.xyxy) > iou_max
    overlaps &= found.class_id[:, None] == found.class_id[None, :]
    alive = np.ones(len(found), np.bool_)
    for index in range(len(found)):
        if alive[index]:
            alive[index + 1 :] &= ~overlaps[index, index + 1 :]
    return found[alive]


def iou(left: F32, right: F32) -> F32:
    """Intersection over union of boxes (n, 4) and (m, 4): float32 (n, m), 0..1; 0 where a box has no area."""
    low = np.maximum(left[:, None, :2], right[None, :, :2])
    high = np.minimum(left[:, None, 2:], right[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    union = box_areas(left)[:, None] + box_areas(right)[None, :] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0), np.float32)


def box_areas(xyxy: F32) -> F32:
    """Areas (n,) of boxes (n, 4)."""
    return np.asarray(np.prod(np.clip(xyxy[:, 2:] - xyxy[:, :2], 0, None), axis=1), np.float32)


def _sigmoid(values: F32) -> F32:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -60, 60))), np.float32)
