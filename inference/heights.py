"""Heights: the ground of a camera from the people who stand on it, for a person to confirm.

People are about as tall everywhere, so how tall they look tells how far away they are. A level camera without
distortion at height h, tilted by t, with focal length f (in heights of the picture; v counts downwards from its
middle): with A(v) = (f cos t - v sin t) / (f sin t + v cos t), feet at v_f and crown at v_h, body height H,

    h = H / (1 - A(v_f) / A(v_h))

(the depth of the feet seen from height h is that of the crown seen from h - H). The tilt and focal length that we
look for are those for which all people give the same h. The mean height and its doubt are ours ([D]); how exact
the rest is comes from resampling the people (bootstrap, Efron 1979).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.errors import ConfigError
from inference.ground import Ground

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
BODY_M: Final = 1.67
"""Mean height with shoes of those who walk in public places [D]; old people and children among them."""
BODY_ERROR: Final = 0.03
"""Share by which the mean of one place may differ [D]; the area's error is twice that."""
PEOPLE_MIN: Final = 60
PEOPLE_MAX: Final = 600
SPREAD_MIN: Final = 0.15
"""Of the feet, in heights of the picture: people at one distance tell nothing of the others."""
VIEW_DEG: Final = 70.0
_VIEW_DOUBT: Final = 0.3
"""Of the logarithm of the focal length, where the lens is not known..."""
_VIEW_DOUBT_KNOWN: Final = 0.03
"""...and where it is."""
MODEL_ERROR: Final = 0.12
"""Of an area, share [D]: lenses are no pinholes, and a box is higher than the body that is seen from above."""
_RESAMPLES: Final = 24
_TALL: Final = (1.9, 4.2)
"""Height over width of an upright person's box."""
_EDGE: Final = 0.01
BODY_SPREAD: Final = 0.06
"""Share by which one person's height differs from the mean, one standard error, with that of the box [D]."""
_INDEPENDENT: Final = 0.1
"""Share of the people that counts as independent: boxes err alike (their feet, their hats), and not by chance."""
_CELLS: Final = (32, 18)
_PER_CELL: Final = 6
"""People who are taken at one place, so that those who stand there all day are not all that counts."""


@dataclass(frozen=True)
class Learnt:
    """A ground learnt from people. `height_m` of the camera; `tilt_deg` below the horizon; `view_deg`: horizontal
    angle of view; `people`: on whom it rests; `spread`: share by which single people differ from it."""

    ground: Ground
    others: tuple[Ground, ...]
    """The same from resampled people."""
    height_m: float
    tilt_deg: float
    view_deg: float
    people: int
    spread: float

    def area_error(self, polygon: F64) -> float | None:
        """Standard error of a polygon's area, as a share of it; None when it reaches the horizon."""
        area = self.ground.area_m2(polygon)
        areas = [each.area_m2(polygon) for each in self.others]
        if area is None or any(each is None for each in areas):
            return None
        logs = np.log([each for each in areas if each is not None])
        return float(np.sqrt(logs.std() ** 2 + (2 * BODY_ERROR) ** 2 + MODEL_ERROR**2))


def upright(xyxy: F32, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Which boxes (n, 4), pixels, are people seen from head to foot: upright, and not at the picture's edge."""
    width, height = size
    tall = (xyxy[:, 3] - xyxy[:, 1]) / np.maximum(xyxy[:, 2] - xyxy[:, 0], 1e-6)
    inside = (xyxy[:, 0] > _EDGE * width) & (xyxy[:, 2] < (1 - _EDGE) * width)
    inside &= (xyxy[:, 1] > _EDGE * height) & (xyxy[:, 3] < (1 - _EDGE) * height)
    return np.asarray((tall >= _TALL[0]) & (tall <= _TALL[1]) & inside)


def learn(boxes: F64, aspect: float, *, view_deg: float | None = None, seed: int = 0) -> Learnt:
    """The ground on which people stand. `boxes`: (n, 4), shares of the picture, of upright people (see `upright`).

    `aspect`: width over height of the picture; `view_deg`: the lens's horizontal angle of view, if it is known.
    Raises ConfigError when the people are too few, or all equally far away.
    """
    if len(boxes) < PEOPLE_MIN:
        raise ConfigError(
            f"直立且完整可见的人太少 (too few people seen from head to foot): {len(boxes)} < {PEOPLE_MIN}; "
            "请用更长的录像 (use longer recordings)"
        )
    rng = np.random.default_rng(seed)
    boxes = _spread_out(boxes, rng)
    feet, crown = boxes[:, 3] - 0.5, boxes[:, 1] - 0.5
    low, high = np.quantile(feet, (0.05, 0.95))
    if high - low < SPREAD_MIN:
        raise ConfigError(
            f"人们都在同一远近 (all people are equally far away: feet within {high - low:.2f} of the picture's "
            "height); 请选人走近走远的时段 (take a time when they come and go), 或点选四点 (or click four points)"
        )
    prior = _focal(VIEW_DEG if view_deg is None else view_deg, aspect)
    doubt = _VIEW_DOUBT if view_deg is None else _VIEW_DOUBT_KNOWN
    best = _fit(feet, crown, prior, doubt)
    others = []
    for _ in range(_RESAMPLES):
        chosen = rng.integers(len(feet), size=len(feet))
        others.append(_ground(*_fit(feet[chosen], crown[chosen], prior, doubt)[:3], aspect))
    focal, tilt, height, spread = best
    return Learnt(
        ground=_ground(focal, tilt, height, aspect),
        others=tuple(others),
        height_m=height,
        tilt_deg=float(np.degrees(tilt)),
        view_deg=float(np.degrees(2 * np.arctan(aspect / 2 / focal))),
        people=len(feet),
        spread=spread,
    )


def _spread_out(boxes: F64, rng: np.random.Generator) -> F64:
    """Some people of every place, in any order, and no more than PEOPLE_MAX."""
    boxes = boxes[rng.permutation(len(boxes))]
    places = np.stack(((boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]), axis=1)
    columns, rows = _CELLS
    cells = (places[:, 1] * rows).astype(np.int64) * columns + (places[:, 0] * columns).astype(np.int64)
    taken: dict[int, int] = {}
    kept = []
    for index, cell in enumerate(cells.tolist()):
        taken[cell] = taken.get(cell, 0) + 1
        if taken[cell] <= _PER_CELL:
            kept.append(index)
    return boxes[kept[:PEOPLE_MAX]]


def _focal(view_deg: float, aspect: float) -> float:
    """Focal length in heights of the picture."""
    return float(aspect / 2 / np.tan(np.radians(view_deg) / 2))


def _fit(feet: F64, crown: F64, prior: float, doubt: float) -> tuple[float, float, float, float]:
    """Focal length, tilt, camera height, and spread of the people: a grid that is drawn closer around its best."""
    focals = np.exp(np.linspace(-3 * doubt, 3 * doubt, 25)) * prior
    tilts = np.radians(np.linspace(2, 75, 49))
    focal, tilt, height, spread = prior, 0.3, 5.0, 1.0
    for _ in range(3):
        f, t = (each.ravel()[:, None] for each in np.meshgrid(focals, tilts))
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = (f * np.cos(t) - feet * np.sin(t)) / (f * np.sin(t) + feet * np.cos(t))
            crowns = (f * np.sin(t) + crown * np.cos(t)) / (f * np.cos(t) - crown * np.sin(t))
            heights = BODY_M / (1 - depth * crowns)
            # Feet above the horizon, or a camera under the ground: not this tilt.
            heights[(depth <= 0) | (heights <= 0) | ~np.isfinite(heights)] = np.nan
            logs = np.log(heights)
        logs[np.isnan(logs).any(axis=1)] = np.inf
        middles = np.median(logs, axis=1)
        with np.errstate(invalid="ignore"):
            spreads = 1.4826 * np.median(np.abs(logs - middles[:, None]), axis=1)
        with np.errstate(invalid="ignore"):
            # Cauchy's loss: those who sit, bend or are cut off by something count for little.
            cost = _INDEPENDENT * np.log1p(((logs - middles[:, None]) / BODY_SPREAD) ** 2).sum(axis=1)
        cost += 0.5 * (np.log(f[:, 0] / prior) / doubt) ** 2
        cost[~np.isfinite(middles)] = np.inf
        at = int(np.nanargmin(np.where(np.isnan(cost), np.inf, cost)))
        focal, tilt = float(f[at, 0]), float(t[at, 0])
        height, spread = float(np.exp(middles[at])), float(spreads[at])
        step_f, step_t = np.log(focals[1] / focals[0]), tilts[1] - tilts[0]
        focals = focal * np.exp(np.linspace(-step_f, step_f, 13))
        tilts = np.clip(np.linspace(tilt - step_t, tilt + step_t, 13), np.radians(0.5), np.radians(85))
    return focal, tilt, height, spread


def _ground(focal: float, tilt: float, height: float, aspect: float) -> Ground:
    """The homography of a level pinhole camera: x to the right, y away from it, metres."""
    sin, cos = np.sin(tilt), np.cos(tilt)
    to_picture = np.array([[focal, 0, 0], [0, -focal * sin, focal * height * cos], [0, cos, height * sin]])
    to_shares = np.array([[1 / aspect, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    matrix = np.linalg.inv(to_shares @ to_picture)
    return Ground(matrix / matrix[2, 2])
