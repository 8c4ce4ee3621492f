"""The stage every scene plays on: actors in, picture and truth out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sim.scenes.background import Lamp, light_map
from sim.scenes.camera_view import CameraView, inside
from sim.scenes.figure import Part, draw_figure, turned
from sim.scenes.fire import Plume, add_puff, flame
from sim.scenes.light import Light, develop
from sim.scenes.people import Look, rider, walker
from sim.scenes.sprite import Sprite, apply, blend, paste, placement
from sim.scenes.truth import F32, F64, U8, GroundView, SceneClass, SceneKind, SceneTruth, TrueBox
from sim.scenes.vehicles import DrawnVehicle, VehicleModel, draw_vehicle, pose

HEADINGS = 24
PHASES = 8


@dataclass(frozen=True)
class Walker:
    """A person at a moment: where, which way, walking phase 0..1 (stride 0: stands)."""

    ident: int
    look: Look
    x: float
    y: float
    heading_rad: float
    phase: float
    stride: float


@dataclass(frozen=True)
class Rider:
    """A person on a bicycle or motorcycle at a moment."""

    ident: int
    look: Look
    motor: bool
    paint: tuple[float, float, float]
    x: float
    y: float
    heading_rad: float
    phase: float


@dataclass(frozen=True)
class Driven:
    """A vehicle at a moment. standing: it stands still in its lane; hazard: its lamps blink."""

    ident: int
    model: VehicleModel
    x: float
    y: float
    heading_rad: float
    braking: bool
    standing: bool


@dataclass(frozen=True)
class Blaze:
    """A fire at a moment; size in metres; plume may be absent; flame False gives smoke or steam alone."""

    seed: int
    x: float
    y: float
    width_m: float
    height_m: float
    plume: Plume | None
    since_s: float
    growth: float
    flame: bool
    counted: bool


@dataclass(frozen=True)
class Cast:
    """Everybody on stage at a moment."""

    walkers: tuple[Walker, ...] = ()
    riders: tuple[Rider, ...] = ()
    vehicles: tuple[Driven, ...] = ()
    blazes: tuple[Blaze, ...] = ()


@dataclass(frozen=True)
class _Drawn:
    """One thing ready to be drawn: distance, outline for hiding others, boxes, how to paint it."""

    distance_m: float
    outline: F64
    boxes: tuple[tuple[SceneClass, F64], ...]
    ground: tuple[float, float]
    paint: Callable[[U8], None]
    opaque: bool = True


@dataclass(frozen=True)
class Setting:
    """Where a scene plays: camera, light, painted background and its shine, lamps, calibration."""

    view: CameraView
    light: Light
    background: U8
    shine: U8
    lamps: tuple[Lamp, ...]
    calibration: GroundView
    dark: tuple[float, float, float] = (0.2, 0.19, 0.18)


class StagedScene:
    """A scene from a setting and a script (moment -> cast)."""

    def __init__(self, kind: SceneKind, seed: int, setting: Setting, script: Callable[[float], Cast]) -> None:
        self.kind = kind
        self.seed = seed
        self.night = setting.light.night
        self.width = setting.view.width
        self.height = setting.view.height
        self.view = setting.calibration
        self._setting = setting
        self._script = script
        self._light_map = light_map(setting.view, list(setting.lamps), setting.dark) if self.night else None
        self._sprites: OrderedDict[tuple[object, ...], Sprite] = OrderedDict()
        self._drawn_vehicles: OrderedDict[tuple[object, ...], DrawnVehicle] = OrderedDict()

    def truth(self, t_s: float) -> SceneTruth:
        """See `Scene.truth`."""
        cast = self._script(t_s)
        return self._truth(cast, self._prepare(cast, t_s))

    def render(self, t_s: float) -> tuple[U8, SceneTruth]:
        """See `Scene.render`."""
        cast = self._script(t_s)
        things = self._prepare(cast, t_s)
        picture = self._setting.background.copy()
        self._shadows(picture, cast)
        for thing in things:
            thing.paint(picture)
        for blaze in cast.blazes:
            self._paint_plume(picture, blaze, t_s)
        if self._light_map is not None:
            picture = np.asarray(cv2.multiply(picture, self._light_map, scale=1 / 255), dtype=np.uint8)
            cv2.add(picture, self._setting.shine, dst=picture)
            self._lamps(picture, cast)
        for blaze in cast.blazes:
            self._paint_flame(picture, blaze, t_s)
        moment = int(round(t_s * 1000)) + self.seed * 7
        softness = 0.55 + (self.seed % 5) * 0.08
        return develop(picture, self._setting.light, moment, softness), self._truth(cast, things)

    def _prepare(self, cast: Cast, t_s: float) -> list[_Drawn]:
        things = [self._figure(w) for w in cast.walkers] + [self._figure(r) for r in cast.riders]
        things += [self._vehicle(v) for v in cast.vehicles]
        things += [d for b in cast.blazes for d in self._blaze_boxes(b, t_s)]
        return sorted(things, key=lambda d: -d.distance_m)

    def _figure(self, who: Walker | Rider) -> _Drawn:
        view = self._setting.view
        tall = who.look.tall_m
        foot, head = view.project(np.array([[who.x, who.y, 0.0], [who.x, who.y, tall]]))
        reach = float(np.hypot(who.x, who.y))
        pitch = float(np.arctan2(view.height_m - tall / 2, reach))
        bearing = float(np.arctan2(who.x, who.y))
        turn = int(round((who.heading_rad + bearing) / (2 * np.pi) * HEADINGS)) % HEADINGS
        tier = int(round(np.rad2deg(pitch) / 4))
        phase = int(who.phase * PHASES) % PHASES
        size = view.focal_px / view.ahead_m(who.x, who.y, tall / 2)
        octave = int(np.ceil(np.log2(max(size, 8.0)) * 2))
        sprite = self._sprite(who, turn, tier, phase, octave)
        up = head - foot
        lean = float(np.arctan2(up[0], -up[1]))
        scale = float(np.hypot(*up)) / (tall * max(np.cos(np.deg2rad(tier * 4)), 0.2) * sprite.px_per_m)
        matrix = placement(sprite, foot, scale, lean)
        outline = apply(matrix, sprite.outlines["all"])
        boxes = [(SceneClass.PERSON, apply(matrix, sprite.outlines["person"]))]
        if isinstance(who, Rider):
            kind = SceneClass.MOTORCYCLE if who.motor else SceneClass.BICYCLE
            boxes.append((kind, apply(matrix, sprite.outlines["machine"])))
        return _Drawn(
            reach, outline, tuple(boxes), (who.x, who.y), lambda picture: paste(picture, sprite, matrix, outline)
        )

    def _sprite(self, who: Walker | Rider, turn: int, tier: int, phase: int, octave: int) -> Sprite:
        stride = round(who.stride, 1) if isinstance(who, Walker) else 0.0
        key = (type(who), who.ident, turn, tier, phase, octave, stride)
        found = self._sprites.get(key)
        if found is None:
            parts: list[Part]
            if isinstance(who, Walker):
                parts = walker(who.look, phase / PHASES, stride)
            else:
                parts = rider(who.look, who.motor, phase / PHASES, who.paint)
            px_per_m = float(2 ** (octave / 2))
            found = draw_figure(
                turned(parts, turn * 2 * np.pi / HEADINGS),
                np.deg2rad(tier * 4),
                px_per_m,
                self._setting.light,
                who.look.texture,
            )
            self._sprites[key] = found
            if len(self._sprites) > 1500:
                self._sprites.popitem(last=False)
        return found

    def _vehicle(self, car: Driven) -> _Drawn:
        drawn = self._drawn_vehicle(car)

        def paint(picture: U8) -> None:
            if drawn.patch is not None:
                _blend_at(picture, drawn.patch, drawn.x0, drawn.y0)

        return _Drawn(
            float(np.hypot(car.x, car.y)), drawn.outline, ((car.model.cls, drawn.outline),), (car.x, car.y), paint
        )

    def _drawn_vehicle(self, car: Driven) -> DrawnVehicle:
        key = (car.ident, round(car.x, 2), round(car.y, 2), round(car.heading_rad, 3), car.braking)
        found = self._drawn_vehicles.get(key)
        if found is None:
            s = self._setting
            found = draw_vehicle(car.model, s.view, car.x, car.y, car.heading_rad, s.light, car.braking)
            self._drawn_vehicles[key] = found
            if len(self._drawn_vehicles) > 80:
                self._drawn_vehicles.popitem(last=False)
        return found

    def _flame_at(self, blaze: Blaze, t_s: float) -> tuple[U8, int, int] | None:
        view = self._setting.view
        foot, top = view.project(np.array([[blaze.x, blaze.y, 0.0], [blaze.x, blaze.y, blaze.height_m]]))
        tall = float(foot[1] - top[1])
        wide = blaze.width_m * view.focal_px / view.ahead_m(blaze.x, blaze.y, 0.3)
        w, h = max(int(wide), 4), max(int(tall), 4)
        return flame(blaze.seed, t_s, w, h), int(foot[0] - w / 2), int(foot[1] - h + h * 0.04)

    def _blaze_boxes(self, blaze: Blaze, t_s: float) -> list[_Drawn]:
        out: list[_Drawn] = []
        reach = float(np.hypot(blaze.x, blaze.y))
        if blaze.flame:
            placed = self._flame_at(blaze, t_s)
            if placed is not None:
                patch, x0, y0 = placed
                ys, xs = np.nonzero(patch[..., 3] > 140)
                if len(xs) > 6:
                    box = np.array(
                        [[xs.min() + x0, ys.min() + y0], [xs.max() + 1 + x0, ys.max() + 1 + y0]], np.float64
                    )
                    out.append(
                        _Drawn(
                            reach, _corners(box), ((SceneClass.FIRE, box),), (blaze.x, blaze.y), _nothing, False
                        )
                    )
        if blaze.plume is not None and blaze.counted:
            spots = [s for s in self._puffs(blaze, t_s) if s[4] > 0.12]
            if len(spots) >= 3:
                px = np.array([[s[0], s[1]] for s in spots])
                r = np.array([s[2] * 0.62 for s in spots])[:, None]
                box = np.stack([(px - r).min(axis=0), (px + r).max(axis=0)])
                out.append(
                    _Drawn(reach, _corners(box), ((SceneClass.SMOKE, box),), (blaze.x, blaze.y), _nothing, False)
                )
        return out

    def _puffs(self, blaze: Blaze, t_s: float) -> list[tuple[float, float, float, float, float, int]]:
        """Puffs in the picture: x, y, radius px, age, alpha, number."""
        if blaze.plume is None:
            return []
        view, out = self._setting.view, []
        for offset, radius_m, age, number in blaze.plume.puffs(t_s, blaze.since_s, blaze.growth):
            at = np.array([blaze.x, blaze.y, blaze.height_m * 0.45]) + offset
            ahead = view.ahead_m(float(at[0]), float(at[1]), float(at[2]))
            if ahead < 1.5:
                continue
            px = view.project(at[None])[0]
            alpha = (
                blaze.plume.strength * min(age * 6, 1.0) * max(1 - age, 0.0) ** 0.9 * (0.45 + 0.55 * blaze.growth)
            )
            out.append((float(px[0]), float(px[1]), radius_m * view.focal_px / ahead, age, float(alpha), number))
        return out

    def _paint_plume(self, picture: U8, blaze: Blaze, t_s: float) -> None:
        spots = self._puffs(blaze, t_s)
        if not spots or blaze.plume is None:
            return
        half = np.zeros((self.height // 2, self.width // 2, 4), np.float32)
        young, old = np.array(blaze.plume.young), np.array(blaze.plume.old)
        for x, y, r, age, alpha, number in reversed(spots):
            b, g, red = (young + (old - young) * min(age * 1.4, 1.0)).tolist()
            add_puff(half, x / 2, y / 2, r / 2, (b, g, red), alpha, number)
        ys, xs = np.nonzero(half[..., 3].max(axis=1))[0], np.nonzero(half[..., 3].max(axis=0))[0]
        if not len(ys) or not len(xs):
            return
        y0, y1, x0, x1 = int(ys[0]), int(ys[-1]) + 1, int(xs[0]), int(xs[-1]) + 1
        piece = half[y0:y1, x0:x1]
        piece[..., 3] *= 255.0
        full = cv2.resize(
            np.clip(piece, 0, 255).astype(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR
        )
        _blend_at(picture, np.asarray(full, dtype=np.uint8), x0 * 2, y0 * 2)

    def _paint_flame(self, picture: U8, blaze: Blaze, t_s: float) -> None:
        if not blaze.flame:
            return
        placed = self._flame_at(blaze, t_s)
        if placed is None:
            return
        patch, x0, y0 = placed
        flicker = 0.8 + 0.2 * np.sin(t_s * 17.0) * np.sin(t_s * 7.3 + 1)
        h, w = patch.shape[:2]
        k = (0.75 if self.night else 0.22) * flicker
        _add_glow(picture, x0 + w / 2, y0 + h * 0.6, max(w, h) * 1.6, (20, 95, 215), k)
        _blend_at(picture, patch, x0, y0)

    def _shadows(self, picture: U8, cast: Cast) -> None:
        light, view = self._setting.light, self._setting.view
        mask = np.zeros((self.height // 2, self.width // 2), np.uint8)
        drift = np.array(light.sun[:2]) / max(light.sun[2], 0.35) * -0.8 if light.shadow > 0.22 else np.zeros(2)
        tallest = 0.75
        for who in (*cast.walkers, *cast.riders):
            ring = np.array([[0.2, 0], [0.1, 0.2], [-0.1, 0.2], [-0.2, 0], [-0.1, -0.2], [0.1, -0.2]])
            far = ring * 0.8 + drift * who.look.tall_m * tallest
            self._shade(mask, np.concatenate([ring, far]) + [who.x, who.y])
        for car in cast.vehicles:
            l, w = car.model.length_m / 2, car.model.width_m / 2
            base = np.array([[l, w, 0], [-l, w, 0], [-l, -w, 0], [l, -w, 0.0]])
            ground = pose(base, car.x, car.y, car.heading_rad)[:, :2]
            far = (ground - [car.x, car.y]) * 0.8 + [car.x, car.y] + drift * car.model.height_m * 0.8
            self._shade(mask, np.concatenate([ground * 1.0, far]))
        if not mask.any():
            return
        soft = cv2.GaussianBlur(mask, (7, 7), 1.6)
        keep = cv2.addWeighted(soft, -(light.shadow + 0.1), soft, 0.0, 255.0)
        full = cv2.cvtColor(
            cv2.resize(keep, (self.width, self.height), interpolation=cv2.INTER_LINEAR), cv2.COLOR_GRAY2BGR
        )
        cv2.multiply(picture, full, dst=picture, scale=1 / 255)

    def _shade(self, mask: U8, ground: F64) -> None:
        px = self._setting.view.project(np.column_stack([ground, np.zeros(len(ground))])) / 2
        if np.abs(px).max() > 3000:
            return
        hull = cv2.convexHull(px.astype(np.float32))
        cv2.fillConvexPoly(mask, np.round(hull * 16).astype(np.int32), 255, cv2.LINE_AA, 4)

    def _lamps(self, picture: U8, cast: Cast) -> None:
        for car in cast.vehicles:
            drawn = self._drawn_vehicle(car)
            for x, y, size in drawn.heads:
                _add_glow(picture, x, y, size * 0.9, (225, 240, 255), 1.0)
            for x, y, size in drawn.tails:
                _add_glow(picture, x, y, size * (0.7 if car.braking else 0.4), (40, 30, 255), 0.8)

    def _truth(self, cast: Cast, things: list[_Drawn]) -> SceneTruth:
        boxes = self._boxes(things)
        people = sum(1 for b in boxes if b.cls is SceneClass.PERSON)
        density = None
        zone = next((z for z in self.view.zones if z.kind == "standing"), None)
        if zone is not None:
            polygon = np.array(zone.polygon)
            feet = self._setting.view.project(np.array([[w.x, w.y, 0.0] for w in cast.walkers]).reshape(-1, 3))
            density = sum(inside(polygon, float(u), float(v)) for u, v in feet) / zone.area_m2
        standing = sum(
            1
            for c in cast.vehicles
            if c.standing and any(b.ground_x_m == c.x and b.ground_y_m == c.y for b in boxes)
        )
        return SceneTruth(boxes, people, standing, any(b.cls is SceneClass.FIRE for b in boxes), density)

    def _boxes(self, things: list[_Drawn]) -> tuple[TrueBox, ...]:
        owner = np.zeros((self.height // 4, self.width // 4), np.uint16)
        own_area = [0] * len(things)
        for i, thing in enumerate(things):
            if thing.opaque:
                own_area[i] = _claim(owner, thing.outline / 4, i + 1)
        left = np.bincount(owner.ravel(), minlength=len(things) + 1)
        boxes: list[TrueBox] = []
        for i, thing in enumerate(things):
            visible = 1.0 if not thing.opaque else float(left[i + 1] / max(own_area[i], 1))
            for cls, points in thing.boxes:
                box = self._clipped(points)
                if box is not None:
                    boxes.append(
                        TrueBox(cls, *box, float(thing.ground[0]), float(thing.ground[1]), min(visible, 1.0))
                    )
        return tuple(boxes)

    def _clipped(self, points: F64) -> tuple[float, float, float, float] | None:
        if not len(points):
            return None
        x1, y1 = np.maximum(points.min(axis=0), 0.0)
        x2, y2 = np.minimum(points.max(axis=0), [self.width, self.height])
        if x2 - x1 < 2 or y2 - y1 < 2:
            return None
        return float(x1), float(y1), float(x2), float(y2)


def _claim(owner: npt.NDArray[np.uint16], outline: F64, number: int) -> int:
    height, width = owner.shape
    low = np.clip(np.floor(outline.min(axis=0)), 0, [width, height]).astype(int)
    high = np.clip(np.ceil(outline.max(axis=0)) + 1, 0, [width, height]).astype(int)
    if (high <= low).any() or not len(outline):
        return 0
    cv2.fillConvexPoly(owner, np.round(outline).astype(np.int32), number)
    return int(np.count_nonzero(owner[low[1] : high[1], low[0] : high[0]] == number))


def _corners(box: F64) -> F64:
    (x1, y1), (x2, y2) = box
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])


def _nothing(picture: U8) -> None:
    """Flames and smoke are painted after the light of the night."""


def _blend_at(picture: U8, patch: U8, x0: int, y0: int) -> None:
    height, width = picture.shape[:2]
    h, w = patch.shape[:2]
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x0 + w, width), min(y0 + h, height)
    if right > left and bottom > top:
        blend(
            picture[top:bottom, left:right],
            np.ascontiguousarray(patch[top - y0 : bottom - y0, left - x0 : right - x0]),
        )


def _glow_ball() -> F32:
    y, x = np.mgrid[0:64, 0:64].astype(np.float32) / 31.5 - 1
    return np.asarray(np.clip(1 - np.hypot(x, y), 0, 1) ** 2.2, dtype=np.float32)


_BALL = _glow_ball()


def _add_glow(
    picture: U8, x: float, y: float, radius: float, colour: tuple[float, float, float], k: float
) -> None:
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
    s = 63.0 / (2 * r)
    m = np.array([[1 / s, 0, x - r - x0], [0, 1 / s, y - r - y0]])
    ball = cv2.warpAffine(_BALL, m, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
    light = np.clip(ball[..., None] * (np.array(colour, np.float32) * np.float32(k)), 0, 255).astype(np.uint8)
    region = picture[y0:y1, x0:x1]
    cv2.add(region, light, dst=region)
