"""From kind and seed to a scene."""

from __future__ import annotations

import numpy as np

from sim.scenes.cast import Cast
from sim.scenes.road import road_setting
from sim.scenes.square import filling_script, quiet_square_script, square_setting
from sim.scenes.stage import StagedScene
from sim.scenes.traffic import quiet_road_script, slowing_script, stopping_script
from sim.scenes.truth import Scene, SceneKind
from sim.scenes.yard import fire_script, quiet_yard_script, yard_setting


def make_scene(
    kind: SceneKind, seed: int, *, night: bool = False, width: int = 640, height: int = 360, onset_s: float = 60.0
) -> Scene:
    """A scene of `kind`; what happens in it begins at `onset_s`.

    Width and height: even, at least 64 px. Everything else (place, camera, weather, people) follows from
    kind, seed and night.
    """
    if width < 64 or height < 64 or width % 2 or height % 2:
        raise ValueError(
            f"a scene of {width}x{height} px cannot be drawn: width and height must be even and >= 64"
        )
    rng = np.random.default_rng([list(SceneKind).index(kind), seed, int(night)])
    if kind is SceneKind.SQUARE_FILLING:
        setting, ground = square_setting(rng, night, width, height)
        return StagedScene(kind, seed, setting, filling_script(rng, ground, onset_s))
    if kind is SceneKind.FIRE_STARTING:
        setting, spot = yard_setting(rng, night, width, height)
        return StagedScene(kind, seed, setting, fire_script(rng, spot, onset_s))
    if kind is SceneKind.ROAD_SLOWING:
        setting, road = road_setting(rng, night, width, height)
        return StagedScene(kind, seed, setting, slowing_script(rng, road, onset_s))
    if kind is SceneKind.VEHICLE_STOPPING:
        setting, road = road_setting(rng, night, width, height, least_lanes=2)
        return StagedScene(kind, seed, setting, stopping_script(rng, road, onset_s))
    return _quiet(kind, seed, rng, night, width, height)


def _quiet(kind: SceneKind, seed: int, rng: np.random.Generator, night: bool, width: int, height: int) -> Scene:
    empty = kind is SceneKind.EMPTY
    place = int(rng.integers(3))
    if place == 0:
        setting, ground = square_setting(rng, night, width, height)
        return StagedScene(kind, seed, setting, _nobody if empty else quiet_square_script(rng, ground))
    if place == 1:
        setting, road = road_setting(rng, night, width, height)
        return StagedScene(kind, seed, setting, _nobody if empty else quiet_road_script(rng, road))
    setting, spot = yard_setting(rng, night, width, height)
    return StagedScene(kind, seed, setting, quiet_yard_script(rng, spot, empty))


def _nobody(_t_s: float) -> Cast:
    """An empty place, at any time."""
    return Cast()
