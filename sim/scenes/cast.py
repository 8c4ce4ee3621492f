"""Who and what is on stage at a moment: the script of a scene answers with these."""

from __future__ import annotations

from dataclasses import dataclass

from sim.scenes.fire import Plume
from sim.scenes.people import Look
from sim.scenes.vehicle_models import VehicleModel


@dataclass(frozen=True)
class Walker:
    """A person on foot: where (m), which way (rad from +x), phase 0..1 of the walk, stride 0 (stands) .. 1."""

    ident: int
    look: Look
    x: float
    y: float
    heading_rad: float
    phase: float
    stride: float


@dataclass(frozen=True)
class Rider:
    """A person on a bicycle or motorcycle."""

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
    """A vehicle. braking: brake or hazard lamps shine; standing: it stands still in its lane.

    lamps_on: whether its lamps shine at night.
    """

    ident: int
    model: VehicleModel
    x: float
    y: float
    heading_rad: float
    braking: bool
    standing: bool
    lamps_on: bool = True


@dataclass(frozen=True)
class Blaze:
    """A fire, or steam alone (flame False, counted False: the truth knows no smoke of it).

    width_m, height_m: of the flames; growth 0..1 of the plume, which began at since_s.
    """

    seed: int
    x: float
    y: float
    width_m: float
    height_m: float
    plume: Plume
    since_s: float
    growth: float
    flame: bool
    counted: bool


@dataclass(frozen=True)
class Cast:
    """Everybody on stage."""

    walkers: tuple[Walker, ...] = ()
    riders: tuple[Rider, ...] = ()
    vehicles: tuple[Driven, ...] = ()
    blazes: tuple[Blaze, ...] = ()
