"""Detector: pictures in, Detections out: letterbox, network, decode, suppression.

A network that takes any size sees each picture in the rectangle that fits it: the longer side of model.toml's
rectangle, the other as short as the picture's shape allows. A 16:9 picture costs what 416x256 costs, a 4:3 one
needs 416x320, and both are seen at the same scale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.detection import Detections
from inference.families import FAMILIES, Head
from inference.picture import Bgr
from inference.postprocess import suppress
from inference.preprocess import Preprocessor
from inference.registry import Model
from inference.session import Session

F32 = npt.NDArray[np.float32]
RECTANGLES_MAX: Final = 16
"""Rectangles whose buffers are kept; a county's cameras have three or four shapes."""


@dataclass(frozen=True, slots=True)
class _Rectangle:
    """What belongs to one input size."""

    preprocessor: Preprocessor
    head: Head


class Detector:
    """One per thread: it keeps its buffers."""

    def __init__(self, model: Model, *, floor: float, threads: int = 1, batch_max: int = 1) -> None:
        """`floor`: persons and vehicles down to this confidence are told, too (they are pixelated).

        Raises ModelRefused.
        """
        self.model = model
        self.session = Session(model, threads=threads)
        self.batch_max = batch_max if self.session.batches else 1
        self._rectangles: dict[tuple[int, int], _Rectangle] = {}
        self._floors = np.minimum(model.thresholds, np.float32(floor))
        self._floors[model.thresholds > 1.0] = 2.0

    def detect(self, pictures: Sequence[Bgr], *, longer_side: int | None = None) -> list[Detections]:
        """Findings of each picture in its own pixels, best first, down to the floor.

        `confident` picks those that count. Pictures of one shape go through the network together. `longer_side`:
        that of the network's input in pixels, instead of the model's own, where it takes any size.
        """
        answers: dict[int, Detections] = {}
        groups: dict[tuple[int, int], list[int]] = {}
        for index, picture in enumerate(pictures):
            groups.setdefault(self.rectangle_for(picture, longer_side), []).append(index)
        for size, members in groups.items():
            for start in range(0, len(members), self.batch_max):
                some = members[start : start + self.batch_max]
                answers.update(zip(some, self._detect_batch(size, [pictures[i] for i in some]), strict=True))
        return [answers[index] for index in range(len(pictures))]

    def second_look(self, longer_side: int) -> Callable[[Bgr], Detections] | None:
        """A look at a larger size; None when it is 0, or the network takes one size only."""
        if not longer_side or not self.session.any_size:
            return None
        return lambda picture: self.detect([picture], longer_side=longer_side)[0]

    def confident(self, found: Detections) -> Detections:
        """The findings at or over the threshold of their class."""
        return found[found.confidence >= self.model.thresholds[found.class_id]]

    def rectangle_for(self, picture: Bgr, longer_side: int | None = None) -> tuple[int, int]:
        """Width and height at which the network sees this picture."""
        toml = self.model.toml
        if not self.session.any_size:
            return toml.input_width, toml.input_height
        height, width = picture.shape[:2]
        longer, step = longer_side or max(toml.input_width, toml.input_height), max(toml.strides)
        scale = longer / max(width, height)
        # Rounded first: 416.0000001 / 32 must not become 14.
        columns, rows = (-(-max(1, round(side * scale)) // step) * step for side in (width, height))
        return columns, rows

    def _detect_batch(self, size: tuple[int, int], pictures: list[Bgr]) -> list[Detections]:
        rectangle = self._rectangle(size)
        batch, letterboxes = rectangle.preprocessor.fill(pictures)
        answers = []
        for raw, letterbox, picture in zip(self.session.run(batch), letterboxes, pictures, strict=True):
            found = suppress(rectangle.head(raw, self._floors), self.model.toml.nms.iou)
            height, width = picture.shape[:2]
            xyxy = letterbox.back(found.xyxy, width, height)
            answers.append(Detections(xyxy, found.confidence, found.class_id)[_with_area(xyxy)])
        return answers

    def _rectangle(self, size: tuple[int, int]) -> _Rectangle:
        rectangle = self._rectangles.get(size)
        if rectangle is None:
            if len(self._rectangles) >= RECTANGLES_MAX:
                self._rectangles.clear()
            head = FAMILIES[self.model.toml.family](self.model, size)
            rectangle = _Rectangle(Preprocessor(self.model.toml, size, self.batch_max), head)
            self._rectangles[size] = rectangle
        return rectangle


def _with_area(xyxy: F32) -> npt.NDArray[np.bool_]:
    """Boxes that lie in the letterbox's grey border collapse when clipped."""
    return np.asarray((xyxy[:, 2] - xyxy[:, 0] >= 1) & (xyxy[:, 3] - xyxy[:, 1] >= 1))
