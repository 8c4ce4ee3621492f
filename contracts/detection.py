"""Detections: all that a model found in one picture, as columns; they never leave the inference process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Detections:
    """Columns of n findings.

    `xyxy`: float32 (n, 4), pixels of the decoded picture, x right, y down, x1 <= x2, y1 <= y2.
    `confidence`: float32 (n,), 0..1. `class_id`: int16 (n,), index into CLASS_NAMES.

    Raises ValueError when shapes or dtypes differ.
    """

    xyxy: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int16]

    def __post_init__(self) -> None:
        n = len(self.xyxy)
        if self.xyxy.shape != (n, 4) or self.xyxy.dtype != np.float32:
            raise ValueError(f"xyxy must be float32 (n, 4), is {self.xyxy.dtype} {self.xyxy.shape}")
        if self.confidence.shape != (n,) or self.confidence.dtype != np.float32:
            raise ValueError(
                f"confidence must be float32 ({n},), is {self.confidence.dtype} {self.confidence.shape}"
            )
        if self.class_id.shape != (n,) or self.class_id.dtype != np.int16:
            raise ValueError(f"class_id must be int16 ({n},), is {self.class_id.dtype} {self.class_id.shape}")

    def __len__(self) -> int:
        return len(self.xyxy)

    def __getitem__(self, mask: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Detections:
        """The rows that a boolean mask or an index array picks."""
        return Detections(self.xyxy[mask], self.confidence[mask], self.class_id[mask])

    @classmethod
    def empty(cls) -> Detections:
        """No findings."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int16))
