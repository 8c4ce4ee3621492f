"""People and riders: bodies of rounded cones in varied clothes, walking, standing, riding.

Looks are clothes and size only, drawn by lot; nothing here stands for, or could be matched to, anybody.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from sim.scenes.figure import Part
from sim.scenes.light import Colour

SKIN: tuple[Colour, ...] = ((128, 158, 205), (110, 140, 190), (95, 125, 175), (140, 170, 215))
HAIR: tuple[Colour, ...] = ((22, 22, 26), (30, 30, 36), (38, 42, 52), (120, 122, 126))
SHIRTS: tuple[Colour, ...] = (
    (42, 42, 46), (30, 30, 33), (212, 213, 216), (60, 52, 50), (70, 62, 130), (112, 84, 62), (78, 98, 76),
    (160, 158, 154), (112, 112, 116), (84, 120, 158), (150, 138, 172), (76, 62, 52), (44, 44, 96), (170, 160, 120),
    (52, 70, 86), (150, 150, 168), (88, 60, 44), (64, 64, 70), (190, 184, 176),
)  # fmt: skip
TROUSERS: tuple[Colour, ...] = (
    (38, 36, 36), (78, 60, 50), (60, 48, 42), (104, 108, 112), (112, 126, 134), (52, 54, 58), (104, 84, 68),
    (32, 32, 34),
)  # fmt: skip
SHOES: tuple[Colour, ...] = ((30, 30, 30), (210, 210, 215), (50, 60, 80))


@dataclass(frozen=True)
class Look:
    """tall_m: standing height; girth: width factor; long_coat, skirt, bag, hat: what is worn or carried."""

    tall_m: float
    girth: float
    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    shoes: Colour
    long_hair: bool
    long_coat: bool
    skirt: bool
    bare_arms: bool
    bag: Colour | None
    hat: Colour | None
    texture: int


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    base = colours[int(rng.integers(len(colours)))]
    wobble = rng.normal(0, 10, 3) + rng.normal(0, 10)
    b, g, r = (float(np.clip(c + w, 8, 240)) for c, w in zip(base, wobble, strict=True))
    return (b, g, r)


def make_look(rng: np.random.Generator) -> Look:
    """One person's size and clothes by lot."""
    return Look(
        tall_m=float(np.clip(rng.normal(1.69, 0.08), 1.5, 1.9)),
        girth=float(rng.uniform(0.82, 1.06)),
        skin=_pick(rng, SKIN),
        hair=HAIR[int(rng.choice(4, p=[0.4, 0.3, 0.2, 0.1]))],
        shirt=_pick(rng, SHIRTS),
        trousers=_pick(rng, TROUSERS),
        shoes=_pick(rng, SHOES),
        long_hair=bool(rng.random() < 0.3),
        long_coat=bool(rng.random() < 0.18),
        skirt=bool(rng.random() < 0.12),
        bare_arms=bool(rng.random() < 0.4),
        bag=_pick(rng, SHIRTS) if rng.random() < 0.25 else None,
        hat=_pick(rng, SHIRTS) if rng.random() < 0.15 else None,
        texture=int(rng.integers(1000)),
    )


Point = tuple[float, float, float]


@dataclass(frozen=True)
class Joints:
    """Where the body bends, metres, facing +x, left is +y; hip is the middle of the pelvis."""

    hip: Point
    chest: Point
    head: Point
    knees: tuple[Point, Point]
    ankles: tuple[Point, Point]
    elbows: tuple[Point, Point]
    hands: tuple[Point, Point]


def _swing(origin: Point, length: float, angle: float) -> Point:
    return (origin[0] + length * float(np.sin(angle)), origin[1], origin[2] - length * float(np.cos(angle)))


def standing(look: Look, phase: float, stride: float) -> Joints:
    """phase 0..1 of the walk, stride 0 (stands) .. 1 (walks briskly)."""
    s = look.tall_m / 1.70
    w = 0.092 * s * look.girth
    swing = float(np.sin(2 * np.pi * phase)) * 0.48 * stride
    lift = [max(0.0, float(np.cos(2 * np.pi * phase + o))) * 0.75 * stride for o in (0.0, np.pi)]
    bob = 0.02 * stride * abs(float(np.cos(2 * np.pi * phase)))
    hip = (0.0, 0.0, (0.90 + bob) * s)
    chest = (0.03 * stride * s, 0.0, (1.32 + bob) * s)
    knees, ankles, elbows, hands = [], [], [], []
    for side, angle, bend in ((1, swing, lift[0]), (-1, -swing, lift[1])):
        joint = (hip[0], side * w, hip[2] - 0.04 * s)
        knee = _swing(joint, 0.42 * s, angle + bend * 0.35)
        knees.append(knee)
        ankles.append(_swing(knee, 0.40 * s, angle - bend))
        shoulder = (chest[0], side * 0.185 * s * look.girth, (1.39 + bob) * s)
        reach = -angle * 0.75 + 0.04
        out = 0.035 * s * side
        elbow = _swing(shoulder, 0.28 * s, reach)
        elbows.append((elbow[0], elbow[1] + out, elbow[2]))
        hand = _swing(elbows[-1], 0.25 * s, reach + 0.25 + 0.3 * stride)
        hands.append(hand)
    head = (chest[0] + 0.02 * s, 0.0, (1.595 + bob) * s)
    return Joints(
        hip,
        chest,
        head,
        (knees[0], knees[1]),
        (ankles[0], ankles[1]),
        (elbows[0], elbows[1]),
        (hands[0], hands[1]),
    )


def riding(look: Look, saddle_m: float, phase: float, pedals: bool) -> Joints:
    """Seated on two wheels at saddle height, hands forward, legs turning with `phase` if there are pedals."""
    s = look.tall_m / 1.70
    w = 0.10 * s
    hip = (-0.18, 0.0, saddle_m + 0.08)
    chest = (0.02, 0.0, saddle_m + 0.48 * s)
    knees, ankles, elbows, hands = [], [], [], []
    for side, offset in ((1, 0.0), (-1, 0.5)):
        turn = 2 * np.pi * (phase + offset) if pedals else np.pi / 2 + side * 0.0
        foot = (0.08 + 0.16 * float(np.cos(turn)) if pedals else 0.16, side * (w + 0.03), 0.30)
        foot = (foot[0], foot[1], 0.32 + 0.16 * float(np.sin(turn))) if pedals else foot
        knee = (max(foot[0], hip[0]) + 0.22, side * (w + 0.05), (hip[2] + foot[2]) / 2 + 0.12)
        knees.append(knee)
        ankles.append(foot)
        elbows.append((0.18, side * 0.26 * s, chest[2] - 0.12))
        hands.append((0.40, side * 0.25, saddle_m + 0.22))
    head = (0.10, 0.0, chest[2] + 0.28 * s)
    return Joints(
        hip,
        chest,
        head,
        (knees[0], knees[1]),
        (ankles[0], ankles[1]),
        (elbows[0], elbows[1]),
        (hands[0], hands[1]),
    )


def body(look: Look, joints: Joints) -> list[Part]:
    """The parts of a dressed body, facing +x."""
    s, g = look.tall_m / 1.70, look.girth
    parts: list[Part] = []
    hip, chest, head = joints.hip, joints.chest, joints.head
    wide = 0.185 * s * g
    for side in (0, 1):
        sign = 1 - 2 * side
        joint = (hip[0], sign * 0.085 * s * g, hip[2] - 0.03 * s)
        knee, ankle = joints.knees[side], joints.ankles[side]
        legs = look.skin if look.skirt else look.trousers
        parts.append(Part(joint, knee, 0.088 * s * g, 0.062 * s, look.trousers if not look.skirt else legs))
        parts.append(Part(knee, ankle, 0.060 * s, 0.045 * s, legs))
        toe = (ankle[0] + 0.13 * s, ankle[1], ankle[2] - 0.035 * s)
        parts.append(Part((ankle[0] - 0.03, ankle[1], ankle[2] - 0.03 * s), toe, 0.048 * s, 0.036 * s, look.shoes))
        shoulder = (chest[0], sign * (wide - 0.01), chest[2] + 0.06 * s)
        elbow, hand = joints.elbows[side], joints.hands[side]
        parts.append(Part(shoulder, elbow, 0.060 * s * g, 0.047 * s, look.shirt, rough=0.2))
        lower = look.skin if look.bare_arms else look.shirt
        parts.append(Part(elbow, hand, 0.045 * s, 0.034 * s, lower))
        parts.append(Part(hand, (hand[0] + 0.02, hand[1], hand[2] - 0.05), 0.04 * s, 0.032 * s, look.skin))
        side_hip = (hip[0], sign * 0.075 * s * g, hip[2] + 0.02 * s)
        side_chest = (chest[0], sign * (wide - 0.075 * s), chest[2] + 0.015 * s)
        parts.append(Part(side_hip, side_chest, 0.105 * s * g, 0.112 * s * g, look.shirt, rough=0.25))
    parts.append(
        Part(
            (hip[0], 0.0, hip[2] + 0.02),
            (chest[0], 0.0, chest[2] + 0.06),
            0.115 * g * s,
            0.11 * s,
            look.shirt,
            rough=0.25,
        )
    )
    parts.append(
        Part(
            (hip[0], -0.07 * s, hip[2] - 0.03),
            (hip[0], 0.07 * s, hip[2] - 0.03),
            0.112 * s * g,
            0.112 * s * g,
            look.trousers,
        )
    )
    if look.long_coat or look.skirt:
        cloth = look.shirt if look.long_coat else look.trousers
        for sign in (-1, 0, 1):
            low = (hip[0] - 0.01, sign * 0.10 * s, hip[2] - 0.36 * s)
            parts.append(
                Part((hip[0], sign * 0.075 * s, hip[2]), low, 0.115 * s * g, 0.125 * s * g, cloth, rough=0.3)
            )
    parts.append(Part((chest[0], 0.0, chest[2] + 0.08 * s), head, 0.052 * s, 0.05 * s, look.skin))
    parts += _head(look, head, s)
    if look.bag is not None:
        parts.append(
            Part(
                (chest[0] - 0.19, 0.0, chest[2] - 0.22 * s), (chest[0] - 0.18, 0.0, chest[2]), 0.13, 0.12, look.bag
            )
        )
    return parts


def _head(look: Look, head: Point, s: float) -> list[Part]:
    x, y, z = head
    parts = [
        Part(
            (x + 0.015, y, z - 0.035 * s), (x + 0.0, y, z + 0.02 * s), 0.082 * s, 0.098 * s, look.skin, rough=0.08
        ),
        Part((x - 0.035, y, z + 0.0 * s), (x - 0.012, y, z + 0.045 * s), 0.095 * s, 0.098 * s, look.hair),
        Part((x + 0.03, y, z + 0.07 * s), (x - 0.01, y, z + 0.06 * s), 0.066 * s, 0.088 * s, look.hair),
    ]
    if look.long_hair:
        parts.append(Part((x - 0.06, y, z), (x - 0.085, y, z - 0.17 * s), 0.085 * s, 0.07 * s, look.hair))
    if look.hat is not None:
        parts.append(
            Part((x - 0.01, y, z + 0.05 * s), (x - 0.01, y, z + 0.075 * s), 0.112 * s, 0.10 * s, look.hat)
        )
        parts.append(
            Part((x + 0.08, y, z + 0.06 * s), (x + 0.12, y, z + 0.055 * s), 0.045 * s, 0.03 * s, look.hat)
        )
    return parts


def walker(look: Look, phase: float, stride: float) -> list[Part]:
    """A person on foot, facing +x, feet about (0, 0, 0)."""
    return body(look, standing(look, phase, stride))


def rider(look: Look, motor: bool, phase: float, paint: Colour) -> list[Part]:
    """A person on a bicycle or motorcycle (groups "person" and "machine"), facing +x."""
    joints = riding(look, 0.78 if motor else 0.92, phase, not motor)
    return body(look, joints) + machine(motor, paint)


def machine(motor: bool, paint: Colour) -> list[Part]:
    """A bicycle or motorcycle without its rider."""
    base, tyre, radius = (0.62, 0.05, 0.26) if motor else (0.52, 0.019, 0.32)
    dark: Colour = (28, 28, 30)
    parts: list[Part] = []
    for centre in (-base, base):
        ring = [2 * np.pi * i / 10 for i in range(11)]
        rim = [(centre + radius * float(np.cos(q)), 0.0, radius + tyre + radius * float(np.sin(q))) for q in ring]
        parts += [Part(p, q, tyre, tyre, dark, "machine") for p, q in itertools.pairwise(rim)]
        parts.append(
            Part(
                (centre, -0.03, radius + tyre),
                (centre, 0.03, radius + tyre),
                0.05,
                0.05,
                (120, 120, 120),
                "machine",
            )
        )
    axle = radius + tyre
    if motor:
        parts += [
            Part((-base, 0, axle), (-0.35, 0, 0.70), 0.05, 0.12, paint, "machine"),
            Part((-0.62, 0, 0.74), (0.0, 0, 0.76), 0.10, 0.12, dark, "machine"),
            Part((-0.1, 0, 0.42), (0.28, 0, 0.40), 0.16, 0.12, (70, 70, 72), "machine"),
            Part((0.05, 0, 0.72), (0.40, 0, 0.82), 0.14, 0.12, paint, "machine"),
            Part((0.42, 0, 0.9), (base, 0, axle), 0.07, 0.05, paint, "machine"),
            Part((0.38, -0.33, 1.0), (0.38, 0.33, 1.0), 0.022, 0.022, dark, "machine"),
            Part((0.50, 0, 0.88), (0.54, 0, 0.86), 0.08, 0.07, (225, 230, 230), "machine"),
            Part((-0.80, 0, 0.72), (-0.83, 0, 0.70), 0.05, 0.05, (40, 40, 200), "machine"),
        ]
    else:
        crank, seat, bar = (0.02, 0.0, 0.30), (-0.16, 0.0, 0.86), (0.40, 0.0, 0.98)
        for p, q in (
            (crank, seat),
            (crank, (0.38, 0.0, 0.80)),
            (seat, (0.38, 0.0, 0.85)),
            (seat, (-base, 0.0, axle)),
            (crank, (-base, 0.0, axle)),
            (bar, (base, 0.0, axle)),
        ):
            parts.append(Part(p, q, 0.020, 0.020, paint, "machine"))
        parts.append(Part((0.40, -0.27, 1.02), (0.40, 0.27, 1.02), 0.016, 0.016, dark, "machine"))
        parts.append(Part((-0.28, 0, 0.92), (-0.08, 0, 0.92), 0.06, 0.03, dark, "machine"))
        parts.append(Part((0.52, -0.12, 0.78), (0.52, 0.12, 0.78), 0.10, 0.10, (90, 100, 105), "machine"))
    return parts
