"""The stage every scene plays on: a script's cast in, picture and truth out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from sim.scenes.artists import BlazeArtist, FigureArtist, VehicleArtist
from sim.scenes.camera_view import CameraView, inside
from sim.scenes.cast import Blaze, Cast
from sim.scenes.drawn import Drawn, add_glow, blend_at, cast_shadows, true_boxes
from sim.scenes.lamps import Lamp, light_map
from sim.scenes.light import Light, develop
from sim.scenes.truth import U8, GroundView, SceneClass, SceneKind, SceneTruth, TrueBox


@dataclass(frozen=True)
class Setting:
    """Where a scene plays: camera, light, painted background and its shine, lamps, calibration.

    dark: BGR share of daylight that is left where no lamp reaches at night.
    """

    view: CameraView
    light: Light
    background: U8
    shine: U8
    lamps: tuple[Lamp, ...]
    calibration: GroundView
    dark: tuple[float, float, float]


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
        self._figures = FigureArtist(setting.view, setting.light)
        self._vehicles = VehicleArtist(setting.view, setting.light)
        self._blazes = BlazeArtist(setting.view, self.night)
        self._standing = next((z for z in self.view.zones if z.kind == "standing"), None)

    def truth(self, t_s: float) -> SceneTruth:
        """See `Scene.truth`."""
        cast = self._script(t_s)
        return self._truth(cast, self._things(cast, t_s))

    def render(self, t_s: float) -> tuple[U8, SceneTruth]:
        """See `Scene.render`."""
        cast = self._script(t_s)
        things = self._things(cast, t_s)
        light = self._setting.light
        picture = self._setting.background.copy()
        if things:
            cast_shadows(picture, things, light.shadow + 0.1)
        for thing in things:
            if thing.patch is not None:
                blend_at(picture, thing.patch, thing.x0, thing.y0)
        if self._light_map is not None:
            cv2.multiply(picture, self._light_map, dst=picture, scale=1 / 255)
            cv2.add(picture, self._setting.shine, dst=picture)
            _shine(picture, things)
        for blaze in cast.blazes:
            self._blazes.paint_plume(picture, blaze, t_s)
        for blaze in cast.blazes:
            self._burn(picture, blaze, t_s)
        moment = round(t_s * 1000) + self.seed * 7
        return develop(picture, light, moment, 0.55 + (self.seed % 5) * 0.08), self._truth(cast, things)

    def _things(self, cast: Cast, t_s: float) -> list[Drawn]:
        """Everything, farthest first."""
        placed: list[Drawn | None] = [self._figures.draw(who) for who in cast.walkers]
        placed += [self._figures.draw(who) for who in cast.riders]
        placed += [self._vehicles.draw(car) for car in cast.vehicles]
        things = [drawn for drawn in placed if drawn is not None]
        things += [drawn for blaze in cast.blazes for drawn in self._blazes.boxes(blaze, t_s)]
        return sorted(things, key=lambda drawn: -drawn.distance_m)

    def _burn(self, picture: U8, blaze: Blaze, t_s: float) -> None:
        """Flames shine by themselves: painted after the light of the night, with their glow around."""
        placed = self._blazes.flame_of(blaze, t_s)
        if placed is None:
            return
        patch, x0, y0 = placed
        h, w = patch.shape[:2]
        flicker = 0.8 + 0.2 * float(np.sin(t_s * 17.0) * np.sin(t_s * 7.3 + 1))
        add_glow(
            picture,
            x0 + w / 2,
            y0 + h * 0.6,
            max(w, h) * 1.6,
            (20, 95, 215),
            (0.7 if self.night else 0.2) * flicker,
        )
        blend_at(picture, patch, x0, y0)

    def _truth(self, cast: Cast, things: list[Drawn]) -> SceneTruth:
        boxes = true_boxes(things, self.width, self.height)
        seen = {(b.ground_x_m, b.ground_y_m) for b in boxes}
        return SceneTruth(
            boxes=boxes,
            people=sum(1 for b in boxes if b.cls is SceneClass.PERSON),
            stopped_vehicles=sum(1 for car in cast.vehicles if car.standing and (car.x, car.y) in seen),
            fire=any(b.cls is SceneClass.FIRE for b in boxes),
            density_per_m2=self._density(boxes),
        )

    def _density(self, boxes: tuple[TrueBox, ...]) -> float | None:
        if self._standing is None:
            return None
        ground = [(b.ground_x_m, b.ground_y_m, 0.0) for b in boxes if b.cls is SceneClass.PERSON]
        feet = self._setting.view.project(np.array(ground).reshape(-1, 3))
        return float(inside(np.array(self._standing.polygon), feet).sum()) / self._standing.area_m2


def _shine(picture: U8, things: list[Drawn]) -> None:
    """Vehicle lamps at night."""
    for thing in things:
        for x, y, size in thing.heads:
            add_glow(picture, x, y, size * 0.9, (225, 240, 255), 1.0)
        for x, y, size in thing.tails:
            add_glow(picture, x, y, size * 0.5, (40, 30, 255), 0.85)
