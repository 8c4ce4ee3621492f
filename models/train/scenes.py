"""Writes rendered pictures of the simulated county as one more labelled set (models.train.sets.SCENES).

This package does not import the simulated county: whoever calls hands over the function that makes a scene. The
labels come from the renderer's truth; what is hardly visible becomes an ignored region.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from models.train.sets import CLASSES, IGNORE

CLEARLY_VISIBLE = 0.35
HARDLY_VISIBLE = 0.08
LEAST_HEIGHT_PX = 7.0
ONSET_S = 15.0
_JPEG_QUALITY = 90


class TrueThing(Protocol):
    """One thing in a rendered picture: `cls` indexes CLASSES, corners in pixels, `visible` 0..1."""

    @property
    def cls(self) -> int: ...  # noqa: D102
    @property
    def x1(self) -> float: ...  # noqa: D102
    @property
    def y1(self) -> float: ...  # noqa: D102
    @property
    def x2(self) -> float: ...  # noqa: D102
    @property
    def y2(self) -> float: ...  # noqa: D102
    @property
    def visible(self) -> float: ...  # noqa: D102


Render = Callable[[float], tuple[NDArray[np.uint8], Iterable[TrueThing]]]
"""Seconds since the scene began -> the BGR picture and what is in it."""

MakeScene = Callable[[str, int, bool, float], Render]
"""Kind, seed, night, second at which it begins to happen -> Render."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many scenes of one kind, how many pictures of each, and the seconds between which they are taken."""

    kind: str
    scenes: int
    pictures: int
    first_s: float
    last_s: float


PLANS: tuple[Plan, ...] = (
    Plan("square_filling", 36, 5, 0.0, 260.0),
    Plan("road_slowing", 18, 4, 0.0, 160.0),
    Plan("vehicle_stopping", 18, 4, 0.0, 90.0),
    Plan("fire_starting", 50, 5, 5.0, 150.0),
    Plan("quiet", 36, 3, 0.0, 120.0),
    Plan("empty", 60, 2, 0.0, 120.0),
)
NIGHT_SHARE = 0.4


def write_scenes(make: MakeScene, folder: Path, *, seed: int, plans: Sequence[Plan] = PLANS) -> int:
    """Renders the plans into `folder` (images/, labels/, classes.txt) and returns the number of pictures."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "labels").mkdir(exist_ok=True)
    (folder / "classes.txt").write_text("\n".join((*CLASSES, IGNORE)) + "\n", encoding="utf-8")
    rng = np.random.default_rng(seed)
    jobs = [
        (plan, int(rng.integers(1 << 30)), rng.random() < NIGHT_SHARE)
        for plan in plans
        for _ in range(plan.scenes)
    ]
    written = 0
    for plan, scene_seed, night in track(jobs, description="Rendering scenes"):
        render = make(plan.kind, scene_seed, night, ONSET_S)
        for number, t_s in enumerate(np.sort(rng.uniform(plan.first_s, plan.last_s, plan.pictures))):
            pixels, things = render(float(t_s))
            name = f"{plan.kind}_{'night' if night else 'day'}_{scene_seed}-{number}"
            cv2.imwrite(str(folder / "images" / f"{name}.jpg"), pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
            height, width = pixels.shape[:2]
            (folder / "labels" / f"{name}.txt").write_text(
                "".join(label_lines(things, width, height)), encoding="utf-8"
            )
            written += 1
    return written


def label_lines(things: Iterable[TrueThing], width: int, height: int) -> list[str]:
    """YOLO lines of a rendered picture: what is tiny or hardly visible is ignored, the invisible left out."""
    lines = []
    for thing in things:
        if thing.visible < HARDLY_VISIBLE:
            continue
        clear = thing.visible >= CLEARLY_VISIBLE and thing.y2 - thing.y1 >= LEAST_HEIGHT_PX
        row = int(thing.cls) if clear else len(CLASSES)
        cx, cy = (thing.x1 + thing.x2) / 2 / width, (thing.y1 + thing.y2) / 2 / height
        lines.append(
            f"{row} {cx:.6f} {cy:.6f} {(thing.x2 - thing.x1) / width:.6f} {(thing.y2 - thing.y1) / height:.6f}\n"
        )
    return lines
