"""Pictures as a county's cameras would send them: other scales, mosaics, light, night, blur, compression.

Pure numpy and OpenCV; every function takes its random generator, so a step of training can be made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Bgr = NDArray[np.uint8]
Boxes = NDArray[np.float32]

FILL = 114
_KEEP_VISIBLE = 0.35
_LEAST_PIXELS = 3.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Pixels with labels in pixels: boxes n x 5 (class, corners), ignored m x 4, silent k x 5 (class, region)."""

    pixels: Bgr
    boxes: Boxes
    ignored: Boxes
    silent: Boxes


def compose(samples: Sequence[Sample], size: tuple[int, int], rng: np.random.Generator) -> Sample:
    """One network input of width, height `size` from one, two or four samples."""
    width, height = size
    if len(samples) == 1:
        return place(samples[0], (0, 0, width, height), size, rng, loose=True)
    split_x = int(width * rng.uniform(0.35, 0.65))
    if len(samples) == 2:
        tiles = [(0, 0, split_x, height), (split_x, 0, width, height)]
    else:
        split_y = int(height * rng.uniform(0.35, 0.65))
        tiles = [
            (0, 0, split_x, split_y), (split_x, 0, width, split_y),
            (0, split_y, split_x, height), (split_x, split_y, width, height),
        ]  # fmt: skip
    parts = [place(sample, tile, size, rng, loose=False) for sample, tile in zip(samples, tiles, strict=True)]
    pixels = np.full((height, width, 3), FILL, np.uint8)
    for part, (x1, y1, x2, y2) in zip(parts, tiles, strict=True):
        pixels[y1:y2, x1:x2] = part.pixels[y1:y2, x1:x2]
    return Sample(
        pixels,
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.ignored for part in parts]),
        np.concatenate([part.silent for part in parts]),
    )


def place(
    sample: Sample,
    tile: tuple[int, int, int, int],
    size: tuple[int, int],
    rng: np.random.Generator,
    *,
    loose: bool,
) -> Sample:
    """Draws a sample at a random scale and offset into one tile of a grey canvas; labels follow.

    `loose` scales run from half of the letterbox fit up to covering the tile; others stay near covering it.
    """
    width, height = size
    x1, y1, x2, y2 = tile
    rows, columns = sample.pixels.shape[:2]
    fit = min((x2 - x1) / columns, (y2 - y1) / rows)
    cover = max((x2 - x1) / columns, (y2 - y1) / rows)
    low, high = (0.55 * fit, max(cover, 1.25 * fit)) if loose else (0.8 * fit, 1.15 * cover)
    as_deployed = loose and rng.random() < 0.35
    scale = fit if as_deployed else float(np.exp(rng.uniform(np.log(low), np.log(high))))
    aspect = float(np.exp(rng.normal(0, 0.06)))
    scale_x, scale_y = scale * aspect, scale / aspect
    free_x, free_y = (x2 - x1) - columns * scale_x, (y2 - y1) - rows * scale_y
    shift_x, shift_y = x1 + free_x * rng.random(), y1 + free_y * rng.random()
    mirror = rng.random() < 0.5
    if mirror:
        shift_x += columns * scale_x
        scale_x = -scale_x
    matrix = np.array([[scale_x, 0, shift_x], [0, scale_y, shift_y]], dtype=np.float32)
    shrunk = _shrink_first(sample.pixels, scale)
    shrink = np.array([columns / shrunk.shape[1], rows / shrunk.shape[0], 1.0], dtype=np.float32)
    pixels = cv2.warpAffine(
        shrunk, matrix * shrink, (width, height), flags=cv2.INTER_LINEAR, borderValue=(FILL, FILL, FILL)
    )
    boxes, lost = _move(sample.boxes, matrix, tile)
    ignored, _ = _move(_with_class(sample.ignored), matrix, tile, keep=0.0)
    silent, _ = _move(sample.silent, matrix, tile, keep=0.0)
    return Sample(np.asarray(pixels, dtype=np.uint8), boxes, np.concatenate((ignored[:, 1:], lost[:, 1:])), silent)


def relight(pixels: Bgr, rng: np.random.Generator) -> Bgr:
    """Colour, light, night, infrared, blur, sensor noise, compression: each sometimes."""
    out = _colour(pixels, rng)
    if rng.random() < 0.15:
        out = _night(out, rng)
    if rng.random() < 0.06:
        out = np.repeat(cv2.cvtColor(out, cv2.COLOR_BGR2GRAY)[..., None], 3, axis=2).astype(np.uint8)
    if rng.random() < 0.12:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.5, 1.4))), dtype=np.uint8)
    if rng.random() < 0.15:
        noise = rng.normal(0, rng.uniform(2, 9), (*out.shape[:2], 1))
        out = np.clip(out + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = int(rng.integers(25, 85))
        _, packed = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, quality])
        out = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), dtype=np.uint8)
    return out


def _colour(pixels: Bgr, rng: np.random.Generator) -> Bgr:
    hsv = cv2.cvtColor(pixels, cv2.COLOR_BGR2HSV)
    # Hue stays near the truth: flames are known by it.
    hue = (np.arange(256) + rng.uniform(-4, 4)) % 180
    saturation = np.clip(np.arange(256) * rng.uniform(0.6, 1.4), 0, 255)
    value = np.clip(
        255 * (np.arange(256) / 255) ** np.exp(rng.uniform(-0.35, 0.35)) * rng.uniform(0.8, 1.15), 0, 255
    )
    table = np.stack((hue, saturation, value), axis=1).astype(np.uint8)[None]
    return np.asarray(cv2.cvtColor(cv2.LUT(hsv, table.reshape(1, 256, 3)), cv2.COLOR_HSV2BGR), dtype=np.uint8)


def _night(pixels: Bgr, rng: np.random.Generator) -> Bgr:
    dark = (pixels.astype(np.float32) / 255) ** rng.uniform(1.2, 2.0) * rng.uniform(0.35, 0.8)
    dark *= np.array([rng.uniform(0.9, 1.1), 1.0, rng.uniform(0.9, 1.15)])
    grain = rng.normal(0, rng.uniform(0.01, 0.035), pixels.shape[:2])[..., None]
    return np.asarray(np.clip((dark + grain) * 255, 0, 255), dtype=np.uint8)


def _shrink_first(pixels: Bgr, scale: float) -> Bgr:
    if scale > 0.7:
        return pixels
    small = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return np.asarray(cv2.resize(pixels, small, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _with_class(regions: Boxes) -> Boxes:
    return np.concatenate((np.zeros((len(regions), 1), np.float32), regions), axis=1)


def _move(
    boxes: Boxes, matrix: NDArray[np.float32], tile: tuple[int, int, int, int], *, keep: float = _KEEP_VISIBLE
) -> tuple[Boxes, Boxes]:
    """Boxes after the move, cut to the tile: those that are still seen well, and the remains of the others."""
    xs = boxes[:, (1, 3)] * matrix[0, 0] + matrix[0, 2]
    ys = boxes[:, (2, 4)] * matrix[1, 1] + matrix[1, 2]
    moved = np.stack((xs.min(axis=1), ys.min(axis=1), xs.max(axis=1), ys.max(axis=1)), axis=1)
    area = np.prod(moved[:, 2:] - moved[:, :2], axis=1)
    cut = moved.copy()
    cut[:, 0::2] = cut[:, 0::2].clip(tile[0], tile[2])
    cut[:, 1::2] = cut[:, 1::2].clip(tile[1], tile[3])
    sides = cut[:, 2:] - cut[:, :2]
    seen = np.prod(sides, axis=1) / np.maximum(area, 1e-6)
    there = (sides > 0.5).all(axis=1)
    good = there & (seen >= keep) & ((sides >= _LEAST_PIXELS).all(axis=1) | (keep == 0.0))
    rows = np.concatenate((boxes[:, :1], cut), axis=1).astype(np.float32)
    return rows[good], rows[there & ~good]
