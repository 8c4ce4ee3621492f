"""Street lamps: where they hang, how they light the ground, how they glare into the lens."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from sim.scenes.camera_view import CameraView
from sim.scenes.light import Colour
from sim.scenes.truth import F32, U8


@dataclass(frozen=True)
class Lamp:
    """A light: where (m), how far it reaches (m), its colour and whether its head is in view."""

    x: float
    y: float
    z: float
    reach_m: float
    colour: Colour
    power: float


def glare(layer: F32, x: float, y: float, radius: float, colour: Colour, strength: float) -> None:
    """Add a soft round glow to a float BGR layer, in place."""
    height, width = layer.shape[:2]
    r = max(radius * 2.5, 2.0)
    x0, x1, y0, y1 = (
        max(int(x - r), 0),
        min(int(x + r) + 1, width),
        max(int(y - r), 0),
        min(int(y + r) + 1, height),
    )
    if x1 <= x0 or y1 <= y0:
        return
    gy, gx = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    d = np.hypot(gx - x, gy - y) / r
    fall = np.clip(1 - d, 0, 1) ** 2.5 * strength
    layer[y0:y1, x0:x1] += fall[..., None] * np.array(colour, np.float32)


def light_map(view: CameraView, lamps: list[Lamp], dark: Colour) -> U8:
    """What the lamps make of the ground: BGR factors of 255 at quarter size, scaled up."""
    small = replace(view, focal_px=view.focal_px / 4, width=view.width // 4, height=view.height // 4)
    v, u = np.mgrid[0 : small.height, 0 : small.width]
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = small.to_ground(u + 0.5, v + 0.5)
    below = v > small.horizon_px + 1
    x, y = np.where(below, x, 0.0), np.where(below, y, 300.0)
    total = np.broadcast_to(np.array(dark), (*x.shape, 3)).copy()
    for lamp in lamps:
        d2 = (x - lamp.x) ** 2 + (y - lamp.y) ** 2
        fall = lamp.power / (1.0 + d2 / lamp.reach_m**2) ** 1.5
        total += fall[..., None] * np.array(lamp.colour) / 255.0
    scaled = cv2.resize(
        (1 - np.exp(-total)).astype(np.float32), (view.width, view.height), interpolation=cv2.INTER_CUBIC
    )
    return np.asarray(np.clip(scaled * 255, 0, 255), dtype=np.uint8)
