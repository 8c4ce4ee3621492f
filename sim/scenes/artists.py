"""They turn the cast into things ready for the picture, and remember what they drew.

What they remember is keyed by everything that it depends on, so memory never changes a pixel.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Generic, TypeVar

import cv2
import numpy as np

from sim.scenes.camera_view import CameraView
from sim.scenes.cast import Blaze, Driven, Rider, Walker
from sim.scenes.drawn import Drawn, blend_at
from sim.scenes.figure import draw_figure, turned
from sim.scenes.fire import add_puff, flame
from sim.scenes.light import Light
from sim.scenes.people import rider, walker
from sim.scenes.sprite import Sprite, apply, placement, warped
from sim.scenes.truth import F32, F64, U8, SceneClass
from sim.scenes.vehicles import draw_vehicle, pose

HEADINGS = 24
PHASES = 6
# People who move need many sprites, each seen for a moment: coarser steps of the view from above, fewer pixels.
STILL_TIER_DEG = 4
MOVING_TIER_DEG = 8
Key = tuple[object, ...]
T = TypeVar("T")

_RING = np.array([[0.2, 0], [0.1, 0.2], [-0.1, 0.2], [-0.2, 0], [-0.1, -0.2], [0.1, -0.2]])


class Remembered(Generic[T]):
    """The most recently used values of a function, at most `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[Key, T] = OrderedDict()

    def get(self, key: Key, make: Callable[[], T]) -> T:
        """The value for `key`, made now if it is not remembered."""
        found = self._values.get(key)
        if found is None:
            found = self._values[key] = make()
            if len(self._values) > self._limit:
                self._values.popitem(last=False)
        else:
            self._values.move_to_end(key)
        return found


def _shadow(view: CameraView, light: Light, near: F64, far: F64, tall_m: float) -> F32 | None:
    """Hull in px of a thing's shadow: its foot print and the same moved away from the sun."""
    drift = np.array(light.sun[:2]) / max(light.sun[2], 0.35) * -0.7 if light.shadow > 0.22 else np.zeros(2)
    ground = np.concatenate([near, far + drift * tall_m])
    px = view.project(np.column_stack([ground, np.zeros(len(ground))]))
    if np.abs(px).max() > 3000:
        return None
    return np.asarray(cv2.convexHull(px.astype(np.float32))[:, 0], dtype=np.float32)


class FigureArtist:
    """Draws people and riders."""

    def __init__(self, view: CameraView, light: Light) -> None:
        self._view = view
        self._light = light
        self._sprites: Remembered[Sprite] = Remembered(800)
        self._placed: Remembered[Drawn] = Remembered(400)

    def draw(self, who: Walker | Rider) -> Drawn | None:
        """Somebody, placed and cut out; None if outside the picture or too near the lens."""
        ahead = self._view.ahead_m(who.y, 0.9)
        room = (self._view.width / 2 / self._view.focal_px) * ahead + 1.5
        if ahead < 2.0 or abs(who.x) > room:
            return None
        ends = self._view.project(np.array([[who.x, who.y, -0.4], [who.x, who.y, 2.2]]))[:, 1]
        if ends[1] > self._view.height or ends[0] < 0:
            return None
        stride = who.stride if isinstance(who, Walker) else -1.0
        phase = int(who.phase * PHASES) % PHASES
        key = (who.ident, who.x, who.y, who.heading_rad, phase, stride)
        return self._placed.get(key, lambda: self._place(who, phase))

    def _place(self, who: Walker | Rider, phase: int) -> Drawn:
        view, tall = self._view, who.look.tall_m
        foot, head = view.project(np.array([[who.x, who.y, 0.0], [who.x, who.y, tall]]))
        reach = float(np.hypot(who.x, who.y))
        bearing = float(np.arctan2(who.x, who.y))
        turn = round((who.heading_rad + bearing) / (2 * np.pi) * HEADINGS) % HEADINGS
        moving = isinstance(who, Rider) or who.stride > 0
        tier_deg = MOVING_TIER_DEG if moving else STILL_TIER_DEG
        pitch_deg = round(float(np.rad2deg(np.arctan2(view.height_m - tall / 2, reach))) / tier_deg) * tier_deg
        size = view.focal_px / view.ahead_m(who.y, tall / 2)
        half_octave = round(float(np.log2(max(size, 8.0))) * 2) - (1 if moving and size > 60 else 0)
        sprite = self._sprite(who, turn, pitch_deg, phase, half_octave)
        up = head - foot
        foreshortened = tall * max(float(np.cos(np.deg2rad(pitch_deg))), 0.2)
        scale = float(np.hypot(*up)) / (foreshortened * sprite.px_per_m)
        matrix = placement(sprite, foot, scale, float(np.arctan2(up[0], -up[1])))
        outline = apply(matrix, sprite.outlines["all"])
        boxes = [(SceneClass.PERSON, apply(matrix, sprite.outlines["person"]))]
        if isinstance(who, Rider):
            kind = SceneClass.MOTORCYCLE if who.motor else SceneClass.BICYCLE
            boxes.append((kind, apply(matrix, sprite.outlines["machine"])))
        patch, x0, y0 = warped(sprite, matrix, outline, view.width, view.height)
        here = np.array([who.x, who.y])
        shadow = _shadow(view, self._light, _RING + here, _RING * 0.8 + here, tall)
        return Drawn(reach, outline, tuple(boxes), (who.x, who.y), patch, x0, y0, shadow)

    def _sprite(self, who: Walker | Rider, turn: int, pitch_deg: int, phase: int, half_octave: int) -> Sprite:
        stride = round(who.stride, 1) if isinstance(who, Walker) else -1.0

        def make() -> Sprite:
            if isinstance(who, Walker):
                parts = walker(who.look, phase / PHASES, stride)
            else:
                parts = rider(who.look, who.motor, phase / PHASES, who.paint)
            pitch, px_per_m = float(np.deg2rad(pitch_deg)), float(2 ** (half_octave / 2))
            facing = turned(parts, turn * 2 * np.pi / HEADINGS)
            return draw_figure(facing, pitch, px_per_m, self._light, who.look.texture)

        return self._sprites.get((who.ident, turn, pitch_deg, phase, half_octave, stride), make)


class VehicleArtist:
    """Draws cars, buses and trucks."""

    def __init__(self, view: CameraView, light: Light) -> None:
        self._view = view
        self._light = light
        self._drawn: Remembered[Drawn] = Remembered(160)

    def draw(self, car: Driven) -> Drawn | None:
        """A vehicle, or None if it is outside the picture or not wholly before the lens."""
        reach = car.model.length_m * 0.6
        ahead = self._view.ahead_m(car.y, 1.0)
        if ahead < reach + 1.0:
            return None
        px = self._view.width / 2 + self._view.focal_px * car.x / ahead
        room = self._view.focal_px * reach / (ahead - reach)
        if px < -room or px > self._view.width + room:
            return None
        key = (car.ident, car.x, car.y, car.heading_rad, car.braking, car.lamps_on)
        return self._drawn.get(key, lambda: self._make(car))

    def _make(self, car: Driven) -> Drawn:
        drawn = draw_vehicle(car.model, self._view, car.x, car.y, car.heading_rad, self._light, car.braking)
        long, wide = car.model.length_m / 2, car.model.width_m / 2
        base = np.array([[long, wide, 0], [-long, wide, 0], [-long, -wide, 0], [long, -wide, 0.0]])
        near = pose(base, car.x, car.y, car.heading_rad)[:, :2]
        middle = np.array([car.x, car.y])
        shadow = _shadow(self._view, self._light, near, (near - middle) * 0.8 + middle, car.model.height_m)
        if not car.lamps_on:
            drawn = replace(drawn, heads=(), tails=())
        return replace(drawn, boxes=((car.model.cls, drawn.outline),), shadow=shadow)


class BlazeArtist:
    """Draws flames and plumes."""

    def __init__(self, view: CameraView, night: bool) -> None:
        self._view = view
        self._night = night
        self._flames: Remembered[tuple[U8, int, int]] = Remembered(2)

    def boxes(self, blaze: Blaze, t_s: float) -> list[Drawn]:
        """What the truth knows of it: flames where they are bright, smoke where it is thick enough to see."""
        out: list[Drawn] = []
        reach, ground = float(np.hypot(blaze.x, blaze.y)), (blaze.x, blaze.y)
        if blaze.flame:
            patch, x0, y0 = self._flame(blaze, t_s)
            ys, xs = np.nonzero(patch[..., 3] > 140)
            if len(xs) > 6:
                box = np.array(
                    [[xs.min() + x0, ys.min() + y0], [xs.max() + 1 + x0, ys.max() + 1 + y0]], np.float64
                )
                out.append(Drawn(reach, box, ((SceneClass.FIRE, box),), ground, opaque=False))
        if blaze.counted:
            thick = [s for s in self._puffs(blaze, t_s) if s[4] > 0.12]
            if len(thick) >= 3:
                px = np.array([[s[0], s[1]] for s in thick])
                r = np.array([s[2] * 0.62 for s in thick])[:, None]
                box = np.stack([(px - r).min(axis=0), (px + r).max(axis=0)])
                out.append(Drawn(reach, box, ((SceneClass.SMOKE, box),), ground, opaque=False))
        return out

    def _flame(self, blaze: Blaze, t_s: float) -> tuple[U8, int, int]:
        view = self._view
        foot, top = view.project(np.array([[blaze.x, blaze.y, 0.0], [blaze.x, blaze.y, blaze.height_m]]))
        w = max(int(blaze.width_m * view.focal_px / view.ahead_m(blaze.y, 0.3)), 4)
        h = max(int(foot[1] - top[1]), 4)
        key = (blaze.seed, t_s, w, h, float(foot[0]), float(foot[1]))
        return self._flames.get(
            key, lambda: (flame(blaze.seed, t_s, w, h), int(foot[0] - w / 2), int(foot[1] - h * 0.96))
        )

    def _puffs(self, blaze: Blaze, t_s: float) -> list[tuple[float, float, float, float, float, int]]:
        """Puffs before the lens: x, y, radius px, age 0..1, alpha 0..1, number."""
        view, out = self._view, []
        for offset, radius_m, age, number in blaze.plume.puffs(t_s, blaze.since_s, blaze.growth):
            at = np.array([blaze.x, blaze.y, blaze.height_m * 0.45]) + offset
            ahead = view.ahead_m(float(at[1]), float(at[2]))
            if ahead < 1.5:
                continue
            px = view.project(at[None])[0]
            thin = (1 - age) ** 0.9 * (0.45 + 0.55 * blaze.growth)
            alpha = blaze.plume.strength * min(age * 6, 1.0) * thin
            out.append((float(px[0]), float(px[1]), radius_m * view.focal_px / ahead, age, float(alpha), number))
        return out

    def paint_plume(self, picture: U8, blaze: Blaze, t_s: float) -> None:
        """Draw smoke or steam at half size and lay it over the picture."""
        spots = self._puffs(blaze, t_s)
        if not spots:
            return
        width, height = self._view.width // 2, self._view.height // 2
        x0 = max(int(min(s[0] - s[2] for s in spots) / 2), 0)
        y0 = max(int(min(s[1] - s[2] for s in spots) / 2), 0)
        x1 = min(int(max(s[0] + s[2] for s in spots) / 2) + 1, width)
        y1 = min(int(max(s[1] + s[2] for s in spots) / 2) + 1, height)
        if x1 <= x0 or y1 <= y0:
            return
        layer = np.zeros((y1 - y0, x1 - x0, 4), np.float32)
        young, old = self._plume_colours(blaze)
        for x, y, r, age, alpha, number in reversed(spots):
            b, g, red = (young + (old - young) * min(age * 1.4, 1.0)).tolist()
            add_puff(layer, x / 2 - x0, y / 2 - y0, r / 2, (b, g, red), alpha, number)
        layer[..., 3] *= 255.0
        size = ((x1 - x0) * 2, (y1 - y0) * 2)
        full = cv2.resize(np.clip(layer, 0, 255).astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)
        blend_at(picture, np.asarray(full, dtype=np.uint8), x0 * 2, y0 * 2)

    def _plume_colours(self, blaze: Blaze) -> tuple[F64, F64]:
        """BGR of fresh and old smoke; at night the fire lights it from below and the town from around."""
        young, old = np.array(blaze.plume.young), np.array(blaze.plume.old)
        if not self._night:
            return young, old
        lit = np.array([45.0, 75.0, 120.0]) if blaze.flame else np.array([70.0, 72.0, 74.0])
        return lit, 48.0 + old * 0.22

    def flame_of(self, blaze: Blaze, t_s: float) -> tuple[U8, int, int] | None:
        """The flame's patch and place."""
        return self._flame(blaze, t_s) if blaze.flame else None
