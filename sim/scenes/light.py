"""Weather and light of a scene, and the last steps from drawn scene to camera picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sim.scenes.noise import grain
from sim.scenes.truth import F64, U8

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Light:
    """sun: unit vector towards the sun; ambient + diffuse about 1; tint BGR; shadow 0..1; haze per metre."""

    night: bool
    sun: tuple[float, float, float]
    ambient: float
    diffuse: float
    tint: Colour
    shadow: float
    haze_colour: Colour
    haze_per_m: float
    sunset: bool
    grain: float
    contrast: float

    def shade(self, normals: F64) -> F64:
        """N x 3 unit normals -> N brightness factors (sky from above, sun from its side)."""
        sky = self.ambient * (0.72 + 0.28 * normals[..., 2])
        return np.asarray(sky + self.diffuse * np.maximum(normals @ np.array(self.sun), 0.0))

    def fade(self, colour: Colour, distance_m: float) -> Colour:
        """A colour seen through `distance_m` of air."""
        k = float(np.exp(-distance_m * self.haze_per_m))
        b, g, r = (c * k + h * (1 - k) for c, h in zip(colour, self.haze_colour, strict=True))
        return (b, g, r)


def make_light(rng: np.random.Generator, night: bool) -> Light:
    """Sun, overcast, hazy or sunset by day; at night light comes from lamps."""
    azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.1)
    overcast = float(rng.uniform(0, 1))
    sunset = bool(not night and rng.random() < 0.18)
    if sunset:
        height = rng.uniform(0.15, 0.3)
    sun = (
        float(np.cos(azimuth) * np.cos(height)),
        float(np.sin(azimuth) * np.cos(height)),
        float(np.sin(height)),
    )
    diffuse = 0.1 if night else float(0.15 + 0.5 * (1 - overcast))
    warm = 0.15 if sunset else float(rng.uniform(-0.03, 0.05))
    return Light(
        night=night,
        sun=sun,
        ambient=0.92 - 0.45 * diffuse,
        diffuse=diffuse,
        tint=(1.0 - warm, 1.0 - warm * 0.3, 1.0 + warm * 0.4),
        shadow=0.12 if night else float(0.15 + 0.4 * (1 - overcast)),
        haze_colour=(40.0, 36.0, 34.0) if night else (205.0, 200.0, 194.0),
        haze_per_m=float(rng.uniform(0.001, 0.004 if rng.random() < 0.7 else 0.012)),
        sunset=sunset,
        grain=float(rng.uniform(4.0, 7.0) if night else rng.uniform(1.5, 3.5)),
        contrast=float(rng.uniform(0.82, 0.95) if night else rng.uniform(0.9, 1.06)),
    )


def night_floor(rng: np.random.Generator) -> Colour:
    """BGR share of daylight where no lamp reaches: what a sensor makes of a town's night sky."""
    k = float(rng.uniform(0.26, 0.42))
    return (k, k * 0.96, k * 0.92)


def develop(picture: U8, light: Light, moment: int, softness: float) -> U8:
    """What lens, sensor and encoder do: softness, contrast, grain that changes with `moment`."""
    height, width = picture.shape[:2]
    soft = cv2.GaussianBlur(picture, (3, 3), softness)
    lifted = cv2.convertScaleAbs(soft, alpha=light.contrast, beta=(1 - light.contrast) * 110)
    plus, minus = grain(round(light.grain * 2) / 2, height, width)
    dx, dy = (moment * 37) % 64, (moment * 101) % 64
    lifted = cv2.add(lifted, plus[dy : dy + height, dx : dx + width])
    lifted = cv2.subtract(lifted, minus[dy : dy + height, dx : dx + width])
    return np.asarray(lifted, dtype=np.uint8)
