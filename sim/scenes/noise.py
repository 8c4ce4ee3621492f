"""Seeded textures: smooth fractal noise and sensor grain."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from sim.scenes.truth import F32, U8


@lru_cache(maxsize=16)
def fractal(seed: int, size: int = 256, octaves: int = 6, falloff: float = 0.55) -> F32:
    """size x size noise in 0..1 that tiles (value noise, octave amplitudes falling by `falloff`)."""
    rng = np.random.default_rng(seed)
    total = np.zeros((size, size), np.float32)
    amplitude = 1.0
    for octave in range(octaves):
        cells = min(4 << octave, size)
        grid = rng.random((cells, cells), dtype=np.float32)
        wrapped = np.pad(grid, 2, mode="wrap")
        k = size // cells
        big = cv2.resize(wrapped, None, fx=k, fy=k, interpolation=cv2.INTER_CUBIC)
        total += amplitude * big[2 * k : 2 * k + size, 2 * k : 2 * k + size]
        amplitude *= falloff
    low, high = float(total.min()), float(total.max())
    out = ((total - low) / (high - low)).astype(np.float32)
    out.setflags(write=False)
    return out


def sample(texture: F32, x: F32, y: F32) -> F32:
    """Bilinear look-up of a tiling texture at coordinates in texels (at most 16,000 from 0)."""
    return np.asarray(
        cv2.remap(
            texture, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
        ),
        dtype=np.float32,
    )


@lru_cache(maxsize=16)
def grain(sigma: float, height: int, width: int) -> tuple[U8, U8]:
    """Sensor noise, positive and negative part, larger than the picture so that it can be shifted."""
    rng = np.random.default_rng(9176)
    luma = rng.normal(0.0, sigma, (height + 64, width + 64, 1)).astype(np.float32)
    chroma = rng.normal(0.0, sigma * 0.5, (height + 64, width + 64, 3)).astype(np.float32)
    both = cv2.GaussianBlur(luma + chroma, (3, 3), 0.5)
    plus = np.clip(both + 0.5, 0, 255).astype(np.uint8)
    minus = np.clip(0.5 - both, 0, 255).astype(np.uint8)
    return plus, minus
