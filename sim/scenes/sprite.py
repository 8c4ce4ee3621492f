"""Drawn once, pasted often: premultiplied BGRA sprites with smaller copies, placed by a similarity."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sim.scenes.truth import F64, U8


@dataclass(frozen=True)
class Sprite:
    """levels: BGRA premultiplied, each half the size of the one before; px_per_m of level 0.

    anchor: px of the point on the ground in level 0; outlines: named convex hulls (N x 2 px of level 0).
    """

    levels: tuple[U8, ...]
    px_per_m: float
    anchor: tuple[float, float]
    outlines: dict[str, F64]


def with_levels(image: U8, px_per_m: float, anchor: tuple[float, float], outlines: dict[str, F64]) -> Sprite:
    """A sprite from one BGRA premultiplied image."""
    levels = [image]
    while min(levels[-1].shape[:2]) > 12:
        h, w = levels[-1].shape[:2]
        half = cv2.resize(levels[-1], ((w + 1) // 2, (h + 1) // 2), interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(half, dtype=np.uint8))
    return Sprite(tuple(levels), px_per_m, anchor, outlines)


def outline_of(mask: U8) -> F64:
    """Convex hull of a mask's set pixels, N x 2 px (pixel edges, so that the hull holds every pixel)."""
    rows = np.nonzero(mask.any(axis=1))[0]
    if not len(rows):
        return np.zeros((0, 2))
    left = mask[rows].argmax(axis=1)
    right = mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
    corners = np.concatenate([np.stack([x, rows + dy], 1) for x in (left, right) for dy in (0, 1)])
    hull = cv2.convexHull(corners.astype(np.int32))
    return np.asarray(hull[:, 0], dtype=np.float64)


def placement(sprite: Sprite, foot: F64, scale: float, lean_rad: float) -> F64:
    """2 x 3 matrix from level-0 px to picture px: anchor to `foot`, scaled, turned clockwise by lean."""
    c, s = scale * np.cos(lean_rad), scale * np.sin(lean_rad)
    ax, ay = sprite.anchor
    return np.array([[c, -s, foot[0] - c * ax + s * ay], [s, c, foot[1] - s * ax - c * ay]])


def apply(matrix: F64, points: F64) -> F64:
    """N x 2 points through a 2 x 3 matrix."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


def warped(sprite: Sprite, matrix: F64, outline: F64, width: int, height: int) -> tuple[U8 | None, int, int]:
    """The part of a placed sprite that lies in a width x height picture: patch and its place.

    outline: the sprite's hull in picture px. None if nothing of it is in the picture.
    """
    low, high = np.floor(outline.min(axis=0) - 2), np.ceil(outline.max(axis=0) + 2)
    x0, y0 = max(int(low[0]), 0), max(int(low[1]), 0)
    x1, y1 = min(int(high[0]), width), min(int(high[1]), height)
    if x1 <= x0 or y1 <= y0:
        return None, 0, 0
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    level = int(np.clip(np.floor(-np.log2(max(scale, 1e-6)) + 0.35), 0, len(sprite.levels) - 1))
    k = float(2**level)
    m = matrix[:, :2] * k
    # A pixel of a smaller level has its centre in the middle of the level-0 pixels that it stands for.
    moved = matrix[:, 2] + (k - 1) / 2 * (matrix[:, 0] + matrix[:, 1]) - (x0, y0)
    drawn = cv2.warpAffine(
        sprite.levels[level], np.column_stack([m, moved]), (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR
    )
    return np.asarray(drawn, dtype=np.uint8), x0, y0


def blend(region: U8, drawn: U8) -> None:
    """Premultiplied BGRA over BGR, in place."""
    clear = cv2.cvtColor(cv2.bitwise_not(cv2.extractChannel(drawn, 3)), cv2.COLOR_GRAY2BGR)
    cv2.multiply(region, clear, dst=region, scale=1 / 255)
    cv2.add(region, cv2.cvtColor(drawn, cv2.COLOR_BGRA2BGR), dst=region)
