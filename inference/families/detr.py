"""`detr`: a fixed number of queries, each a box and a score for every label; made to need no suppression.

Three forms, told apart by model.toml, as exports of RT-DETR (arXiv:2304.08069) and D-FINE (arXiv:2410.13842) have
them:

- `output_name` alone: (n, queries, 4 + labels), boxes first.
- `output_name` and `boxes_output`: scores (n, queries, labels) and boxes (n, queries, 4).
- `labels_output` and `sizes_input` besides: scores (n, queries), boxes (n, queries, 4), labels (n, queries), with
  boxes as corners scaled to the size that goes in as a second input, (n, 2) int64, width and height.

In the first two boxes are centre x, centre y, width, height as shares of the input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from inference.families.head import F32, Answer, Head, centred, findings

if TYPE_CHECKING:
    from contracts.detection import Detections
    from inference.registry import Model, ModelToml


class DetrHead(Head):
    """See Head."""

    def __init__(self, model: Model, size: tuple[int, int]) -> None:
        super().__init__(model, size)
        self._sides = np.array(size, np.float32)
        self._split = bool(model.toml.boxes_output)
        self._named = bool(model.toml.labels_output)
        self._class_ids = model.class_ids

    @staticmethod
    def outputs(toml: ModelToml) -> tuple[str, ...]:
        """See Head."""
        names = (toml.output_name, toml.boxes_output, toml.labels_output)
        return tuple(name for name in names if name)

    @staticmethod
    def shapes(toml: ModelToml, labels: int) -> tuple[tuple[int | None, ...], ...]:
        """See Head."""
        if toml.labels_output:
            return (1, None), (1, None, 4), (1, None)
        return ((1, None, labels), (1, None, 4)) if toml.boxes_output else ((1, None, 4 + labels),)

    def __call__(self, answer: Answer, floors: F32) -> Detections:
        """See Head."""
        if self._named:
            return self._read_named(answer, floors)
        boxes, scores = (answer[1], answer[0]) if self._split else (answer[0][:, :4], answer[0][:, 4:])
        scores = self.ours(scores)
        picked, labels = np.nonzero(scores >= floors[self.ids])
        xyxy = centred(boxes[picked, 0:2] * self._sides, boxes[picked, 2:4] * self._sides)
        return findings(xyxy, scores[picked, labels], self.ids[labels])

    def _read_named(self, answer: Answer, floors: F32) -> Detections:
        scores, boxes, labels = answer
        known = np.isfinite(labels) & (labels >= 0) & (labels < len(self._class_ids))
        ids = self._class_ids[np.where(known, labels, 0).astype(np.intp)]
        picked = np.flatnonzero(known & (ids >= 0) & (scores >= floors[ids]))
        return findings(boxes[picked].astype(np.float32), scores[picked], ids[picked])
