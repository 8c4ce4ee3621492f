"""A square seen from a steep camera: passers-by, and a crowd that gathers in a small zone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim.scenes.background import Backdrop, Surface
from sim.scenes.camera_view import aimed_at, inside, shoelace_m2, zone_of
from sim.scenes.cast import Cast, Walker
from sim.scenes.lamps import Lamp
from sim.scenes.light import make_light, night_floor
from sim.scenes.people import Look, make_look
from sim.scenes.stage import Setting
from sim.scenes.truth import F64

WANTED_PER_M2 = 3.5
GATHERING_S = 50.0


@dataclass(frozen=True)
class Stander:
    """Somebody who comes from (sx, sy), starting at `leaves_s`, to stand at (x, y) from `arrives_s` on."""

    look: Look
    x: float
    y: float
    sx: float
    sy: float
    leaves_s: float
    arrives_s: float
    facing_rad: float

    def at(self, ident: int, t_s: float) -> Walker | None:
        """Where the person is, or None before coming."""
        if t_s < self.leaves_s:
            return None
        if t_s >= self.arrives_s:
            return self._waiting(ident, t_s)
        k = (t_s - self.leaves_s) / (self.arrives_s - self.leaves_s)
        x, y = self.sx + k * (self.x - self.sx), self.sy + k * (self.y - self.sy)
        heading = float(np.arctan2(self.y - self.sy, self.x - self.sx))
        return Walker(ident, self.look, x, y, heading, (t_s * 0.9 + ident * 0.37) % 1.0, 0.9)

    def _waiting(self, ident: int, t_s: float) -> Walker:
        """Standing people keep still and now and then turn or shift their weight."""
        turn = int((t_s + ident * 3.7) / (7.0 + ident % 9))
        shift = float(np.sin(turn * 12.9 + ident * 7.1))
        facing = self.facing_rad + (0.3 if shift > 0.2 else 0.0)
        return Walker(ident, self.look, self.x + 0.02 * shift, self.y + 0.01 * shift, facing, 0.0, 0.0)


@dataclass(frozen=True)
class Passer:
    """Somebody who walks from a to b again and again, out of the picture in between."""

    look: Look
    a: tuple[float, float]
    b: tuple[float, float]
    speed_mps: float
    every_s: float
    offset_s: float

    def at(self, ident: int, t_s: float, until_s: float = np.inf) -> Walker | None:
        """Where the person is, or None while away. No walk begins after `until_s`."""
        dx, dy = self.b[0] - self.a[0], self.b[1] - self.a[1]
        length = float(np.hypot(dx, dy))
        since = (t_s + self.offset_s) % self.every_s
        if since * self.speed_mps > length or t_s - since > until_s:
            return None
        k = since * self.speed_mps / length
        phase = (since * self.speed_mps / 1.45 + ident * 0.31) % 1.0
        heading = float(np.arctan2(dy, dx))
        return Walker(
            ident,
            self.look,
            self.a[0] + k * dx,
            self.a[1] + k * dy,
            heading,
            phase,
            min(self.speed_mps / 1.4, 1.0),
        )


def square_setting(rng: np.random.Generator, night: bool, width: int, height: int) -> tuple[Setting, F64]:
    """Camera, pavement and things around; with the zone's ground polygon (4 x 2 m)."""
    light = make_light(rng, night)
    w, d = float(rng.uniform(5.3, 5.9)), float(rng.uniform(2.6, 2.9))
    turn, steepness = float(rng.uniform(-0.12, 0.12)), float(np.tan(np.deg2rad(rng.uniform(51, 57))))
    height_m = float(rng.uniform(6.4, 9.0))
    reach = height_m / steepness
    corners = np.array([[-w, -d], [w, -d], [w, d], [-w, d]]) / 2
    c, s = np.cos(turn), np.sin(turn)
    ground = corners @ np.array([[c, s], [-s, c]]) + [float(rng.uniform(-0.3, 0.3)), reach]
    solid = np.concatenate([np.column_stack([ground, np.full(4, z)]) for z in (0.0, 1.75)])
    view = aimed_at(solid, height_m, width, height, 0.93)
    lamps = [
        Lamp(
            float(rng.uniform(-6, 6)),
            float(rng.uniform(2, 13)),
            6.0,
            float(rng.uniform(5, 8)),
            (190, 225, 255),
            0.75,
        )
        for _ in range(2)
    ]
    stage = Backdrop(view, light, rng)
    stage.sky()
    surface: Surface = "pavers" if rng.random() < 0.7 else "concrete"
    stage.ground(surface)
    band = float(rng.uniform(0.2, 0.5))
    far = reach + d / 2 + 1.2
    if rng.random() < 0.6:
        stage.ground("asphalt" if rng.random() < 0.5 else "grass", (stage.y > far + band).astype(np.float64))
    for _ in range(int(rng.integers(1, 4))):
        colour = tuple(rng.uniform(50, 190, 3).tolist())
        stage.box(
            float(rng.choice([-1, 1]) * rng.uniform(3.6, 6)),
            far + float(rng.uniform(0.2, 3)),
            (float(rng.uniform(0.5, 1.8)), 0.5, float(rng.uniform(0.4, 0.9))),
            0.0,
            colour,
        )
    zones = (zone_of(view, "square", "standing", ground),)
    picture, shine = stage.finished()
    return Setting(view, light, picture, shine, tuple(lamps), view.ground_view(zones), night_floor(rng)), ground


def _spots(rng: np.random.Generator, ground: F64, wanted: int) -> list[tuple[float, float]]:
    """Places to stand, in loose staggered rows, all well inside the zone."""
    centre = ground.mean(axis=0)
    inner = centre + (ground - centre) * (1 - 0.12 / np.abs(ground - centre).max(axis=0))
    side = ground[1] - ground[0]
    u = side / np.linalg.norm(side)
    n = np.array([-u[1], u[0]])
    i, j = (v.ravel() for v in np.mgrid[-16:17, -16:17])
    gap = 0.75
    while True:
        spots = centre + np.outer(gap * (i + 0.5 * (j % 2)), u) + np.outer(gap * 0.866 * j, n)
        spots = spots[inside(inner, spots)]
        if len(spots) >= wanted:
            break
        gap *= 0.985
    kept = spots[rng.permutation(len(spots))[:wanted]] + rng.normal(0, gap * 0.06, (wanted, 2))
    return [(float(x), float(y)) for x, y in kept]


def _passers(rng: np.random.Generator, reach: float, count: int, across: bool) -> list[Passer]:
    """Walkers on lines across the picture; `across`: also through the middle."""
    out = []
    for _ in range(count):
        y = reach + float(rng.uniform(-1.5, 2.2) if across else rng.choice([-2.6, 2.4]) + rng.uniform(-0.3, 0.3))
        side = float(rng.choice([-1, 1]))
        a, b = (side * 9.0, y + float(rng.uniform(-1, 1))), (-side * 9.0, y + float(rng.uniform(-1, 1)))
        out.append(
            Passer(
                make_look(rng),
                a,
                b,
                float(rng.uniform(1.0, 1.5)),
                float(rng.uniform(20, 36)),
                float(rng.uniform(0, 60)),
            )
        )
    return out


def filling_script(rng: np.random.Generator, ground: F64, onset_s: float) -> Callable[[float], Cast]:
    """A few pass and linger; from `onset_s` on people come and stand until the zone is full."""
    area = shoelace_m2(ground)
    wanted = int(np.ceil(WANTED_PER_M2 * area))
    spots = _spots(rng, ground, wanted)
    reach = float(ground[:, 1].mean())
    crowd: list[Stander] = []
    for i, (x, y) in enumerate(spots):
        a = float(rng.uniform(0, 2 * np.pi))
        sx, sy = x + 8.5 * float(np.cos(a)), y + 8.5 * float(np.sin(a)) * 0.8
        if sy < 1.2:
            sx, sy = float(np.sign(sx - x) or 1.0) * 8.5, y
        early = i < 3
        arrives = -1.0 if early else onset_s + GATHERING_S * (i - 2) / max(wanted - 3, 1)
        walk = float(np.hypot(x - sx, y - sy)) / float(rng.uniform(1.1, 1.5))
        facing = float(rng.normal(-np.pi / 2, 0.9))
        crowd.append(Stander(make_look(rng), x, y, sx, sy, arrives - walk, arrives, facing))
    through, around = _passers(rng, reach, 3, True), _passers(rng, reach, 2, False)

    def script(t_s: float) -> Cast:
        people = [s.at(i, t_s) for i, s in enumerate(crowd)]
        people += [p.at(500 + i, t_s, onset_s - 5.0) for i, p in enumerate(through)]
        people += [p.at(600 + i, t_s) for i, p in enumerate(around)]
        return Cast(walkers=tuple(p for p in people if p is not None))

    return script


def quiet_square_script(rng: np.random.Generator, ground: F64) -> Callable[[float], Cast]:
    """A few walkers, perhaps one who waits."""
    reach = float(ground[:, 1].mean())
    passers = _passers(rng, reach, int(rng.integers(2, 7)), True)
    waits = make_look(rng) if rng.random() < 0.5 else None
    x, y = ground.mean(axis=0) + rng.uniform(-0.8, 0.8, 2)
    facing = float(rng.uniform(0, 2 * np.pi))

    def script(t_s: float) -> Cast:
        people = [p.at(i, t_s) for i, p in enumerate(passers)]
        if waits is not None:
            people.append(Walker(900, waits, float(x), float(y), facing, 0.0, 0.0))
        return Cast(walkers=tuple(p for p in people if p is not None))

    return script
