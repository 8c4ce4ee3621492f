"""Average precision at IoU 0.5 (AP50), as in PASCAL VOC since 2010: the whole area under the precision envelope.

Detections are taken best score first; each may match one still unmatched box of its class and picture that it
overlaps most, if by at least the limit. A detection that matches nothing but lies in an ignored region counts
neither way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluate.detect import iou

IOU_LIMIT = 0.5
_INSIDE = 0.5

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Judged:
    """Detections of one class in one picture, judged: scores, which are true, and how many boxes there were.

    `scores` is sorted downwards; ignored detections are already left out.
    """

    scores: Floats
    true: NDArray[np.bool_]
    boxes: int


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision and recall after each detection, best score first, over all pictures."""

    scores: Floats
    precision: Floats
    recall: Floats
    boxes: int

    @property
    def average_precision(self) -> float:
        """Area under the envelope; nan where there is no box to find."""
        if self.boxes == 0:
            return float("nan")
        return area_under_envelope(self.precision, self.recall)

    def best_f1(self) -> tuple[float, float]:
        """(score, F1) of the threshold with the best F1; (1, 0) where nothing was found."""
        if not len(self.scores):
            return 1.0, 0.0
        f1 = 2 * self.precision * self.recall / np.maximum(self.precision + self.recall, 1e-9)
        best = int(f1.argmax())
        return float(self.scores[best]), float(f1[best])

    def at(self, threshold: float) -> tuple[float, float]:
        """(precision, recall) with all detections of at least this score; precision is 1 where there are none."""
        kept = int((self.scores >= threshold).sum())
        if kept == 0:
            return 1.0, 0.0
        return float(self.precision[kept - 1]), float(self.recall[kept - 1])


def judge(found: Floats, boxes: Floats, ignored: Floats, *, limit: float = IOU_LIMIT) -> Judged:
    """Judges one class in one picture; `found` is n x 5 (score, corners), `boxes` m x 4, `ignored` k x 4."""
    order = np.argsort(-found[:, 0], kind="stable")
    found = found[order]
    overlaps = iou(found[:, 1:], boxes)
    taken = np.zeros(len(boxes), dtype=np.bool_)
    true = np.zeros(len(found), dtype=np.bool_)
    for index in range(len(found)):
        free = np.where(taken, -1.0, overlaps[index])
        if len(free) and free.max() >= limit:
            taken[int(free.argmax())] = True
            true[index] = True
    counted = true | ~inside_any(found[:, 1:], ignored)
    return Judged(found[counted, 0], true[counted], len(boxes))


def curve(judged: Iterable[Judged]) -> Curve:
    """Joins pictures into one curve."""
    pictures: Sequence[Judged] = list(judged)
    boxes = sum(picture.boxes for picture in pictures)
    empty = np.zeros(0, dtype=np.float32)
    scores = np.concatenate([empty, *(picture.scores for picture in pictures)])
    true = np.concatenate([np.zeros(0, dtype=np.bool_), *(picture.true for picture in pictures)])
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(true[order])
    precision = hits / np.maximum(np.arange(1, len(hits) + 1), 1)
    recall = hits / max(boxes, 1)
    return Curve(scores[order], precision.astype(np.float32), recall.astype(np.float32), boxes)


def area_under_envelope(precision: Floats, recall: Floats) -> float:
    """Integral over recall of the highest precision at that recall or beyond."""
    edges = np.concatenate(([0.0], recall, [recall[-1] if len(recall) else 0.0]))
    heights = np.concatenate((precision, [0.0]))
    envelope = np.maximum.accumulate(heights[::-1])[::-1]
    return float(np.sum(np.diff(edges) * envelope))


def inside_any(boxes: Floats, regions: Floats) -> NDArray[np.bool_]:
    """Which boxes lie by at least half of their area in one of the regions."""
    if not len(regions) or not len(boxes):
        return np.zeros(len(boxes), dtype=np.bool_)
    low = np.maximum(boxes[:, None, :2], regions[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], regions[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.asarray((shared / np.maximum(area[:, None], 1e-9) >= _INSIDE).any(axis=1), dtype=np.bool_)
