"""Ground: from places in the picture to metres on flat ground, and back, by the camera's homography.

Places in the picture are shares of its width and height, 0..1, so that a homography holds for every size at which
the camera sends. Metres are local: any origin, any direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.errors import ConfigError

F64 = npt.NDArray[np.float64]
POINTS_MIN: Final = 4
_CONDITION_MAX: Final = 1e6
_LEAST_AREA: Final = 1e-3
"""Of what the points span, shares of the picture: less is a line."""


@dataclass(frozen=True)
class Ground:
    """The measured ground of one camera. `matrix`: float64 (3, 3), shares of the picture to local metres."""

    matrix: F64

    @classmethod
    def of(cls, homography: Sequence[float]) -> Ground:
        """From the catalogue's nine floats, row by row."""
        return cls(np.array(homography, np.float64).reshape(3, 3))

    @classmethod
    def from_points(cls, picture: Sequence[tuple[float, float]], metres: Sequence[tuple[float, float]]) -> Ground:
        """From four places or more whose position on the ground is known: least squares over all of them.

        Normalised direct linear transformation (Hartley and Zisserman, Multiple View Geometry, 2nd ed., 4.4).
        Raises ConfigError when there are too few, or three of four lie on one line.
        """
        seen, there = np.array(picture, np.float64), np.array(metres, np.float64)
        if len(seen) < POINTS_MIN or len(seen) != len(there):
            raise ConfigError(
                f"标定至少需要 {POINTS_MIN} 个点 (give {POINTS_MIN} points or more), 各有画面与地面坐标 "
                f"(each in the picture and on the ground); 现有 (given) {len(seen)}, {len(there)}"
            )
        if not (np.isfinite(seen).all() and np.isfinite(there).all() and ((seen >= 0) & (seen <= 1)).all()):
            raise ConfigError("画面坐标应在 0 与 1 之间 (points of the picture lie within 0..1)")
        to_seen, to_there = _normaliser(seen), _normaliser(there)
        rows = []
        for (x, y), (u, v) in zip(_apply(to_seen, seen), _apply(to_there, there), strict=True):
            rows.append([-x, -y, -1, 0, 0, 0, u * x, u * y, u])
            rows.append([0, 0, 0, -x, -y, -1, v * x, v * y, v])
        _, singular, basis = np.linalg.svd(np.array(rows))
        if singular[7] * _CONDITION_MAX < singular[0] or not _spread(seen) or not _spread(there):
            raise ConfigError(
                "三点近于一线, 无法标定 (points near one line): 请选四边形的四角 (take the corners of one)"
            )
        matrix = np.linalg.inv(to_there) @ basis[-1].reshape(3, 3) @ to_seen
        return cls(matrix / matrix[2, 2])

    @property
    def homography(self) -> tuple[float, ...]:
        """Nine floats, row by row, as the catalogue holds them."""
        return tuple(float(value) for value in self.matrix.ravel())

    def to_ground(self, points: F64) -> F64:
        """Metres (n, 2) of points (n, 2), shares of the picture; not finite at the horizon, untrue above it."""
        return _apply(self.matrix, points)

    def to_picture(self, metres: F64) -> F64:
        """Shares of the picture (n, 2) of places (n, 2) on the ground."""
        return _apply(np.asarray(np.linalg.inv(self.matrix), np.float64), metres)

    def area_m2(self, polygon: F64) -> float | None:
        """Square metres of a polygon (k, 2), shares of the picture; None when it reaches the horizon."""
        depth = np.concatenate((polygon, np.ones((len(polygon), 1))), axis=1) @ self.matrix[2]
        if not ((depth > 0).all() or (depth < 0).all()):
            return None
        x, y = self.to_ground(polygon).T
        return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)

    def error_m(self, picture: Sequence[tuple[float, float]], metres: Sequence[tuple[float, float]]) -> float:
        """Root of the mean squared distance between known places and where the picture's points come to lie, m."""
        apart = self.to_ground(np.array(picture, np.float64)) - np.array(metres, np.float64)
        return float(np.sqrt((apart**2).sum(axis=1).mean()))


def _apply(matrix: F64, points: F64) -> F64:
    raised = np.concatenate((points, np.ones((len(points), 1))), axis=1) @ matrix.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(raised[:, :2] / raised[:, 2:])


def _normaliser(points: F64) -> F64:
    """Moves the middle to 0 and the mean distance from it to the root of 2."""
    middle = points.mean(axis=0)
    far = float(np.hypot(*(points - middle).T).mean())
    scale = np.sqrt(2) / max(far, 1e-12)
    return np.array([[scale, 0, -scale * middle[0]], [0, scale, -scale * middle[1]], [0, 0, 1]])


def _spread(points: F64) -> bool:
    """Whether some triangle of any three of four or more points is more than a line, beside their extent."""
    extent = float(np.prod(np.maximum(points.max(axis=0) - points.min(axis=0), 1e-12)))
    count = len(points)
    if count == POINTS_MIN:
        triples = [[i for i in range(4) if i != skipped] for skipped in range(4)]
        return all(_triangle(points[three]) > _LEAST_AREA * extent for three in triples)
    singular = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool(singular[1] > _LEAST_AREA * singular[0])


def _triangle(points: F64) -> float:
    (ax, ay), (bx, by), (cx, cy) = points
    return abs(float((bx - ax) * (cy - ay) - (cx - ax) * (by - ay))) / 2
