"""Flames and smoke from scrolling noise and rising puffs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from sim.scenes.noise import fractal
from sim.scenes.truth import F32, F64, U8


@lru_cache(maxsize=1)
def _palette() -> U8:
    """Heat 0..255 -> BGRA premultiplied: clear, dark red, orange, yellow, white."""
    stops = [0, 40, 80, 125, 175, 215, 255]
    bgr = [(0, 0, 0), (2, 14, 90), (8, 62, 215), (25, 125, 252), (70, 195, 255), (165, 240, 255), (235, 253, 255)]
    alpha = [0, 90, 200, 245, 255, 255, 255]
    heat = np.arange(256)
    columns = [np.interp(heat, stops, [c[i] for c in bgr]) for i in range(3)] + [np.interp(heat, stops, alpha)]
    return np.stack(columns, axis=1).astype(np.uint8)


def flame(seed: int, t_s: float, width: int, height: int) -> U8:
    """A height x width BGRA flame (premultiplied), burning at `t_s`; the foot is the lower edge."""
    tall, wide = 128, 64
    coarse, fine = fractal(seed % 997, 256, 4, 0.6), fractal(seed % 991 + 1, 256, 6, 0.7)
    y, x = np.mgrid[0:tall, 0:wide].astype(np.float32)
    up = 1.0 - y / (tall - 1)
    rise = np.float32(t_s * 95.0)
    wobble = _look(coarse, x * 1.2 + 17, y * 0.8 + rise * 0.6) - 0.5
    sway = np.float32(np.sin(t_s * 2.1 + seed) * 5.0 + np.sin(t_s * 5.3) * 2.0)
    xs = x + wobble * 34 * up + sway * up
    tongue = _look(fine, xs * 1.5, y * 0.9 + rise)
    lick = _look(coarse, xs * 2.2 + 90, y * 0.55 + rise * 0.8)
    across = np.abs(xs - wide / 2) / (wide / 2)
    body = 1.25 - up * 1.05 - np.power(across, 2.2) * (0.9 + 0.9 * up)
    heat = body + (tongue - 0.5) * 1.1 + (lick - 0.5) * 0.9
    heat *= np.clip(up * 18, 0.0, 1.0) * np.clip((1.0 - across) * 6, 0.0, 1.0)
    index = np.clip(heat * 205, 0, 255).astype(np.uint8)
    picture = _palette()[index]
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _look(texture: F32, x: F32, y: F32) -> F32:
    out = cv2.remap(texture, np.mod(x, 255.0), np.mod(y, 255.0), cv2.INTER_LINEAR)
    return np.asarray(out, dtype=np.float32)


@dataclass(frozen=True)
class Plume:
    """Puffs that leave a point every `every_s`, rise, drift and thin out; colour BGR young and old."""

    seed: int
    every_s: float
    life_s: float
    rise_mps: float
    wind: tuple[float, float]
    young: tuple[float, float, float]
    old: tuple[float, float, float]
    size_m: tuple[float, float]
    strength: float

    def puffs(self, t_s: float, since_s: float, growth: float) -> list[tuple[F64, float, float, int]]:
        """Puffs at `t_s` of a plume that began at `since_s`: (dx, dy, z) m, radius m, age 0..1, number."""
        out = []
        first = max(int(np.ceil((t_s - self.life_s - since_s) / self.every_s)), 0)
        last = int(np.floor((t_s - since_s) / self.every_s))
        for number in range(first, last + 1):
            age_s = t_s - since_s - number * self.every_s
            age = min(max(age_s / self.life_s, 0.0), 1.0)
            a = (number * 0.61803 + self.seed * 0.137) % 1.0 * 2 * np.pi
            turn = 0.35 * np.sin(age_s * 1.3 + number * 1.7)
            z = self.rise_mps * age_s * (1 - 0.3 * age)
            dx = self.wind[0] * age_s * (0.4 + 0.6 * age) + 0.3 * np.cos(a) * (0.3 + age) + turn * 0.3
            dy = self.wind[1] * age_s * (0.4 + 0.6 * age) + 0.3 * np.sin(a) * (0.3 + age)
            radius = (self.size_m[0] + (self.size_m[1] - self.size_m[0]) * age**0.8) * (
                0.8 + 0.4 * ((number * 0.317) % 1)
            )
            out.append(
                (
                    np.array([dx * growth, dy * growth, z * (0.35 + 0.65 * growth)]),
                    float(radius * (0.4 + 0.6 * growth)),
                    float(age),
                    number,
                )
            )
        return out


@lru_cache(maxsize=32)
def _puff(variant: int) -> F32:
    """A soft ragged ball, 96 x 96, alpha 0..1."""
    size = 96
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / (size - 1) * 2 - 1
    noise = np.roll(fractal(500 + variant % 4, 256, 6, 0.6), variant * 37, axis=1)[:size, :size]
    distance = np.hypot(x, y) + (noise - 0.5) * 0.75
    return np.asarray(np.clip((0.85 - distance) / 0.55, 0, 1) ** 1.2, dtype=np.float32)


@lru_cache(maxsize=32)
def _puff_shade(variant: int) -> F32:
    """Light from above on a puff, about 1."""
    size = 96
    y = np.mgrid[0:size, 0:size][0].astype(np.float32) / (size - 1)
    noise = np.roll(fractal(520 + variant % 4, 256, 6, 0.65), variant * 23, axis=0)[:size, :size]
    return np.asarray(1.12 - 0.3 * y + (noise - 0.5) * 0.5, dtype=np.float32)


def add_puff(
    layer: F32, cx: float, cy: float, radius: float, colour: tuple[float, float, float], alpha: float, variant: int
) -> None:
    """Draw one puff over a premultiplied BGRA float layer (0..255, alpha 0..1), in place."""
    height, width = layer.shape[:2]
    r = max(radius, 1.0)
    x0, y0, x1, y1 = (
        max(int(cx - r), 0),
        max(int(cy - r), 0),
        min(int(cx + r) + 1, width),
        min(int(cy + r) + 1, height),
    )
    if x1 <= x0 or y1 <= y0:
        return
    k = 95.0 / (2 * r)
    m = np.array([[1 / k, 0, cx - r - x0], [0, 1 / k, cy - r - y0]])
    a = cv2.warpAffine(_puff(variant % 16), m, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR) * alpha
    shade = cv2.warpAffine(_puff_shade(variant % 16), m, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
    region = layer[y0:y1, x0:x1]
    region *= (1.0 - a)[..., None]
    region[..., :3] += (a * shade)[..., None] * np.array(colour, np.float32)
    region[..., 3] += a
