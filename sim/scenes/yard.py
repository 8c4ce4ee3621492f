"""A yard between buildings: people, parked things, and a fire that starts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sim.scenes.background import Backdrop
from sim.scenes.camera_view import CameraView, zone_of
from sim.scenes.cast import Blaze, Cast, Driven, Walker
from sim.scenes.fire import Plume
from sim.scenes.lamps import Lamp
from sim.scenes.light import make_light, night_floor
from sim.scenes.people import make_look
from sim.scenes.square import Passer
from sim.scenes.stage import Setting
from sim.scenes.vehicle_models import make_car, make_truck

GROWING_S = 30.0


def yard_setting(
    rng: np.random.Generator, night: bool, width: int, height: int
) -> tuple[Setting, tuple[float, float]]:
    """Camera, ground, walls and goods; with the place (m) where something may burn."""
    light = make_light(rng, night)
    height_m = float(rng.uniform(5.0, 7.5))
    reach = float(rng.uniform(10.0, 17.0))
    focal = width * float(rng.uniform(0.8, 1.15))
    # The spot lies in the lower part of the picture, so that a plume has room to rise.
    tilt = float(np.arctan2(height_m, reach) - np.arctan(height * rng.uniform(0.10, 0.26) / focal))
    view = CameraView(height_m, tilt, focal, width, height)
    spot = (float(rng.uniform(-0.2, 0.2)) * reach, reach)
    stage = Backdrop(view, light, rng)
    stage.sky()
    stage.ground(("concrete", "asphalt", "sand", "pavers")[int(rng.integers(4))])
    back = reach * float(rng.uniform(1.6, 2.3)) + 4
    x = -70.0
    while x < 70:
        length = float(rng.uniform(14, 35))
        stage.facade(
            (x, back + float(rng.uniform(-1, 3))),
            (x + length, back + float(rng.uniform(-1, 3))),
            float(rng.choice([3, 4.5, 7, 10])),
        )
        x += length + float(rng.choice([0, 0, 4]))
    if rng.random() < 0.5:
        side = float(rng.choice([-1, 1])) * reach * 0.75
        stage.facade((side, back), (side * 1.1, reach * 0.4), float(rng.uniform(3, 6)))
    lamps: list[Lamp] = []
    for sx in (-0.6, 0.1, 0.7):
        lx, ly = sx * reach + float(rng.uniform(-2, 2)), back - float(rng.uniform(1.5, 4))
        lamp = Lamp(
            lx, ly, 6.5, float(rng.uniform(7, 11)), (150, 210, 255) if rng.random() < 0.5 else (230, 240, 255), 0.6
        )
        if rng.random() < 0.7:
            lamps.append(lamp)
            stage.lamp_post(lamp, (lx, ly + 0.8))
        if rng.random() < 0.5:
            stage.tree(lx + 3, ly, float(rng.uniform(4, 6)))
    goods = sorted(
        ((float(rng.uniform(-0.8, 0.8)) * reach, back - float(rng.uniform(2, 6))) for _ in range(6)), key=_far
    )
    for gx, gy in goods[: int(rng.integers(2, 7))]:
        tone = (np.array([90, 110, 130]) * rng.uniform(0.4, 1.5) + rng.normal(0, 18, 3)).clip(20, 220).tolist()
        container = rng.random() < 0.2
        long, deep = (
            (float(rng.uniform(3, 6)), 2.4)
            if container
            else (float(rng.uniform(0.6, 1.8)), float(rng.uniform(0.6, 1.4)))
        )
        tall = 2.5 if container else float(rng.uniform(0.3, 1.5))
        stage.box(gx, gy, (long, deep, tall), float(rng.normal(0, 0.2)), (tone[0], tone[1], tone[2]))
    stage.box(
        spot[0],
        spot[1] + 0.5,
        (float(rng.uniform(0.8, 2.2)), 0.9, float(rng.uniform(0.4, 1.0))),
        float(rng.normal(0, 0.2)),
        (60.0, 80.0, 95.0),
    )
    half = reach * 0.35
    ground = np.array(
        [
            [spot[0] - half, spot[1] - half * 0.8],
            [spot[0] + half, spot[1] - half * 0.8],
            [spot[0] + half, spot[1] + half * 0.8],
            [spot[0] - half, spot[1] + half * 0.8],
        ]
    )
    zones = (zone_of(view, "yard", "fire", ground),)
    picture, shine = stage.finished()
    return Setting(view, light, picture, shine, tuple(lamps), view.ground_view(zones), night_floor(rng)), spot


def _far(place: tuple[float, float]) -> float:
    return -place[1]


def _people(rng: np.random.Generator, spot: tuple[float, float], count: int) -> list[Passer]:
    out = []
    for _ in range(count):
        y = spot[1] + float(rng.choice([-1, 1]) * rng.uniform(1.8, 5))
        side = float(rng.choice([-1, 1]))
        out.append(
            Passer(
                make_look(rng),
                (side * 16, max(y, 5)),
                (-side * 16, max(y + float(rng.uniform(-2, 2)), 5)),
                float(rng.uniform(0.9, 1.4)),
                float(rng.uniform(28, 50)),
                float(rng.uniform(0, 80)),
            )
        )
    return out


def _parked(rng: np.random.Generator, spot: tuple[float, float]) -> tuple[Driven, ...]:
    out = []
    for i in range(int(rng.integers(0, 3))):
        model = make_car(rng) if rng.random() < 0.75 else make_truck(rng)
        x = spot[0] + (-1) ** i * float(rng.uniform(5.5, 9))
        out.append(
            Driven(
                700 + i,
                model,
                x,
                spot[1] + float(rng.uniform(-1, 5)),
                float(rng.uniform(0, 2 * np.pi)),
                False,
                False,
                False,
            )
        )
    return tuple(out)


def fire_script(rng: np.random.Generator, spot: tuple[float, float], onset_s: float) -> Callable[[float], Cast]:
    """Small flames at onset, grown after half a minute, with a plume."""
    passers, parked = _people(rng, spot, int(rng.integers(1, 4))), _parked(rng, spot)
    tall, wide = float(rng.uniform(1.6, 3.0)), float(rng.uniform(1.2, 2.4))
    dark = float(rng.uniform(25, 130))
    plume = Plume(
        int(rng.integers(1000)), 0.28, float(rng.uniform(7, 10)), float(rng.uniform(0.9, 1.5)),
        (float(rng.normal(0, 0.5)), float(rng.normal(0, 0.2))), (dark * 0.7,) * 3, (dark + 45,) * 3,
        (0.5, float(rng.uniform(1.8, 2.8))), float(rng.uniform(0.5, 0.8)),
    )  # fmt: skip
    seed = int(rng.integers(10000))

    def script(t_s: float) -> Cast:
        walkers = tuple(w for i, p in enumerate(passers) if (w := p.at(i, t_s)) is not None)
        if t_s < onset_s:
            return Cast(walkers=walkers, vehicles=parked)
        growth = float(np.clip((t_s - onset_s) / GROWING_S, 0, 1))
        size = 0.28 + 0.72 * growth
        flicker = 1 + 0.10 * float(np.sin(t_s * 6.1 + seed) + 0.6 * np.sin(t_s * 13.7))
        blaze = Blaze(seed, *spot, wide * size, tall * size * flicker, plume, onset_s, growth, True, True)
        return Cast(walkers=walkers, vehicles=parked, blazes=(blaze,))

    return script


def quiet_yard_script(rng: np.random.Generator, spot: tuple[float, float], empty: bool) -> Callable[[float], Cast]:
    """Walkers and parked vehicles; in some yards white steam from a vent (not smoke of a fire)."""
    passers = [] if empty else _people(rng, spot, int(rng.integers(1, 5)))
    parked = () if empty else _parked(rng, spot)
    steam: tuple[Blaze, ...] = ()
    if rng.random() < 0.35:
        plume = Plume(
            int(rng.integers(1000)), 0.35, 3.0, 0.9, (0.3, 0.0), (225.0,) * 3, (225.0,) * 3, (0.15, 0.7), 0.28
        )
        steam = (Blaze(1, spot[0], spot[1] + 2, 0.3, 0.3, plume, -60.0, 1.0, False, False),)

    def script(t_s: float) -> Cast:
        walkers: list[Walker] = [w for i, p in enumerate(passers) if (w := p.at(i, t_s)) is not None]
        return Cast(walkers=tuple(walkers), vehicles=parked, blazes=steam)

    return script
