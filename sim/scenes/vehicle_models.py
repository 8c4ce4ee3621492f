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


@dataclass(frozen=True)
class Face:
    """A flat polygon (N x 3 metres; x forward, y left, z up) with its outward normal.

    gloss: 0..1 share of sky seen in it; owner: index of the face it is painted on (drawn if that one is).
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
    """length, width, height in metres; lamps: name -> points (x, y, z) that glow at night."""

    cls: SceneClass
    length_m: float
    width_m: float
    height_m: float
    solids: tuple[Solid, ...]
    head_lamps: F64
    tail_lamps: F64
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


def _ends(front_x: float, rear_x: float, half: float, lamp_z: float, bumper_z: float) -> list[Face]:
    """Lamps, bumpers, grille and blank plates of both ends."""
    faces: list[Face] = []
    f, r = front_x + 0.01, rear_x - 0.01
    inner = half * 0.52
    for y1, y2 in ((-half * 0.97, -inner), (inner, half * 0.97)):
        faces.append(
            _face(
                [(f, y1, lamp_z - 0.08), (f, y2, lamp_z - 0.08), (f, y2, lamp_z + 0.08), (f, y1, lamp_z + 0.08)],
                (225, 225, 220),
                (1, 0, 0),
                0.2,
                "head",
            )
        )
        faces.append(
            _face(
                [(r, y1, lamp_z - 0.09), (r, y2, lamp_z - 0.09), (r, y2, lamp_z + 0.11), (r, y1, lamp_z + 0.11)],
                (38, 30, 165),
                (-1, 0, 0),
                0.1,
                "tail",
            )
        )
    faces.append(
        _face(
            [
                (f, -inner, lamp_z - 0.14),
                (f, inner, lamp_z - 0.14),
                (f, inner, lamp_z + 0.05),
                (f, -inner, lamp_z + 0.05),
            ],
            DARK,
            (1, 0, 0),
        )
    )
    for x, out in ((f, 1), (r, -1)):
        faces.append(
            _face(
                [
                    (x, -half * 0.95, bumper_z - 0.12),
                    (x, half * 0.95, bumper_z - 0.12),
                    (x, half * 0.95, bumper_z + 0.04),
                    (x, -half * 0.95, bumper_z + 0.04),
                ],
                (52, 52, 54),
                (out, 0, 0),
            )
        )
        x += 0.005 * out
        faces.append(
            _face(
                [
                    (x, -0.22, bumper_z + 0.0),
                    (x, 0.22, bumper_z + 0.0),
                    (x, 0.22, bumper_z + 0.13),
                    (x, -0.22, bumper_z + 0.13),
                ],
                (170, 95, 40),
                (out, 0, 0),
            )
        )
    return faces


def _model(
    cls: SceneClass, length: float, width: float, height: float, solids: list[Solid], lamp_z: float
) -> VehicleModel:
    half = width / 2
    lamps = [(-0.38 * width, lamp_z), (0.38 * width, lamp_z)]
    points = np.concatenate([f.points for s in solids for f in s.faces])
    return VehicleModel(
        cls, length, width, height, tuple(solids),
        np.array([(length / 2, y, z) for y, z in lamps]), np.array([(-length / 2, y, z) for y, z in lamps]),
        np.unique(np.round(points, 2), axis=0) if half else points,
    )  # fmt: skip


def make_car(rng: np.random.Generator) -> VehicleModel:
    """A saloon, hatchback, off-roader or van."""
    paint = PAINTS[
        int(rng.choice(len(PAINTS), p=[0.2, 0.16, 0.12, 0.12, 0.1, 0.08, 0.06, 0.07, 0.03, 0.03, 0.03]))
    ]
    shape = str(rng.choice(["saloon", "hatch", "suv", "van"], p=[0.42, 0.18, 0.28, 0.12]))
    length = float({"saloon": 4.6, "hatch": 4.0, "suv": 4.6, "van": 4.7}[shape] * rng.uniform(0.96, 1.05))
    width = float(rng.uniform(1.72, 1.88))
    half, e = width / 2, length / 2
    roof = {"saloon": 1.46, "hatch": 1.50, "suv": 1.70, "van": 1.90}[shape] * float(rng.uniform(0.98, 1.03))
    belt = {"saloon": 0.92, "hatch": 0.94, "suv": 1.05, "van": 1.05}[shape]
    low = {"saloon": 0.20, "hatch": 0.20, "suv": 0.28, "van": 0.24}[shape]
    hood = {"saloon": 0.25, "hatch": 0.20, "suv": 0.24, "van": 0.10}[shape] * length
    trunk = {"saloon": 0.15, "hatch": 0.03, "suv": 0.03, "van": 0.01}[shape] * length
    profile = [
        (-e + 0.06, low), (-e, low + 0.18), (-e + 0.02, belt - 0.10), (-e + 0.10, belt), (e - hood, belt),
        (e - hood * 0.5, belt - 0.05), (e - 0.16, belt - 0.15), (e - 0.01, belt - 0.28), (e, low + 0.16),
        (e - 0.06, low),
    ]  # fmt: skip
    faces = _extruded(profile, half, paint, {4: (paint, 0.2), 5: (paint, 0.2)})
    for sign in (-1.0, 1.0):
        y = sign * (half + 0.004)
        faces.append(
            _face(
                [(-e + 0.1, y, low), (e - 0.1, y, low), (e - 0.1, y, low + 0.1), (-e + 0.1, y, low + 0.1)],
                DARK,
                (0, sign, 0),
            )
        )
        faces.append(
            _face(
                [
                    (-e + 0.12, y, belt - 0.32),
                    (e - 0.3, y, belt - 0.32),
                    (e - 0.3, y, belt - 0.27),
                    (-e + 0.12, y, belt - 0.27),
                ],
                _scaled(paint, 0.75),
                (0, sign, 0),
            )
        )
        for x in (-0.12, -0.95, 0.78):
            faces.append(
                _face(
                    [(x, y, low + 0.12), (x + 0.03, y, low + 0.12), (x + 0.03, y, belt), (x, y, belt)],
                    _scaled(paint, 0.55),
                    (0, sign, 0),
                )
            )
    faces += _wheels((-0.30 * length, 0.31 * length), half, 0.33 if shape != "suv" else 0.37)
    faces += _ends(e, -e, half, belt - 0.22, low + 0.2)
    slope = {"saloon": 0.55, "hatch": 0.35, "suv": 0.25, "van": 0.12}[shape]
    rear = (-e + trunk + 0.08, -e + trunk + 0.08 + slope)
    front = (e - hood + 0.05, e - hood + 0.05 - (0.75 if shape != "van" else 0.6))
    cabin = _cabin(rear, front, belt, roof, half * 0.97, paint, 2 if shape != "van" else 3)
    solids = [Solid(tuple(faces), (0, 0, 0.5)), Solid(tuple(cabin), (-0.2, 0, 1.2))]
    return _model(SceneClass.CAR, length, width, roof, solids, belt - 0.22)


def _box(
    x0: float, x1: float, half: float, z0: float, z1: float, paint: Colour, roof: Colour | None = None
) -> list[Face]:
    profile = [(x0, z0), (x0, z1 - 0.06), (x0 + 0.06, z1), (x1 - 0.06, z1), (x1, z1 - 0.06), (x1, z0)]
    return _extruded(profile, half, paint, {2: (roof or paint, 0.05)})


def make_bus(rng: np.random.Generator) -> VehicleModel:
    """A town bus or coach."""
    paint = ((60, 140, 60), (190, 120, 40), (60, 60, 190), (225, 225, 225), (60, 190, 220))[int(rng.integers(5))]
    stripe = ((235, 235, 235), (60, 160, 230), (90, 90, 95))[int(rng.integers(3))]
    length, width, roof = float(rng.uniform(8.5, 11.8)), 2.48, float(rng.uniform(2.95, 3.2))
    half, e = width / 2, length / 2
    faces = _box(-e, e, half, 0.34, roof, paint, (220, 220, 220))
    for sign in (-1.0, 1.0):
        y = sign * (half + 0.006)
        faces.append(_face([(-e, y, 0.75), (e, y, 0.75), (e, y, 1.05), (-e, y, 1.05)], stripe, (0, sign, 0)))
        count = int(length / 1.35)
        for i in range(count):
            a = -e + 0.35 + i * (length - 0.7) / count
            b = a + (length - 0.7) / count * 0.93
            faces.append(
                _face([(a, y, 1.35), (b, y, 1.35), (b, y, 2.35), (a, y, 2.35)], GLASS, (0, sign, 0), 0.35)
            )
        if sign < 0:
            for x in (e - 1.5, -0.6):
                faces.append(
                    _face(
                        [
                            (x, y * 1.002, 0.42),
                            (x + 1.0, y * 1.002, 0.42),
                            (x + 1.0, y * 1.002, 2.35),
                            (x, y * 1.002, 2.35),
                        ],
                        (75, 70, 66),
                        (0, sign, 0),
                        0.2,
                    )
                )
    f, r = e + 0.008, -e - 0.008
    faces.append(
        _face(
            [(f, -half * 0.92, 1.15), (f, half * 0.92, 1.15), (f, half * 0.92, 2.5), (f, -half * 0.92, 2.5)],
            GLASS,
            (1, 0, 0),
            0.45,
        )
    )
    faces.append(
        _face(
            [(f, -half * 0.6, 2.6), (f, half * 0.6, 2.6), (f, half * 0.6, 2.85), (f, -half * 0.6, 2.85)],
            (40, 120, 190),
            (1, 0, 0),
        )
    )
    faces.append(
        _face(
            [(r, -half * 0.8, 1.6), (r, half * 0.8, 1.6), (r, half * 0.8, 2.5), (r, -half * 0.8, 2.5)],
            GLASS,
            (-1, 0, 0),
            0.35,
        )
    )
    faces += _wheels((-0.28 * length, 0.30 * length), half, 0.48)
    faces += _ends(e, -e, half, 0.85, 0.5)
    return _model(SceneClass.BUS, length, width, roof, [Solid(tuple(faces), (0, 0, 1))], 0.85)


def make_truck(rng: np.random.Generator) -> VehicleModel:
    """A cab before a box body or an open dropside body."""
    paint = ((200, 110, 40), (225, 225, 225), (50, 50, 170), (60, 170, 210), (120, 120, 60))[int(rng.integers(5))]
    cargo = ((215, 215, 215), (120, 95, 60), (150, 110, 60), (90, 130, 90))[int(rng.integers(4))]
    length, width = float(rng.uniform(6.0, 8.8)), float(rng.uniform(2.15, 2.45))
    half, e = width / 2, length / 2
    cab = e - 1.75
    top = float(rng.uniform(2.5, 2.8))
    front = _box(cab, e, half * 0.96, 0.45, top, paint)
    f = e + 0.008
    front.append(
        _face(
            [
                (f, -half * 0.88, 1.55),
                (f, half * 0.88, 1.55),
                (f, half * 0.84, top - 0.2),
                (f, -half * 0.84, top - 0.2),
            ],
            GLASS,
            (1, 0, 0),
            0.45,
        )
    )
    for sign in (-1.0, 1.0):
        y = sign * (half * 0.96 + 0.006)
        front.append(
            _face(
                [(cab + 0.45, y, 1.5), (e - 0.15, y, 1.5), (e - 0.3, y, top - 0.25), (cab + 0.45, y, top - 0.25)],
                GLASS,
                (0, sign, 0),
                0.3,
            )
        )
        front.append(
            _face(
                [(cab + 0.4, y, 0.6), (cab + 0.43, y, 0.6), (cab + 0.43, y, top - 0.2), (cab + 0.4, y, top - 0.2)],
                _scaled(paint, 0.5),
                (0, sign, 0),
            )
        )
    front += _wheels((e - 0.95,), half, 0.46)
    front += _ends(e, -e, half * 0.96, 0.95, 0.6)[:2:2] + [
        x for x in _ends(e, -e, half * 0.96, 0.95, 0.6) if x.normal[0] > 0.5
    ]
    back = _box(-e, cab - 0.15, half, 0.95, float(rng.uniform(2.6, 3.4)) if rng.random() < 0.65 else 1.75, cargo)
    x = -e + 0.6
    while x < cab - 0.5:
        for sign in (-1.0, 1.0):
            y = sign * (half + 0.004)
            back.append(
                _face(
                    [(x, y, 1.0), (x + 0.06, y, 1.0), (x + 0.06, y, 1.7), (x, y, 1.7)],
                    _scaled(cargo, 0.75),
                    (0, sign, 0),
                )
            )
        x += 0.8
    for sign in (-1.0, 1.0):
        y = sign * (half * 0.9)
        back.append(
            _face([(-e, y, 0.55), (cab, y, 0.55), (cab, y, 0.98), (-e, y, 0.98)], (44, 44, 46), (0, sign, 0))
        )
    back += _wheels((-e + 1.1, -e + 2.1) if length > 7 else (-e + 1.3,), half, 0.46)
    back += [x for x in _ends(e, -e, half, 0.95, 0.7) if x.normal[0] < -0.5]
    height = max(top, max(float(face.points[:, 2].max()) for face in back))
    solids = [Solid(tuple(back), (-1.0, 0, 1)), Solid(tuple(front), (e - 0.9, 0, 1))]
    return _model(SceneClass.TRUCK, length, width, height, solids, 0.95)
