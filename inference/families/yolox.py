"""`yolox`: Ge et al., "YOLOX: Exceeding YOLO Series in 2021" (arXiv:2107.08430), the raw head.

One output, (n, anchors, 5 + labels), row by row over the strides: centre = (p + cell) * stride, size = exp(p) *
stride, score = objectness * class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from inference.families.head import F32, Answer, Head, centred, findings, sigmoid

if TYPE_CHECKING:
    from contracts.detection import Detections
    from inference.registry import Model, ModelToml

_EXPONENT_MAX: Final = 12.0


class YoloxHead(Head):
    """See Head."""

    def __init__(self, model: Model, size: tuple[int, int]) -> None:
        super().__init__(model, size)
        self._cells, self._strides = anchor_grid(*size, model.toml.strides)

    @staticmethod
    def outputs(toml: ModelToml) -> tuple[str, ...]:
        """See Head."""
        return (toml.output_name,)

    @staticmethod
    def shapes(toml: ModelToml, labels: int) -> tuple[tuple[int | None, ...], ...]:
        """See Head."""
        return ((1, anchors(toml), 5 + labels),)

    def __call__(self, answer: Answer, floors: F32) -> Detections:
        """See Head."""
        (raw,) = answer
        objectness = raw[:, 4] if self.probabilities else sigmoid(raw[:, 4])
        # Anchors whose objectness alone is below every floor go first: that leaves tens of thousands.
        rows = np.flatnonzero(objectness >= floors[self.ids].min())
        scores = objectness[rows, None] * self.ours(raw[rows, 5:])
        picked, labels = np.nonzero(scores >= floors[self.ids])
        chosen = rows[picked]
        stride = self._strides[chosen, None]
        centre = (raw[chosen, 0:2] + self._cells[chosen]) * stride
        sides = np.exp(np.minimum(raw[chosen, 2:4], _EXPONENT_MAX)) * stride
        return findings(centred(centre, sides), scores[picked, labels], self.ids[labels])


def anchors(toml: ModelToml) -> int:
    """Anchors of the input size in model.toml: one per cell of every stride."""
    return sum((toml.input_width // s) * (toml.input_height // s) for s in toml.strides)


def anchor_grid(width: int, height: int, strides: tuple[int, ...]) -> tuple[F32, F32]:
    """Cells float32 (anchors, 2) as x, y and strides float32 (anchors,), row by row, small strides first."""
    cells, sizes = [], []
    for stride in strides:
        ys, xs = np.mgrid[: height // stride, : width // stride]
        cells.append(np.stack((xs.ravel(), ys.ravel()), axis=1))
        sizes.append(np.full(xs.size, stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(sizes).astype(np.float32)
