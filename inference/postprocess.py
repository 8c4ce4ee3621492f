"""Postprocess: what a head (inference.families) read, without what it found twice; overlaps of boxes."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.detection import Detections

F32 = npt.NDArray[np.float32]
CANDIDATES_MAX: Final = 1000
"""Findings of one picture that go into suppression, best first; a picture has room for few hundred."""


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
