"""What every output family has in common: which outputs it reads, of what shape, and which columns are ours."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from contracts.detection import Detections

if TYPE_CHECKING:
    from inference.registry import Model, ModelToml

F32 = npt.NDArray[np.float32]
Answer = tuple[F32, ...]
"""One picture's part of each output, in the order of `Head.outputs`."""


class Head(ABC):
    """Reads the answers of one model for one rectangle (width, height) of its input."""

    def __init__(self, model: Model, size: tuple[int, int]) -> None:
        self.size = size
        self.probabilities = model.toml.scores_are_probabilities
        # Columns of classes that we have no word for ("-" in labels.txt) are never looked at.
        self.columns = np.flatnonzero(model.class_ids >= 0)
        self.ids = model.class_ids[self.columns]
        self.all_ours = len(self.columns) == len(model.class_ids)

    @staticmethod
    @abstractmethod
    def outputs(toml: ModelToml) -> tuple[str, ...]:
        """Names of the outputs that are read."""

    @staticmethod
    @abstractmethod
    def shapes(toml: ModelToml, labels: int) -> tuple[tuple[int | None, ...], ...]:
        """Shapes of those outputs for one picture of the size in model.toml; None = any."""

    @abstractmethod
    def __call__(self, answer: Answer, floors: F32) -> Detections:
        """Findings at or over the floor of their class, float32 (len(CLASS_NAMES),), before suppression; boxes in
        pixels of the rectangle. Whatever the network answers, they are finite."""

    def ours(self, scores: F32) -> F32:
        """The columns of our classes, as probabilities."""
        picked = scores if self.all_ours else scores[..., self.columns]
        return picked if self.probabilities else sigmoid(picked)


def centred(centre: F32, size: F32) -> F32:
    """Boxes (n, 4) as corners from centres (n, 2) and sides (n, 2)."""
    half = size / 2
    return np.concatenate((centre - half, centre + half), axis=1).astype(np.float32)


def findings(xyxy: F32, confidence: F32, class_id: npt.NDArray[np.int16]) -> Detections:
    """Detections without the boxes that are nowhere: a network fed with noise may answer NaN or infinity."""
    confidence = np.clip(confidence, 0.0, 1.0).astype(np.float32)
    good = np.isfinite(xyxy).all(axis=1) & np.isfinite(confidence)
    return Detections(xyxy, confidence, class_id)[good]


def sigmoid(values: F32) -> F32:
    """1 / (1 + exp(-x)), without overflow."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -60, 60))), np.float32)
