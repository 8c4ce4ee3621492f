"""Textures of walls: windows, shop fronts, stains, and the lit windows of the night."""

from __future__ import annotations

import cv2
import numpy as np

from sim.scenes.noise import fractal, sample
from sim.scenes.truth import F32

PX_PER_M = 24


def wall_texture(rng: np.random.Generator, length_m: float, height_m: float) -> tuple[F32, F32]:
    """Texture of a wall (PX_PER_M) and what of it shines at night."""
    k = PX_PER_M
    h, w = max(int(height_m * k), 8), max(int(min(length_m, 60) * k), 8)
    tones = (
        (170, 180, 190),
        (150, 165, 185),
        (120, 140, 175),
        (185, 190, 192),
        (140, 145, 150),
        (110, 125, 160),
    )
    colour = np.array(tones[int(rng.integers(6))], np.float32) * np.float32(rng.uniform(0.85, 1.08))
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    stain = sample(fractal(int(rng.integers(50))), x * 0.5, y * 0.25)
    grit = sample(fractal(77, 256, 7, 0.9), x * 2, y * 2)
    wall = (colour * (0.9 + 0.2 * stain + 0.1 * (grit - 0.5))[..., None]).astype(np.float32)
    lit = np.zeros_like(wall)
    floor, step = float(rng.uniform(2.9, 3.4)), float(rng.uniform(2.2, 3.4))
    ww, wh = float(rng.uniform(1.1, 1.8)), float(rng.uniform(1.2, 1.8))
    shops = bool(rng.random() < 0.5)
    level = 0
    while (level + 1) * floor < height_m + 0.3:
        sill = level * floor + 0.95
        for i in range(int(length_m / step)):
            x0 = (i + 0.5) * step - ww / 2
            if level == 0 and shops:
                _shop(rng, wall, lit, i * step, step, k)
                continue
            top, bottom = h - int((sill + wh) * k), h - int(sill * k)
            left, right = int(x0 * k), int((x0 + ww) * k)
            glass = np.array([75, 66, 58], np.float32) * np.float32(rng.uniform(0.7, 1.7))
            cv2.rectangle(wall, (left - 2, top - 2), (right + 2, bottom + 2), (colour * 1.12).tolist(), -1)
            cv2.rectangle(wall, (left, top), (right, bottom), glass.tolist(), -1)
            cv2.rectangle(wall, (left, top), (right, (top + bottom) // 2), (glass * 1.25).tolist(), -1)
            cv2.line(wall, ((left + right) // 2, top), ((left + right) // 2, bottom), (colour * 0.95).tolist(), 2)
            if rng.random() < 0.25:
                warm = np.array([90, 160, 205], np.float32) * np.float32(rng.uniform(0.3, 0.9))
                cv2.rectangle(lit, (left, top), (right, bottom), warm.tolist(), -1)
            if rng.random() < 0.2:
                cv2.rectangle(wall, (right + 4, bottom - 12), (right + 24, bottom + 6), (205, 205, 205), -1)
        level += 1
    return wall, lit


def _shop(rng: np.random.Generator, wall: F32, lit: F32, x_m: float, step_m: float, k: int) -> None:
    """A shop front: sign board above a glass front or a shutter."""
    h = wall.shape[0]
    left, right = int((x_m + 0.15) * k), int((x_m + step_m - 0.15) * k)
    sign = rng.uniform(30, 220, 3)
    cv2.rectangle(wall, (left, h - int(3.2 * k)), (right, h - int(2.5 * k)), sign.tolist(), -1)
    shutter = rng.random() < 0.4
    front = np.array([150, 150, 152]) if shutter else np.array([70, 64, 60])
    cv2.rectangle(wall, (left, h - int(2.4 * k)), (right, h - 2), front.tolist(), -1)
    if shutter:
        for y in range(h - int(2.4 * k), h - 2, 5):
            cv2.line(wall, (left, y), (right, y), (125, 125, 128), 1)
    elif rng.random() < 0.5:
        cv2.rectangle(lit, (left, h - int(2.4 * k)), (right, h - 6), (110, 150, 175), -1)
    if rng.random() < 0.4:
        cv2.rectangle(lit, (left, h - int(3.2 * k)), (right, h - int(2.5 * k)), (sign * 0.6).tolist(), -1)
