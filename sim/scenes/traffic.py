"""Traffic on a straight road: free flow, a queue that grows upstream, a vehicle that stops in its lane.

Every vehicle's place is a closed function of time, so any moment can be asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim.scenes.background import Road
from sim.scenes.cast import Cast, Driven, Rider, Walker
from sim.scenes.light import Colour
from sim.scenes.people import Look, make_look
from sim.scenes.road import RoadScene
from sim.scenes.square import Passer
from sim.scenes.truth import F64
from sim.scenes.vehicle_models import PAINTS, VehicleModel, make_bus, make_car, make_truck

SEEN_M = 130.0
STOP_GAP_M = 2.2
QUEUE_LIMIT = 60
BRAKING_MPS2 = 3.0


@dataclass(frozen=True)
class Vehicle:
    """A vehicle of a stream: model, or look and motor of a rider on two wheels."""

    ident: int
    model: VehicleModel | None
    look: Look | None
    motor: bool
    paint: Colour
    length_m: float


@dataclass(frozen=True)
class Garage:
    """What drives on a road: models to draw by lot, several vehicles to a model."""

    cars: tuple[VehicleModel, ...]
    heavy: tuple[VehicleModel, ...]


def make_garage(rng: np.random.Generator) -> Garage:
    """Fourteen cars and five buses and trucks."""
    heavy = [make_bus(rng) if rng.random() < 0.45 else make_truck(rng) for _ in range(5)]
    return Garage(tuple(make_car(rng) for _ in range(14)), tuple(heavy))


def _lot(rng: np.random.Generator, ident: int, garage: Garage, two_wheels: float) -> Vehicle:
    if rng.random() < two_wheels:
        paint = PAINTS[int(rng.integers(len(PAINTS)))]
        return Vehicle(ident, None, make_look(rng), bool(rng.random() < 0.6), paint, 2.0)
    models = garage.cars if rng.random() < 0.78 else garage.heavy
    model = models[int(rng.integers(len(models)))]
    return Vehicle(ident, model, None, False, (0, 0, 0), model.length_m)


@dataclass(frozen=True)
class Stream:
    """Vehicles in one lane, in order, repeating: `ahead_m[i]` is how far vehicle i runs behind vehicle 0.

    sign: +1 along the road's direction, -1 against it; offset_m left of the road's middle (in its direction).
    """

    vehicles: tuple[Vehicle, ...]
    behind_m: F64
    queue_m: F64
    loop_m: float
    queue_loop_m: float
    speed_mps: float
    sign: int
    offset_m: float
    phase_m: float


@dataclass(frozen=True)
class Traffic:
    """What a stream is made of: lane number from the middle, direction, speed, mean gap, share on two wheels."""

    lane: int
    sign: int
    speed_mps: float
    gap_s: float
    two_wheels: float


def make_stream(rng: np.random.Generator, first: int, road: Road, garage: Garage, traffic: Traffic) -> Stream:
    """A lane's traffic, repeating after 40 vehicles; their numbers begin at `first`."""
    vehicles = tuple(_lot(rng, first + i, garage, traffic.two_wheels) for i in range(40))
    behind, queue = [0.0], [0.0]
    for a, b in zip(vehicles, (*vehicles[1:], vehicles[0]), strict=True):
        room = (a.length_m + b.length_m) / 2
        gap_s = 0.9 + float(rng.exponential(traffic.gap_s - 0.9))
        behind.append(behind[-1] + room + traffic.speed_mps * gap_s)
        queue.append(queue[-1] + room + STOP_GAP_M * float(rng.uniform(0.7, 1.4)))
    return Stream(
        vehicles,
        np.array(behind[:-1]),
        np.array(queue[:-1]),
        behind[-1],
        queue[-1],
        traffic.speed_mps,
        traffic.sign,
        -traffic.sign * (traffic.lane + 0.5) * road.lane_m,
        float(rng.uniform(0, behind[-1])),
    )


def _numbers(stream: Stream, lead_m: float) -> list[tuple[int, float, float]]:
    """Vehicles near the picture when vehicle 0 of the run has gone `lead_m`: number, free m, queue m behind 0."""
    out = []
    last = int(np.floor((lead_m + SEEN_M) / stream.loop_m))
    first = int(np.floor((lead_m - SEEN_M) / stream.loop_m)) - 1
    n = len(stream.vehicles)
    for turn in range(first, last + 1):
        for i in range(n):
            behind = turn * stream.loop_m + float(stream.behind_m[i])
            if -SEEN_M < lead_m - behind < SEEN_M:
                out.append((turn * n + i, behind, turn * stream.queue_loop_m + float(stream.queue_m[i])))
    return out


def _place(
    scene: RoadScene,
    stream: Stream,
    vehicle: Vehicle,
    along: float,
    offset: float,
    turn: float,
    braking: bool = False,
    standing: bool = False,
) -> Driven | Rider:
    x, y = scene.road.at(stream.sign * along, offset)
    heading = scene.road.direction_rad + (0.0 if stream.sign > 0 else np.pi) + turn
    if vehicle.model is not None:
        return Driven(vehicle.ident, vehicle.model, x, y, float(heading), braking, standing)
    assert vehicle.look is not None
    phase = (along / 5.0) % 1.0
    return Rider(vehicle.ident, vehicle.look, vehicle.motor, vehicle.paint, x, y, float(heading), phase)


def free_flow(scene: RoadScene, stream: Stream, t_s: float) -> list[Driven | Rider]:
    """Everybody at the stream's speed."""
    lead = stream.phase_m + stream.speed_mps * t_s
    n = len(stream.vehicles)
    return [
        _place(scene, stream, stream.vehicles[k % n], lead - behind, stream.offset_m, 0.0)
        for k, behind, _ in _numbers(stream, lead)
    ]


def _behind(stream: Stream, number: int) -> float:
    turn, i = divmod(number, len(stream.vehicles))
    return turn * stream.loop_m + float(stream.behind_m[i])


def queueing(scene: RoadScene, stream: Stream, t_s: float, onset_s: float, head_m: float) -> list[Driven | Rider]:
    """Free flow until about `onset_s`, then a queue that grows upstream from `head_m` (Newell's car following).

    The first vehicle held is the one that would pass `head_m` at onset; it creeps the last metres.
    """
    lead = stream.phase_m + stream.speed_mps * t_s
    lead_at_onset = stream.phase_m + stream.speed_mps * onset_s
    n = len(stream.vehicles)
    turn = int((lead_at_onset - head_m) // stream.loop_m)
    order = [turn * n + i for i in range(2 * n)]
    held = next(k for k in order if _behind(stream, k) >= lead_at_onset - head_m)
    first_queue = held // n * stream.queue_loop_m + float(stream.queue_m[held % n])
    out: list[Driven | Rider] = []
    for k, behind, _ in _numbers(stream, lead):
        if k < held:
            out.append(_place(scene, stream, stream.vehicles[k % n], lead - behind, stream.offset_m, 0.0))
    for k in range(held, held + QUEUE_LIMIT):
        turn, i = divmod(k, n)
        stop = head_m - (turn * stream.queue_loop_m + float(stream.queue_m[i]) - first_queue)
        free = lead - turn * stream.loop_m - float(stream.behind_m[i])
        along, slow = _eased(free, stop, stream.speed_mps)
        if -SEEN_M < along < SEEN_M:
            vehicle = stream.vehicles[i]
            out.append(_place(scene, stream, vehicle, along, stream.offset_m, 0.0, slow > 0.25, slow > 0.995))
    return out


def _eased(free: float, stop: float, speed: float) -> tuple[float, float]:
    """Distance gone when braking to stand at `stop`, and how far the braking is done (0..1)."""
    way = speed * speed / (2 * BRAKING_MPS2)
    late = free - (stop - way)
    if late <= 0:
        return free, 0.0
    t = late / speed
    if t >= speed / BRAKING_MPS2:
        return stop, 1.0
    return stop - way + speed * t - BRAKING_MPS2 * t * t / 2, 0.3 + 0.6 * t * BRAKING_MPS2 / speed


def _cast(things: list[Driven | Rider], walkers: list[Walker]) -> Cast:
    return Cast(
        walkers=tuple(walkers),
        riders=tuple(t for t in things if isinstance(t, Rider)),
        vehicles=tuple(t for t in things if isinstance(t, Driven)),
    )


def _pavement_walkers(rng: np.random.Generator, scene: RoadScene, count: int) -> list[Passer]:
    road = scene.road
    out: list[Passer] = []
    for _ in range(count):
        side = float(rng.choice([-1, 1])) * (road.half_m + float(rng.uniform(0.8, 2.6)))
        a, b = road.at(scene.near_m - 8, side), road.at(scene.far_m + 10, side)
        if rng.random() < 0.5:
            a, b = b, a
        out.append(
            Passer(
                make_look(rng),
                a,
                b,
                float(rng.uniform(1.0, 1.5)),
                float(rng.uniform(55, 90)),
                float(rng.uniform(0, 90)),
            )
        )
    return out


def _streams(rng: np.random.Generator, road: Road, gap_s: float, two_wheels: float) -> list[Stream]:
    """A stream for every lane; two wheels keep to the outer lanes."""
    out: list[Stream] = []
    garage = make_garage(rng)
    for sign in (1, -1):
        for lane in range(road.lanes):
            own_gap_s, share = gap_s * float(rng.uniform(0.8, 1.3)), two_wheels if lane == road.lanes - 1 else 0.0
            traffic = Traffic(lane, sign, float(rng.uniform(8.5, 12.5)), own_gap_s, share)
            out.append(make_stream(rng, 1000 * len(out), road, garage, traffic))
    return out


def quiet_road_script(rng: np.random.Generator, scene: RoadScene) -> Callable[[float], Cast]:
    """Light traffic and some walkers on the pavement."""
    streams = _streams(rng, scene.road, float(rng.uniform(6, 14)), 0.25)
    passers = _pavement_walkers(rng, scene, int(rng.integers(1, 5)))

    def script(t_s: float) -> Cast:
        things = [thing for s in streams for thing in free_flow(scene, s, t_s)]
        return _cast(things, [w for i, p in enumerate(passers) if (w := p.at(90000 + i, t_s)) is not None])

    return script


def slowing_script(rng: np.random.Generator, scene: RoadScene, onset_s: float) -> Callable[[float], Cast]:
    """One direction (on two roads of five both) comes to a stand from onset on."""
    streams = _streams(rng, scene.road, float(rng.uniform(3.0, 4.0)), 0.15)
    blocked = {1, -1} if rng.random() < 0.4 else {int(rng.choice([1, -1]))}
    passers = _pavement_walkers(rng, scene, int(rng.integers(1, 4)))
    late = [float(rng.uniform(0, 6)) for _ in streams]

    def script(t_s: float) -> Cast:
        things: list[Driven | Rider] = []
        for stream, wait in zip(streams, late, strict=True):
            if stream.sign in blocked:
                head = (scene.far_m if stream.sign > 0 else -scene.near_m) + 4.0
                things += queueing(scene, stream, t_s, onset_s + wait, head)
            else:
                things += free_flow(scene, stream, t_s)
        return _cast(things, [w for i, p in enumerate(passers) if (w := p.at(90000 + i, t_s)) is not None])

    return script


def stopping_script(rng: np.random.Generator, scene: RoadScene, onset_s: float) -> Callable[[float], Cast]:
    """One vehicle comes to stand in its lane at onset; those behind go round it, one by one."""
    sign = int(rng.choice([1, -1]))
    other = [s for s in _streams(rng, scene.road, float(rng.uniform(5, 9)), 0.2) if s.sign != sign]
    lane = int(rng.integers(scene.road.lanes))
    speed = float(rng.uniform(8.5, 11.5))
    traffic = Traffic(lane, sign, speed, float(rng.uniform(4.5, 7.0)), 0.1)
    stream = make_stream(rng, 50000, scene.road, make_garage(rng), traffic)
    lanes = [int(v) for v in rng.integers(scene.road.lanes, size=40)]
    stop = sign * float(scene.near_m + (scene.far_m - scene.near_m) * rng.uniform(0.12, 0.4))
    victim_at = stop + speed * speed / (2 * BRAKING_MPS2)
    victim = Vehicle(59999, make_car(rng) if rng.random() < 0.75 else make_truck(rng), None, False, (0, 0, 0), 4.6)
    passers = _pavement_walkers(rng, scene, int(rng.integers(1, 4)))
    road = scene.road
    step = road.lane_m if lane == 0 else -road.lane_m

    def others(t_s: float) -> list[Driven | Rider]:
        lead = stream.phase_m + speed * t_s
        slot = stream.phase_m + speed * onset_s - victim_at
        out: list[Driven | Rider] = []
        for k, behind, _ in _numbers(stream, lead):
            if abs(behind - slot) < speed * 1.7:
                continue
            own = lanes[k % 40]
            offset, turn = -sign * (own + 0.5) * road.lane_m, 0.0
            along = lead - behind
            if own == lane and behind > slot:
                shift, slope = _bump(along - stop)
                offset += -sign * step * shift
                turn = -float(np.arctan(step * slope))
            out.append(_place(scene, stream, stream.vehicles[k % 40], along, offset, turn))
        return out

    def script(t_s: float) -> Cast:
        things = [thing for s in other for thing in free_flow(scene, s, t_s)] + others(t_s)
        along, slow = _eased(victim_at + speed * (t_s - onset_s), stop, speed)
        blinking = slow > 0.25 and (slow < 1.0 or (t_s * 1.5) % 1.0 < 0.5)
        if along > -SEEN_M:
            things.append(_place(scene, stream, victim, along, stream.offset_m, 0.0, blinking, slow > 0.995))
        return _cast(things, [w for i, p in enumerate(passers) if (w := p.at(90000 + i, t_s)) is not None])

    return script


def _bump(ahead_m: float) -> tuple[float, float]:
    """Going round something at 0: share of a lane moved over (0..1) and its slope per metre."""
    if ahead_m < 0:
        k = np.clip((ahead_m + 24) / 14, 0, 1)
        return float(k * k * (3 - 2 * k)), float(6 * k * (1 - k) / 14)
    k = np.clip((24 - ahead_m) / 14, 0, 1)
    return float(k * k * (3 - 2 * k)), float(-6 * k * (1 - k) / 14)
