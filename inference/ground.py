"""Ground: from places in the picture to metres on flat ground, by the camera's homography."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ground:
    """The measured ground of one camera. `matrix`: float64 (3, 3), shares of the picture to local metres."""

    matrix: F64

    @classmethod
    def of(cls, homography: Sequence[float]) -> Ground:
        """From the catalogue's nine floats, row by row."""
        return cls(np.array(homography, np.float64).reshape(3, 3))

    def to_ground(self, points: F64) -> F64:
        """Metres (n, 2) of points (n, 2), shares of the picture; not finite at the horizon, untrue above it."""
        raised = np.concatenate((points, np.ones((len(points), 1))), axis=1) @ self.matrix.T
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(raised[:, :2] / raised[:, 2:])
