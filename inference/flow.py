"""Flow: how the vehicles of a lane move, from tracks of some seconds; nothing here remembers the burst before.

Speed is Edie's space-mean speed (Edie 1963): the metres that all vehicles went in the lane over the seconds that
they spent there, so that those who stand count for as long as they stand. It needs measured ground; without it
a vehicle is judged by its own size in the picture: one that moves less than SLOW of its size in a second is slow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.instant import SECOND
from inference.ground import Ground
from inference.tracker import Track
from inference.zones import ZoneShape, wheels

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
POINTS_MIN: Final = 3
SECONDS_MIN: Final = 0.6
SURE_SHARE: Final = 0.34
"""Of a track's findings: a shadow that is now and then taken for a car is none."""
STANDS_KMH: Final = 5.0
STANDS: Final = 0.1
"""Sizes of its own box in a second: less is standing, where the ground is not measured."""
SLOW: Final = 0.8
"""The same for slow: about 6 km/h of a car."""
QUEUE_GAP_M: Final = 15.0
QUEUE_GAP: Final = 2.5
"""The same in sizes of a vehicle."""
WRONG_S: Final = 3.0
WRONG_M: Final = 10.0
WRONG_SIZES: Final = 3.0
WRONG_COSINE: Final = -0.7
_COARSE_M: Final = 2.0
"""Where a thousandth of the picture's height is more ground than this, a place on it says nothing of speed."""
_KMH: Final = 3.6


@dataclass(frozen=True, slots=True)
class Passage:
    """One vehicle's time in a lane.

    `velocity`: pixels a second, x right, y down; `sizes`: its speed in sizes of its own box (root of the area) a
    second, `went` the same in all. `kmh`, `metres`: on the ground, None where it is not measured. `place`: pixels,
    where it was last; `place_m`: the same on the ground. `box`: its last one. `velocity_m`: metres a second.
    """

    seconds: float
    velocity: F64
    sizes: float
    went: float
    place: F64
    box: F32
    kmh: float | None = None
    metres: float | None = None
    velocity_m: F64 | None = None
    place_m: F64 | None = None

    @property
    def stands(self) -> bool:
        """Whether it hardly moves."""
        return self.sizes < STANDS if self.kmh is None else self.kmh < STANDS_KMH

    @property
    def slow(self) -> bool:
        """Whether it moves at a walk at most."""
        return self.sizes < SLOW


@dataclass(frozen=True, slots=True)
class LaneFlow:
    """A lane over one burst of looks.

    `distance_m` and `time_s` are Edie's sums over all vehicles that count (`distance_m` None: no ground);
    `slow_s`: of `time_s`, by vehicles at a walk at most. `queue`: vehicles that stand one behind another,
    `queue_m` their length. `crossed`: vehicles that went over the middle of the lane, `seconds` in which they did.
    """

    seconds: float
    vehicles: int
    time_s: float
    slow_s: float
    distance_m: float | None
    queue: int
    queue_m: float | None
    crossed: int
    passages: tuple[Passage, ...]

    @property
    def kmh(self) -> float | None:
        """Space-mean speed."""
        return None if self.distance_m is None or not self.time_s else self.distance_m / self.time_s * _KMH


def passage(track: Track, shape: ZoneShape, ground: Ground | None, size: tuple[int, int]) -> Passage | None:
    """A track's time in a lane; None when it was too short there, or too doubtful, to say anything.

    `size`: width and height of the pictures in pixels.
    """
    if len(track.times) < POINTS_MIN or track.sure < SURE_SHARE * len(track.times):
        return None
    boxes = np.stack(list(track.boxes))
    points = wheels(boxes)
    here = np.flatnonzero(shape.holds(points, *size))
    if len(here) < POINTS_MIN:
        return None
    times = np.array([(each - track.times[0]) / SECOND for each in track.times], np.float64)[here]
    seconds = float(times[-1] - times[0])
    if seconds < SECONDS_MIN:
        return None
    boxes, points = boxes[here], points[here]
    velocity = _slope(times, points)
    scale = float(np.median(np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))))
    sizes = float(np.hypot(*velocity)) / max(scale, 1.0)
    on_ground = _on_ground(times, points / size, ground)
    return Passage(seconds, velocity, sizes, sizes * seconds, points[-1], boxes[-1], *on_ground)


def _on_ground(
    times: F64, shares: F64, ground: Ground | None
) -> tuple[float | None, float | None, F64 | None, F64 | None]:
    """km/h, metres, metres a second and last place of a vehicle, all None where the ground is not measured."""
    if ground is None:
        return None, None, None, None
    places = ground.to_ground(shares)
    lower = ground.to_ground(shares + np.array([0.0, 0.001]))
    if not np.isfinite(places).all() or float(np.median(np.hypot(*(places - lower).T))) > _COARSE_M:
        return None, None, None, None
    velocity = _slope(times, places)
    speed = float(np.hypot(*velocity))
    return speed * _KMH, speed * float(times[-1] - times[0]), velocity, places[-1]


def measure(
    passages: Sequence[Passage], shape: ZoneShape, travel: F64 | None, size: tuple[int, int], seconds: float
) -> LaneFlow:
    """The flow of a lane from what passed in `seconds`. `travel`: its direction in the picture, pixels."""
    counting = _counting(passages)
    time_s = sum(each.seconds for each in counting)
    measured = [each for each in counting if each.metres is not None]
    # Speed is that of the vehicles whose ground is known; far away it is not, and they are like those nearer by.
    distance: float | None = None
    if measured:
        share = sum(each.metres or 0.0 for each in measured) / max(sum(each.seconds for each in measured), 1e-9)
        distance = share * time_s
    queue, queue_m = _queue([each for each in passages if each.stands], travel)
    return LaneFlow(
        seconds=seconds,
        vehicles=len(passages),
        time_s=time_s,
        slow_s=sum(each.seconds for each in counting if each.slow),
        distance_m=distance,
        queue=queue,
        queue_m=queue_m,
        crossed=_crossed(passages, travel, shape, size),
        passages=tuple(passages),
    )


def goes_wrong(each: Passage, travel: F64, travel_m: F64 | None) -> bool:
    """Whether a vehicle goes against the lane: >= 3 s and >= 10 m (domain 2.7 [D]), or three of its own sizes.

    `travel`: the lane's direction in the picture, pixels; `travel_m`: on the ground, None = not measured.
    """
    if each.seconds < WRONG_S:
        return False
    if each.velocity_m is not None and travel_m is not None:
        return (each.metres or 0.0) >= WRONG_M and _cosine(each.velocity_m, travel_m) <= WRONG_COSINE
    return each.went >= WRONG_SIZES and _cosine(each.velocity, travel) <= WRONG_COSINE


def occupancy(grid: F64, weights: F64, xyxy: F32, size: tuple[int, int]) -> float:
    """Share of a lane, 0..1, that vehicles cover: of its ground where that is measured, else of its picture.

    `grid`: points of the lane, shares of the picture, (k, 2); `weights`: (k,), see grid_weights.
    """
    if not len(xyxy) or not len(grid):
        return 0.0
    points = grid * size
    covered = (
        (points[:, None, 0] >= xyxy[None, :, 0])
        & (points[:, None, 0] <= xyxy[None, :, 2])
        & (points[:, None, 1] >= xyxy[None, :, 1])
        & (points[:, None, 1] <= xyxy[None, :, 3])
    )
    return float((covered.any(axis=1) * weights).sum())


def lane_grid(shape: ZoneShape, across: int = 24) -> F64:
    """Points spread evenly over a lane, float64 (k, 2), shares of the picture; none when it is no area."""
    low, high = shape.polygon.min(axis=0), shape.polygon.max(axis=0)
    steps = (np.arange(across) + 0.5) / across
    xs, ys = np.meshgrid(low[0] + steps * (high[0] - low[0]), low[1] + steps * (high[1] - low[1]))
    points = np.stack((xs.ravel(), ys.ravel()), axis=1)
    return np.asarray(points[shape.holds(points, 1, 1)])


def grid_weights(grid: F64, ground: Ground | None) -> F64:
    """What each point of a lane's grid stands for, (k,), 1 in all: its ground, or all alike without a measure."""
    alike = np.full(len(grid), 1.0 / max(len(grid), 1))
    if ground is None or not len(grid):
        return alike
    here, right, low = (ground.to_ground(grid + np.array(step)) for step in ((0, 0), (1e-3, 0), (0, 1e-3)))
    across, along = right - here, low - here
    areas = np.abs(across[:, 0] * along[:, 1] - across[:, 1] * along[:, 0])
    return np.asarray(areas / areas.sum()) if np.isfinite(areas).all() and areas.sum() > 0 else alike


def _counting(passages: Sequence[Passage]) -> list[Passage]:
    """All vehicles, but for one or two that stand while most go past: they broke down, the road did not."""
    standing = [each for each in passages if each.stands]
    if 0 < len(standing) <= 2 and len(passages) - len(standing) >= 2 * len(standing):
        return [each for each in passages if not each.stands]
    return list(passages)


def _queue(standing: Sequence[Passage], travel: F64 | None) -> tuple[int, float | None]:
    """The longest row of standing vehicles: how many, and its metres where all of them are on measured ground."""
    if not standing:
        return 0, None
    on_ground = all(each.place_m is not None for each in standing)
    places = np.stack(
        [each.place_m if on_ground and each.place_m is not None else each.place for each in standing]
    )
    if on_ground or travel is None:
        axis = _main_axis(places) if len(places) > 1 else np.array([0.0, 1.0])
    else:
        axis = travel / max(float(np.hypot(*travel)), 1e-9)
    order = np.argsort(places @ axis)
    along = (places @ axis)[order]
    if on_ground:
        gaps = np.full(len(order) - 1, QUEUE_GAP_M)
    else:
        sides = np.array([float(np.sqrt(np.prod(each.box[2:] - each.box[:2]))) for each in standing])[order]
        gaps = QUEUE_GAP * (sides[1:] + sides[:-1]) / 2
    breaks = np.flatnonzero(np.diff(along) > gaps)
    starts, ends = np.concatenate(([0], breaks + 1)), np.concatenate((breaks, [len(along) - 1]))
    best = int((ends - starts).argmax())
    length = float(along[ends[best]] - along[starts[best]])
    return int(ends[best] - starts[best] + 1), length if on_ground else None


def _crossed(passages: Sequence[Passage], travel: F64 | None, shape: ZoneShape, size: tuple[int, int]) -> int:
    """Vehicles that went over the line through the middle of the lane, across its direction."""
    if travel is None:
        return 0
    middle = shape.polygon.mean(axis=0) * size
    count = 0
    for each in passages:
        last = float((each.place - middle) @ travel)
        first = float((each.place - each.velocity * each.seconds - middle) @ travel)
        count += first < 0 <= last
    return count


def _slope(times: F64, points: F64) -> F64:
    """Least squares: change of points (n, 2) per second."""
    centred = times - times.mean()
    return np.asarray((centred[:, None] * points).sum(axis=0) / max(float((centred**2).sum()), 1e-9))


def _main_axis(places: F64) -> F64:
    _, _, axes = np.linalg.svd(places - places.mean(axis=0), full_matrices=False)
    return np.asarray(axes[0])


def _cosine(left: F64, right: F64) -> float:
    return float(left @ right) / max(float(np.hypot(*left) * np.hypot(*right)), 1e-9)
