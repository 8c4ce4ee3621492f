"""Things ready for the picture, and how they hide one another."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from sim.scenes.sprite import blend
from sim.scenes.truth import F32, F64, U8, SceneClass, TrueBox

LampSpot = tuple[float, float, float]


@dataclass(frozen=True)
class Drawn:
    """One thing ready for the picture.

    distance_m: for the painter's order; outline: convex hull, px (unclipped); boxes: class and the points it
    spans; patch: BGRA premultiplied with its place x0, y0 (None: nothing to paint in this step); shadow: hull
    on the ground, px; heads, tails: lamps that face the camera (x, y, px per metre); opaque: hides what is
    behind it.
    """

    distance_m: float
    outline: F64
    boxes: tuple[tuple[SceneClass, F64], ...]
    ground: tuple[float, float]
    patch: U8 | None = None
    x0: int = 0
    y0: int = 0
    shadow: F32 | None = None
    heads: tuple[LampSpot, ...] = field(default=())
    tails: tuple[LampSpot, ...] = field(default=())
    opaque: bool = True

    @cached_property
    def silhouette(self) -> tuple[npt.NDArray[np.int32], tuple[int, int, int, int]]:
        """Outline and its bounds (x0, y0, x1, y1; upper ones excluded) at a quarter of the size, whole px."""
        hull = np.round(self.outline / 4).astype(np.int32)
        x0, y0 = hull.min(axis=0).tolist()
        x1, y1 = hull.max(axis=0).tolist()
        return hull, (x0, y0, x1 + 1, y1 + 1)

    @cached_property
    def spans(self) -> tuple[tuple[SceneClass, float, float, float, float], ...]:
        """The boxes, unclipped: class, x1, y1, x2, y2."""
        filled = [(cls, points) for cls, points in self.boxes if len(points)]
        return tuple((cls, *points.min(axis=0).tolist(), *points.max(axis=0).tolist()) for cls, points in filled)

    @cached_property
    def shadow_fixed(self) -> npt.NDArray[np.int32] | None:
        """The shadow at half size in sixteenths of a px."""
        return None if self.shadow is None else np.round(self.shadow * 8).astype(np.int32)


def true_boxes(things: list[Drawn], width: int, height: int) -> tuple[TrueBox, ...]:
    """The boxes of things (farthest first), with the share of each silhouette left visible.

    Silhouettes are counted at a quarter of the size, as convex hulls.
    """
    owner = np.zeros((height // 4, width // 4), np.uint16)
    own_area = [_claim(owner, thing, i + 1) if thing.opaque else 0 for i, thing in enumerate(things)]
    left = np.bincount(owner.ravel(), minlength=len(things) + 1).tolist()
    boxes: list[TrueBox] = []
    for i, thing in enumerate(things):
        visible = min(left[i + 1] / max(own_area[i], 1), 1.0) if thing.opaque else 1.0
        for cls, u1, v1, u2, v2 in thing.spans:
            x1, y1, x2, y2 = max(u1, 0.0), max(v1, 0.0), min(u2, float(width)), min(v2, float(height))
            if x2 - x1 >= 2 and y2 - y1 >= 2:
                boxes.append(TrueBox(cls, x1, y1, x2, y2, *thing.ground, visible))
    return tuple(boxes)


def _claim(owner: npt.NDArray[np.uint16], thing: Drawn, number: int) -> int:
    """Fill a silhouette with its number; how many pixels it took."""
    height, width = owner.shape
    hull, (x0, y0, x1, y1) = thing.silhouette
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if x1 <= x0 or y1 <= y0:
        return 0
    cv2.fillConvexPoly(owner, hull, number)
    return int(np.count_nonzero(owner[y0:y1, x0:x1] == number))


def blend_at(picture: U8, patch: U8, x0: int, y0: int) -> None:
    """Paint a BGRA premultiplied patch at (x0, y0), cut to the picture, in place."""
    height, width = picture.shape[:2]
    h, w = patch.shape[:2]
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x0 + w, width), min(y0 + h, height)
    if right > left and bottom > top:
        blend(picture[top:bottom, left:right], patch[top - y0 : bottom - y0, left - x0 : right - x0])


def cast_shadows(picture: U8, things: list[Drawn], strength: float) -> None:
    """Darken the ground under the things' shadows, softly and once, in place."""
    height, width = picture.shape[:2]
    mask = np.zeros((height // 2, width // 2), np.uint8)
    for thing in things:
        if thing.shadow_fixed is not None:
            cv2.fillConvexPoly(mask, thing.shadow_fixed, 255, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(mask, (7, 7), 1.6)
    keep = cv2.addWeighted(soft, -strength, soft, 0.0, 255.0)
    full = cv2.cvtColor(cv2.resize(keep, (width, height), interpolation=cv2.INTER_LINEAR), cv2.COLOR_GRAY2BGR)
    cv2.multiply(picture, full, dst=picture, scale=1 / 255)


def _ball() -> F32:
    y, x = np.mgrid[0:64, 0:64].astype(np.float32) / 31.5 - 1
    return np.asarray(np.clip(1 - np.hypot(x, y), 0, 1) ** 2.2, dtype=np.float32)


_BALL = _ball()


def add_glow(picture: U8, x: float, y: float, radius: float, colour: tuple[float, float, float], k: float) -> None:
    """Add a soft round light of `radius` px and strength `k` (0..1), in place."""
    height, width = picture.shape[:2]
    r = max(radius, 2.0)
    x0, x1, y0, y1 = (
        max(int(x - r), 0),
        min(int(x + r) + 1, width),
        max(int(y - r), 0),
        min(int(y + r) + 1, height),
    )
    if x1 <= x0 or y1 <= y0:
        return
    s = 2 * r / 63.0
    m = np.array([[s, 0, x - r - x0], [0, s, y - r - y0]])
    ball = cv2.warpAffine(_BALL, m, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
    tinted = (ball[..., None] * (np.array(colour, np.float32) * np.float32(k))).astype(np.uint8)
    region = picture[y0:y1, x0:x1]
    cv2.add(region, tinted, dst=region)
