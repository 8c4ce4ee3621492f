"""Small solid figures from rounded cones: shaded, depth-tested, anti-aliased sprites."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from sim.scenes.light import Colour, Light
from sim.scenes.noise import fractal
from sim.scenes.sprite import Sprite, outline_of, with_levels
from sim.scenes.truth import F32, F64, U8

SUPERSAMPLE = 2


@dataclass(frozen=True)
class Part:
    """A rounded cone from a (radius ra) to b (radius rb), metres; group names the thing it belongs to.

    rough: strength of folds and texture.
    """

    a: tuple[float, float, float]
    b: tuple[float, float, float]
    ra: float
    rb: float
    colour: Colour
    group: str = "person"
    rough: float = 0.12


def turned(parts: list[Part], heading_rad: float) -> list[Part]:
    """The parts turned about the vertical axis; heading 0 faces +x, counter-clockwise from above."""
    c, s = float(np.cos(heading_rad)), float(np.sin(heading_rad))

    def spin(p: tuple[float, float, float]) -> tuple[float, float, float]:
        return (c * p[0] - s * p[1], s * p[0] + c * p[1], p[2])

    return [Part(spin(p.a), spin(p.b), p.ra, p.rb, p.colour, p.group, p.rough) for p in parts]


def draw_figure(parts: list[Part], pitch_rad: float, px_per_m: float, light: Light, texture: int) -> Sprite:
    """A sprite of `parts` (already turned) seen along +y from `pitch_rad` above, parallel projection.

    The anchor is the ground point (0, 0, 0). Outlines: one per group and "all".
    """
    k = px_per_m * SUPERSAMPLE
    sin, cos = float(np.sin(pitch_rad)), float(np.cos(pitch_rad))

    def seen(points: F64) -> F64:
        return np.stack(
            [points[:, 0], -(points[:, 1] * sin + points[:, 2] * cos), points[:, 1] * cos - points[:, 2] * sin], 1
        )

    a, b = seen(np.array([p.a for p in parts])), seen(np.array([p.b for p in parts]))
    ra, rb = np.array([p.ra for p in parts]), np.array([p.rb for p in parts])
    low = np.minimum(a[:, :2] - ra[:, None], b[:, :2] - rb[:, None]).min(axis=0) - 2 / px_per_m
    high = np.maximum(a[:, :2] + ra[:, None], b[:, :2] + rb[:, None]).max(axis=0) + 2 / px_per_m
    width, height = (np.ceil((high - low) * px_per_m).astype(int) * SUPERSAMPLE).tolist()
    depth = np.full((height, width), np.inf, np.float32)
    colour = np.zeros((height, width, 3), np.float32)
    group_of = np.zeros((height, width), np.uint8)
    groups = list(dict.fromkeys(p.group for p in parts))
    sun = light.sun
    sun_seen = [sun[0], -(sun[1] * sin + sun[2] * cos), sun[1] * cos - sun[2] * sin]
    up_seen = [0.0, -cos, -sin]
    folds = _folds(texture % 5)
    buffers = _Buffers(depth, colour, group_of)
    for i, part in enumerate(parts):
        shift = (texture * 53 + i * 29) % 256
        number = groups.index(part.group) + 1
        _draw_part(part, a[i], b[i], low, k, buffers, number, (sun_seen, up_seen, light), folds[shift:, shift:])
    return _sprite(colour, group_of, groups, px_per_m, (float(-low[0] * px_per_m), float(-low[1] * px_per_m)))


@dataclass(frozen=True)
class _Buffers:
    """What is drawn so far: depth (m, smaller is nearer), colour 0..255, number of the group (0: none)."""

    depth: F32
    colour: F32
    group_of: U8


@lru_cache(maxsize=5)
def _folds(seed: int) -> F32:
    """Cloth texture 0..1, wide enough for any window at any shift."""
    return np.tile(fractal(41 + seed, 256, 6, 0.6), (5, 5))


def _draw_part(
    part: Part,
    a: F64,
    b: F64,
    low: F64,
    k: float,
    buffers: _Buffers,
    number: int,
    lighting: tuple[list[float], list[float], Light],
    folds: F32,
) -> None:
    """Draw one rounded cone into the buffers (all px supersampled, k px per metre)."""
    depth, (sun, up, light) = buffers.depth, lighting
    height, width = depth.shape
    x0 = max(int(np.floor((min(a[0] - part.ra, b[0] - part.rb) - low[0]) * k)), 0)
    x1 = min(int(np.ceil((max(a[0] + part.ra, b[0] + part.rb) - low[0]) * k)) + 1, width)
    y0 = max(int(np.floor((min(a[1] - part.ra, b[1] - part.rb) - low[1]) * k)), 0)
    y1 = min(int(np.ceil((max(a[1] + part.ra, b[1] + part.rb) - low[1]) * k)) + 1, height)
    if x1 <= x0 or y1 <= y0:
        return
    # Python floats: a numpy double would lift every array below to double precision.
    (ax, ay, az), (bx, by, bz), (left, top) = a.tolist(), b.tolist(), low.tolist()
    px = ((np.arange(x0, x1, dtype=np.float32) + 0.5) / k + (left - ax))[None, :]
    py = ((np.arange(y0, y1, dtype=np.float32) + 0.5) / k + (top - ay))[:, None]
    dx, dy, dz = bx - ax, by - ay, bz - az
    length2 = max(dx * dx + dy * dy, 1e-9)
    along = np.clip(px * (dx / length2) + py * (dy / length2), 0.0, 1.0)
    radius = part.ra + along * (part.rb - part.ra)
    ex, ey = px - along * dx, py - along * dy
    rise2 = radius * radius - ex * ex - ey * ey
    rise = np.sqrt(np.maximum(rise2, 0.0))
    z = along * dz - rise + az
    window = depth[y0:y1, x0:x1]
    hit = (rise2 > 0) & (z < window)
    if not hit.any():
        return
    window[hit] = z[hit]
    fold = folds[y0 % 64 : y0 % 64 + (y1 - y0), x0 % 64 : x0 % 64 + (x1 - x0)][hit]
    r = radius[hit]
    nx, ny, nz = ex[hit] / r, ey[hit] / r, -rise[hit] / r
    skyward = nx * up[0] + ny * up[1] + nz * up[2]
    sunward = np.maximum(nx * sun[0] + ny * sun[1] + nz * sun[2], 0.0)
    shade = light.ambient * (0.62 + 0.38 * skyward) + (light.diffuse * 1.15) * sunward
    shade *= (1.0 - 1.1 * part.rough) + (2.2 * part.rough) * fold
    buffers.colour[y0:y1, x0:x1][hit] = shade[:, None] * np.array(part.colour, np.float32)
    buffers.group_of[y0:y1, x0:x1][hit] = number


def _sprite(colour: F32, group_of: U8, groups: list[str], px_per_m: float, anchor: tuple[float, float]) -> Sprite:
    height, width = group_of.shape
    image = np.zeros((height, width, 4), np.uint8)
    image[..., :3] = np.clip(colour, 0, 255)
    image[..., 3] = np.where(group_of > 0, 255, 0)
    size = (width // SUPERSAMPLE, height // SUPERSAMPLE)
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    outlines = {"all": outline_of(np.asarray(small[..., 3] > 100, dtype=np.uint8))}
    if len(groups) == 1:
        outlines[groups[0]] = outlines["all"]
    else:
        for number, group in enumerate(groups, start=1):
            mask = np.asarray(group_of == number, dtype=np.uint8)
            outlines[group] = outline_of(mask) / SUPERSAMPLE
    return with_levels(small, px_per_m, anchor, outlines)
