"""A pinhole camera above flat ground.

World: x right, y away from the camera, z up, metres, origin on the ground below the camera. The camera looks
along +y, tilted down; no roll.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sim.scenes.truth import F64, GroundView, ZoneKind, ZoneShape

NEAR_M = 0.5


@dataclass(frozen=True)
class CameraView:
    """height_m above ground, tilt_rad below the horizon, focal_px; picture width x height px."""

    height_m: float
    tilt_rad: float
    focal_px: float
    width: int
    height: int

    @cached_property
    def ground_to_image(self) -> F64:
        """3x3 homography (x m, y m, 1) -> picture px."""
        sin, cos = np.sin(self.tilt_rad), np.cos(self.tilt_rad)
        f, h, cx, cy = self.focal_px, self.height_m, self.width / 2, self.height / 2
        return np.array(
            [
                [f, cx * cos, cx * h * sin],
                [0.0, cy * cos - f * sin, f * h * cos + cy * h * sin],
                [0.0, cos, h * sin],
            ]
        )

    @cached_property
    def image_to_ground(self) -> F64:
        """3x3 homography picture px -> ground metres, scaled so that the last number is 1."""
        inverse = np.linalg.inv(self.ground_to_image)
        return np.asarray(inverse / inverse[2, 2], dtype=np.float64)

    @property
    def horizon_px(self) -> float:
        """Row of the horizon (may lie above the picture, negative)."""
        return float(self.height / 2 - self.focal_px * np.tan(self.tilt_rad))

    def project(self, points: F64) -> F64:
        """N x 3 world metres -> N x 2 px. Points nearer than NEAR_M before the lens are pushed to it."""
        sin, cos = np.sin(self.tilt_rad), np.cos(self.tilt_rad)
        x, y, z = points[..., 0], points[..., 1], points[..., 2] - self.height_m
        ahead = np.maximum(y * cos - z * sin, NEAR_M)
        below = -y * sin - z * cos
        u = self.width / 2 + self.focal_px * x / ahead
        v = self.height / 2 + self.focal_px * below / ahead
        return np.stack([u, v], axis=-1)

    def ahead_m(self, y: float, z: float) -> float:
        """Distance along the optical axis."""
        return float(y * np.cos(self.tilt_rad) - (z - self.height_m) * np.sin(self.tilt_rad))

    def to_ground(self, u: F64, v: F64) -> tuple[F64, F64]:
        """Picture px -> ground metres; meaningless at and above the horizon."""
        m = self.image_to_ground
        w = m[2, 0] * u + m[2, 1] * v + m[2, 2]
        return (m[0, 0] * u + m[0, 1] * v + m[0, 2]) / w, (m[1, 0] * u + m[1, 1] * v + m[1, 2]) / w

    def ground_view(self, zones: tuple[ZoneShape, ...]) -> GroundView:
        """The calibration that belongs to this camera."""
        return GroundView(tuple(float(v) for v in self.image_to_ground.ravel()), zones)


def aimed_at(points: F64, height_m: float, width: int, height: int, fill: float) -> CameraView:
    """A camera `height_m` above the origin whose picture holds all `points`, filling share `fill` of it."""
    tilt = float(np.arctan2(height_m - points[:, 2].mean(), points[:, 1].mean()))
    focal = float(width)
    for _ in range(12):
        view = CameraView(height_m, tilt, focal, width, height)
        px = view.project(points)
        low, high = px.min(axis=0), px.max(axis=0)
        tilt += float(np.arctan(((low[1] + high[1]) / 2 - height / 2) / focal))
        half_width = max(abs(low[0] - width / 2), abs(high[0] - width / 2))
        focal *= fill * min(width / 2 / half_width, height / (high[1] - low[1]))
    return CameraView(height_m, tilt, focal, width, height)


def shoelace_m2(ground: F64) -> float:
    """Area of an N x 2 polygon."""
    x, y = ground[:, 0], ground[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def clip_to_picture(polygon: F64, width: float, height: float) -> F64:
    """Sutherland-Hodgman: an N x 2 px polygon cut to the picture (may become empty)."""
    kept = [(float(x), float(y)) for x, y in polygon]
    for axis, bound, sign in ((0, 0.0, 1.0), (0, width, -1.0), (1, 0.0, 1.0), (1, height, -1.0)):
        before, kept = kept, []
        for i, here in enumerate(before):
            last = before[i - 1]
            d_here, d_last = sign * (here[axis] - bound), sign * (last[axis] - bound)
            if (d_here >= 0) != (d_last >= 0):
                k = d_last / (d_last - d_here)
                kept.append((last[0] + k * (here[0] - last[0]), last[1] + k * (here[1] - last[1])))
            if d_here >= 0:
                kept.append(here)
    return np.array(kept, dtype=np.float64).reshape(-1, 2)


def zone_of(view: CameraView, name: str, kind: ZoneKind, ground: F64) -> ZoneShape:
    """A zone from an N x 2 ground polygon: cut to the picture, rounded to whole tenths of a px, measured."""
    flat = np.column_stack([ground, np.zeros(len(ground))])
    px = np.round(clip_to_picture(view.project(flat), view.width, view.height), 1)
    x, y = view.to_ground(px[:, 0], px[:, 1])
    return ZoneShape(
        name, kind, tuple((float(u), float(v)) for u, v in px), round(shoelace_m2(np.stack([x, y], 1)), 3)
    )


def inside(polygon: F64, points: F64) -> npt.NDArray[np.bool_]:
    """Which of M x 2 points lie in an N x 2 polygon (even-odd)."""
    x, y = points[:, :1], points[:, 1:]
    x1, y1 = polygon[:, 0], polygon[:, 1]
    x2, y2 = np.roll(x1, -1), np.roll(y1, -1)
    crosses = (y1 > y) != (y2 > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = x1 + (y - y1) * (x2 - x1) / (y2 - y1)
    return np.asarray(np.count_nonzero(crosses & (x < at), axis=1) % 2 == 1)
