"""Cars, buses and trucks as solids of flat faces, with windows, wheels, lamps and blank plates.

Model axes: x forward, y left, z up, metres, origin on the ground in the middle.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sim.scenes.light import Colour
from sim.scenes.truth import F64, SceneClass

GLASS: Colour = (62, 54, 46)
DARK: Colour = (34, 34, 36)
PAINTS: tuple[Colour, ...] = (
    (225, 225, 226), (235, 235, 234), (48, 46, 46), (28, 28, 30), (150, 150, 152), (105, 104, 104),
    (120, 60, 35), (40, 36, 150), (160, 150, 120), (70, 95, 120), (60, 80, 40),
)  # fmt: skip
PAINT_SHARES = (0.2, 0.16, 0.12, 0.12, 0.1, 0.08, 0.06, 0.07, 0.03, 0.03, 0.03)


@dataclass(frozen=True)
class Face:
    """A flat polygon (N x 3 metres; x forward, y left, z up) with its outward normal.

    gloss: 0..1 share of sky seen in it; lamp: "head", "tail" or "".
    """

    points: F64
    normal: F64
    colour: Colour
    gloss: float = 0.0
    lamp: str = ""


@dataclass(frozen=True)
class Solid:
    """Faces in drawing order (details after the panel they lie on); centre for sorting."""

    faces: tuple[Face, ...]
    centre: tuple[float, float, float]


@dataclass(frozen=True)
class FaceTable:
    """Faces, their points one after the other, normals, where each face's points begin, colours, gloss."""

    faces: list[Face]
    points: F64
    normals: F64
    starts: npt.NDArray[np.intp]
    colours: F64
    gloss: F64


@dataclass(frozen=True)
class VehicleModel:
    """length, width, height in metres; corners: N x 3 points that bound it."""

    cls: SceneClass
    length_m: float
    width_m: float
    height_m: float
    solids: tuple[Solid, ...]
    corners: F64 = field(repr=False)

    @cached_property
    def table(self) -> FaceTable:
        """All faces of all solids side by side, for drawing in one go."""
        faces = [face for solid in self.solids for face in solid.faces]
        ends = np.cumsum([len(face.points) for face in faces])
        return FaceTable(
            faces,
            np.concatenate([face.points for face in faces]),
            np.stack([face.normal for face in faces]),
            np.concatenate([[0], ends]),
            np.array([face.colour for face in faces]),
            np.array([face.gloss for face in faces]),
        )


def _face(
    points: list[tuple[float, float, float]],
    colour: Colour,
    out: tuple[float, float, float],
    gloss: float = 0.0,
    lamp: str = "",
) -> Face:
    p = np.array(points)
    ax, ay, az = (p[1] - p[0]).tolist()
    bx, by, bz = (p[2] - p[1]).tolist()
    n = np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])
    n /= max(float(np.linalg.norm(n)), 1e-9)
    if float(n @ np.array(out)) < 0:
        n = -n
    return Face(p, n, colour, gloss, lamp)


def _disc(x: float, y: float, z: float, r: float, colour: Colour) -> Face:
    q = np.linspace(0, 2 * np.pi, 18, endpoint=False)
    p = np.stack([x + r * np.cos(q), np.full(18, y), z + r * np.sin(q)], 1)
    return Face(p, np.array([0.0, np.sign(y), 0.0]), colour)


def _scaled(colour: Colour, k: float) -> Colour:
    return (colour[0] * k, colour[1] * k, colour[2] * k)


def _wheels(xs: tuple[float, ...], half: float, r: float) -> list[Face]:
    faces: list[Face] = []
    for x in xs:
        for y in (-half - 0.01, half + 0.01):
            faces.append(_disc(x, y, r + 0.02, r * 1.16, (22, 22, 24)))
            faces.append(_disc(x, y * 1.003, r, r, (38, 38, 40)))
            faces.append(_disc(x, y * 1.006, r, r * 0.62, (150, 150, 154)))
            faces.append(_disc(x, y * 1.008, r, r * 0.22, (80, 80, 84)))
    return faces


def _extruded(
    profile: list[tuple[float, float]], half: float, colour: Colour, tops: dict[int, tuple[Colour, float]]
) -> list[Face]:
    """Strips over an (x, z) outline from rear bottom over the top to front bottom, plus both sides."""
    faces: list[Face] = []
    mid = (sum(p[0] for p in profile) / len(profile), sum(p[1] for p in profile) / len(profile))
    faces += [_face([(x, y, z) for x, z in profile], colour, (0.0, y, 0.0)) for y in (-half, half)]
    for i, ((x1, z1), (x2, z2)) in enumerate(itertools.pairwise(profile)):
        own, gloss = tops.get(i, (colour, 0.12))
        out = ((x1 + x2) / 2 - mid[0], 0.0, (z1 + z2) / 2 - mid[1])
        normal = (z1 - z2, 0.0, x2 - x1)
        direction = normal if normal[0] * out[0] + normal[2] * out[2] > 0 else (z2 - z1, 0.0, x1 - x2)
        faces.append(
            _face([(x1, -half, z1), (x1, half, z1), (x2, half, z2), (x2, -half, z2)], own, direction, gloss)
        )
    return faces


def _cabin(
    rear: tuple[float, float],
    front: tuple[float, float],
    belt: float,
    roof: float,
    half: float,
    paint: Colour,
    doors: int,
) -> list[Face]:
    """A greenhouse: (bottom x, top x) of rear and front glass, sides leaning in."""
    top = half * 0.80
    faces: list[Face] = []
    low_r, high_r, low_f, high_f = rear[0], rear[1], front[0], front[1]
    faces.append(
        _face(
            [(low_r, -half, belt), (low_r, half, belt), (high_r, top, roof), (high_r, -top, roof)],
            GLASS,
            (-1, 0, 0.4),
            0.45,
        )
    )
    faces.append(
        _face(
            [(low_f, -half, belt), (low_f, half, belt), (high_f, top, roof), (high_f, -top, roof)],
            GLASS,
            (1, 0, 0.4),
            0.5,
        )
    )
    for sign in (-1.0, 1.0):
        yb, yt = sign * half, sign * top
        faces.append(
            _face(
                [(low_r, yb, belt), (low_f, yb, belt), (high_f, yt, roof), (high_r, yt, roof)],
                _scaled(paint, 0.9),
                (0, sign, 0.2),
            )
        )
        for i in range(doors):
            a, b = (i + 0.06) / doors, (i + 0.94) / doors
            lo = [low_r + (low_f - low_r) * k for k in (a, b)]
            hi = [high_r + (high_f - high_r) * k for k in (a, b)]
            k1, k2 = 0.06, 0.88
            quad = []
            for x_lo, x_hi, k in ((lo[0], hi[0], k1), (lo[1], hi[1], k1), (lo[1], hi[1], k2), (lo[0], hi[0], k2)):
                quad.append((x_lo + (x_hi - x_lo) * k, (yb + (yt - yb) * k) * 1.01, belt + (roof - belt) * k))
            faces.append(_face(quad, GLASS, (0, sign, 0.2), 0.3))
    faces.append(
        _face(
            [(high_r, -top, roof), (high_r, top, roof), (high_f, top, roof), (high_f, -top, roof)],
            paint,
            (0, 0, 1),
            0.1,
        )
    )
    return faces


def _side(x1: float, x2: float, z1: float, z2: float, y: float, colour: Colour, gloss: float = 0.0) -> Face:
    """An upright rectangle along a side; the sign of y tells which."""
    return _face([(x1, y, z1), (x2, y, z1), (x2, y, z2), (x1, y, z2)], colour, (0.0, y, 0.0), gloss)


def _end(
    x: float, y1: float, y2: float, z1: float, z2: float, colour: Colour, gloss: float = 0.0, lamp: str = ""
) -> Face:
    """An upright rectangle across an end; the sign of x tells which."""
    return _face([(x, y1, z1), (x, y2, z1), (x, y2, z2), (x, y1, z2)], colour, (x, 0.0, 0.0), gloss, lamp)


def _bumper(x: float, half: float, z: float) -> list[Face]:
    """Bumper and blank plate of one end."""
    out = 0.005 if x > 0 else -0.005
    plate = _end(x + out, -0.22, 0.22, z, z + 0.13, (170, 95, 40))
    return [_end(x, -half * 0.95, half * 0.95, z - 0.12, z + 0.04, (52, 52, 54)), plate]


def _front(x: float, half: float, lamp_z: float, bumper_z: float) -> list[Face]:
    """Head lamps, grille, bumper."""
    inner, z = half * 0.52, lamp_z
    lamps = [
        _end(x, y1, y2, z - 0.08, z + 0.08, (225, 225, 220), 0.2, "head")
        for y1, y2 in ((-half * 0.97, -inner), (inner, half * 0.97))
    ]
    return [*lamps, _end(x, -inner, inner, z - 0.14, z + 0.05, DARK), *_bumper(x, half, bumper_z)]


def _rear(x: float, half: float, lamp_z: float, bumper_z: float) -> list[Face]:
    """Tail lamps and bumper."""
    inner, z = half * 0.52, lamp_z
    lamps = [
        _end(x, y1, y2, z - 0.09, z + 0.11, (38, 30, 165), 0.1, "tail")
        for y1, y2 in ((-half * 0.97, -inner), (inner, half * 0.97))
    ]
    return [*lamps, *_bumper(x, half, bumper_z)]


def _model(cls: SceneClass, length: float, width: float, height: float, solids: list[Solid]) -> VehicleModel:
    points = np.concatenate([face.points for solid in solids for face in solid.faces])
    return VehicleModel(cls, length, width, height, tuple(solids), np.unique(np.round(points, 2), axis=0))


@dataclass(frozen=True)
class _CarShape:
    """length, roof, belt line and sill (m); hood, trunk: shares of the length; slope of the rear glass."""

    length: float
    roof: float
    belt: float
    sill: float
    hood: float
    trunk: float
    slope: float
    side_windows: int


SALOON = _CarShape(4.6, 1.46, 0.92, 0.20, 0.25, 0.15, 0.55, 2)
HATCH = _CarShape(4.0, 1.50, 0.94, 0.20, 0.20, 0.03, 0.35, 2)
OFF_ROADER = _CarShape(4.6, 1.70, 1.05, 0.28, 0.24, 0.03, 0.25, 2)
VAN = _CarShape(4.7, 1.90, 1.05, 0.24, 0.10, 0.01, 0.12, 3)


def make_car(rng: np.random.Generator) -> VehicleModel:
    """A saloon, hatchback, off-roader or van."""
    paint = PAINTS[int(rng.choice(len(PAINTS), p=PAINT_SHARES))]
    shape = (SALOON, HATCH, OFF_ROADER, VAN)[int(rng.choice(4, p=[0.42, 0.18, 0.28, 0.12]))]
    length, width = shape.length * float(rng.uniform(0.96, 1.05)), float(rng.uniform(1.72, 1.88))
    roof = shape.roof * float(rng.uniform(0.98, 1.03))
    half, e, belt, low = width / 2, length / 2, shape.belt, shape.sill
    hood, trunk = shape.hood * length, shape.trunk * length
    profile = [
        (-e + 0.06, low), (-e, low + 0.18), (-e + 0.02, belt - 0.10), (-e + 0.10, belt), (e - hood, belt),
        (e - hood * 0.5, belt - 0.05), (e - 0.16, belt - 0.15), (e - 0.01, belt - 0.28), (e, low + 0.16),
        (e - 0.06, low),
    ]  # fmt: skip
    faces = _extruded(profile, half, paint, {4: (paint, 0.2), 5: (paint, 0.2)})
    for y in (-half - 0.004, half + 0.004):
        faces.append(_side(-e + 0.1, e - 0.1, low, low + 0.1, y, DARK))
        faces.append(_side(-e + 0.12, e - 0.3, belt - 0.32, belt - 0.27, y, _scaled(paint, 0.75)))
        faces += [_side(x, x + 0.03, low + 0.12, belt, y, _scaled(paint, 0.55)) for x in (-0.12, -0.95, 0.78)]
    faces += _wheels((-0.30 * length, 0.31 * length), half, 0.37 if shape is OFF_ROADER else 0.33)
    faces += _front(e + 0.01, half, belt - 0.22, low + 0.2) + _rear(-e - 0.01, half, belt - 0.22, low + 0.2)
    rear = (-e + trunk + 0.08, -e + trunk + 0.08 + shape.slope)
    front = (e - hood + 0.05, e - hood + 0.05 - (0.6 if shape is VAN else 0.75))
    cabin = _cabin(rear, front, belt, roof, half * 0.97, paint, shape.side_windows)
    solids = [Solid(tuple(faces), (0, 0, 0.5)), Solid(tuple(cabin), (-0.2, 0, 1.2))]
    return _model(SceneClass.CAR, length, width, roof, solids)


def _box(
    x0: float, x1: float, half: float, z0: float, z1: float, paint: Colour, roof: Colour | None = None
) -> list[Face]:
    """A box with bevelled upper edges."""
    profile = [(x0, z0), (x0, z1 - 0.06), (x0 + 0.06, z1), (x1 - 0.06, z1), (x1, z1 - 0.06), (x1, z0)]
    return _extruded(profile, half, paint, {2: (roof or paint, 0.05)})


def make_bus(rng: np.random.Generator) -> VehicleModel:
    """A town bus or coach; its doors are on the right."""
    paint = ((60, 140, 60), (190, 120, 40), (60, 60, 190), (225, 225, 225), (60, 190, 220))[int(rng.integers(5))]
    stripe = ((235, 235, 235), (60, 160, 230), (90, 90, 95))[int(rng.integers(3))]
    length, width, roof = float(rng.uniform(8.5, 11.8)), 2.48, float(rng.uniform(2.95, 3.2))
    half, e = width / 2, length / 2
    faces = _box(-e, e, half, 0.34, roof, paint, (220, 220, 220))
    count = int(length / 1.35)
    step = (length - 0.7) / count
    for y in (-half - 0.006, half + 0.006):
        faces.append(_side(-e, e, 0.75, 1.05, y, stripe))
        lefts = [-e + 0.35 + i * step for i in range(count)]
        faces += [_side(x, x + step * 0.93, 1.35, 2.35, y, GLASS, 0.35) for x in lefts]
    faces += [_side(x, x + 1.0, 0.42, 2.35, -half - 0.01, (75, 70, 66), 0.2) for x in (e - 1.5, -0.6)]
    f, r = e + 0.008, -e - 0.008
    faces.append(_end(f, -half * 0.92, half * 0.92, 1.15, 2.5, GLASS, 0.45))
    faces.append(_end(f, -half * 0.6, half * 0.6, 2.6, 2.85, (40, 120, 190)))
    faces.append(_end(r, -half * 0.8, half * 0.8, 1.6, 2.5, GLASS, 0.35))
    faces += _wheels((-0.28 * length, 0.30 * length), half, 0.48)
    faces += _front(f, half, 0.85, 0.5) + _rear(r, half, 0.85, 0.5)
    return _model(SceneClass.BUS, length, width, roof, [Solid(tuple(faces), (0, 0, 1))])


def make_truck(rng: np.random.Generator) -> VehicleModel:
    """A cab before a box body or an open dropside body."""
    paint = ((200, 110, 40), (225, 225, 225), (50, 50, 170), (60, 170, 210), (120, 120, 60))[int(rng.integers(5))]
    cargo = ((215, 215, 215), (120, 95, 60), (150, 110, 60), (90, 130, 90))[int(rng.integers(4))]
    length, width = float(rng.uniform(6.0, 8.8)), float(rng.uniform(2.15, 2.45))
    half, e, top = width / 2, length / 2, float(rng.uniform(2.5, 2.8))
    cab = e - 1.75
    front = _cab(cab, e, half, top, paint)
    tall = float(rng.uniform(2.6, 3.4)) if rng.random() < 0.65 else 1.75
    back = _box(-e, cab - 0.15, half, 0.95, tall, cargo)
    for y in (-half - 0.004, half + 0.004):
        posts = np.arange(-e + 0.6, cab - 0.5, 0.8).tolist()
        back += [_side(x, x + 0.06, 1.0, 1.7, y, _scaled(cargo, 0.75)) for x in posts]
        back.append(_side(-e, cab, 0.55, 0.98, y * 0.9, (44, 44, 46)))
    back += _wheels((-e + 1.1, -e + 2.1) if length > 7 else (-e + 1.3,), half, 0.46)
    back += _rear(-e - 0.01, half, 0.95, 0.7)
    solids = [Solid(tuple(back), (-1.0, 0, 1)), Solid(tuple(front), (e - 0.9, 0, 1))]
    return _model(SceneClass.TRUCK, length, width, max(top, tall), solids)


def _cab(rear: float, front: float, half: float, top: float, paint: Colour) -> list[Face]:
    """A truck's cab with its windows, front wheels and lamps."""
    faces = _box(rear, front, half * 0.96, 0.45, top, paint)
    faces.append(_end(front + 0.008, -half * 0.88, half * 0.88, 1.55, top - 0.2, GLASS, 0.45))
    for y in (-half * 0.96 - 0.006, half * 0.96 + 0.006):
        faces.append(_side(rear + 0.45, front - 0.2, 1.5, top - 0.25, y, GLASS, 0.3))
        faces.append(_side(rear + 0.4, rear + 0.43, 0.6, top - 0.2, y, _scaled(paint, 0.5)))
    return faces + _wheels((front - 0.95,), half, 0.46) + _front(front + 0.01, half * 0.96, 0.95, 0.6)
