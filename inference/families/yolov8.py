"""`yolov8`: heads without objectness whose boxes are decoded inside the network.

One output, (n, 4 + labels, anchors): centre x, centre y, width, height in pixels of the input, then a score for
each label. Exports of YOLOv8, YOLO11 and their like have it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from inference.families.head import F32, Answer, Head, centred, findings
from inference.families.yolox import anchors

if TYPE_CHECKING:
    from contracts.detection import Detections
    from inference.registry import ModelToml


class Yolov8Head(Head):
    """See Head."""

    @staticmethod
    def outputs(toml: ModelToml) -> tuple[str, ...]:
        """See Head."""
        return (toml.output_name,)

    @staticmethod
    def shapes(toml: ModelToml, labels: int) -> tuple[tuple[int | None, ...], ...]:
        """See Head."""
        return ((1, 4 + labels, anchors(toml)),)

    def __call__(self, answer: Answer, floors: F32) -> Detections:
        """See Head."""
        rows = answer[0].T
        scores = self.ours(rows[:, 4:])
        picked, labels = np.nonzero(scores >= floors[self.ids])
        xyxy = centred(rows[picked, 0:2], rows[picked, 2:4])
        return findings(xyxy, scores[picked, labels], self.ids[labels])
