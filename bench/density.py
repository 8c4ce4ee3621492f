"""People of the simulated square: counts, and densities on clicked and on learnt ground, beside the exact truth.

    python -m bench.density [--squares 8] [--first-seed 9300] [--json]

Squares with seeds unused in training fill with people, by day and by night. Counted by the network as shipped, as
live (feet inside, threshold as shipped). The ground is known twice: from the corners of the zone, as an operator
clicks them, and from the heights of the people that the network found in the first minutes; the lens is not told.
Last line one JSON object; the status is 1 when a bound is not kept (domain check 7 [D]: mean absolute error of the
count at most a tenth up to 50 people, a fifth above; density within 15 % and 30 %, median of squares).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import Progress

from contracts.errors import ConfigError
from contracts.place import Zone, ZoneKind
from inference.crowd import PERSON, count_people
from inference.detector import Detector
from inference.ground import Ground
from inference.heights import learn, upright
from inference.registry import load_model
from inference.zones import ZoneShape, inside
from sim.scenes import Scene, SceneKind, TrueBox, make_scene
from sim.scenes.truth import SceneClass

F64 = npt.NDArray[np.float64]
MODELS: Final = Path(__file__).resolve().parents[1] / "models"
WIDTH, HEIGHT = 640, 360
ONSET_S: Final = 30.0
LEARN_S: Final = range(0, 240, 4)
JUDGE_S: Final = range(20, 200, 12)
FEW: Final = 50
COUNT_ERROR_MAX: Final = (0.10, 0.20)
CLICKED_MAX, LEARNT_MAX = 0.15, 0.30


@dataclass(slots=True)
class Square:
    """Figures of one square. Shares: mean of density told over true density, less 1, where people stand."""

    seed: int
    night: bool
    clicked: float | None = None
    learnt: float | None = None
    learnt_error: float | None = None
    why: str = ""
    errors: list[tuple[int, int]] = field(default_factory=list)
    """True and told people of the zone, picture by picture."""


def true_people(boxes: tuple[TrueBox, ...], scene: Scene, polygon: F64) -> int:
    """People whose feet are in the zone, as the scene knows it."""
    to_picture = np.linalg.inv(np.array(scene.view.homography).reshape(3, 3))
    people = [each for each in boxes if each.cls is SceneClass.PERSON]
    if not people:
        return 0
    ground = np.array([(each.ground_x_m, each.ground_y_m, 1.0) for each in people]) @ to_picture.T
    return int(inside(polygon * (WIDTH, HEIGHT), ground[:, :2] / ground[:, 2:]).sum())


def measure(seed: int, night: bool, detector: Detector) -> Square:
    """One square through the network."""
    scene = make_scene(SceneKind.SQUARE_FILLING, seed, night=night, width=WIDTH, height=HEIGHT, onset_s=ONSET_S)
    shape_of = next(each for each in scene.view.zones if each.kind == "standing")
    polygon = np.array(shape_of.polygon) / (WIDTH, HEIGHT)
    corners = [(float(x), float(y)) for x, y in polygon]
    true_ground = Ground(
        np.array(scene.view.homography).reshape(3, 3) @ np.diag([float(WIDTH), float(HEIGHT), 1.0])
    )
    metres = [(float(x), float(y)) for x, y in np.round(true_ground.to_ground(polygon), 1)]
    made = Square(seed, night)
    found_people: list[F64] = []
    threshold = detector.model.threshold("person")
    shape = ZoneShape.of(Zone("square", "", ZoneKind.STANDING, tuple(corners)))
    densities: list[tuple[int, int]] = []
    for t_s in sorted({*LEARN_S, *JUDGE_S}):
        bgr, truth = scene.render(float(t_s))
        found = detector.detect([bgr])[0]
        if t_s in LEARN_S:
            sure = found[(found.class_id == PERSON) & (found.confidence >= max(threshold, 0.5))].xyxy
            whole = sure[upright(sure, (WIDTH, HEIGHT))]
            found_people.append(whole.astype(np.float64) / (WIDTH, HEIGHT, WIDTH, HEIGHT))
        if t_s in JUDGE_S:
            told = count_people(shape, found, threshold, (WIDTH, HEIGHT), 0.15).count
            true = true_people(truth.boxes, scene, polygon)
            made.errors.append((true, told))
            densities.append((true, told))
    standing = [(true, told) for true, told in densities if true >= 10]
    if not standing:
        made.why = "nobody stands there"
        return made
    share = sum(told for _, told in standing) / sum(true for true, _ in standing)
    area = Ground.from_points(corners, metres).area_m2(polygon) if len(corners) >= 4 else None
    if area is not None:
        made.clicked = share * shape_of.area_m2 / area - 1
    try:
        learnt = learn(np.concatenate(found_people), WIDTH / HEIGHT)
    except ConfigError as error:
        made.why = str(error)
        return made
    area = learnt.ground.area_m2(polygon)
    if area is not None:
        made.learnt, made.learnt_error = share * shape_of.area_m2 / area - 1, learnt.area_error(polygon)
    return made


def count_errors(squares: list[Square]) -> dict[str, dict[str, float]]:
    """Mean absolute error and bias of the count, as shares of the mean true count, by band."""
    bands: dict[str, list[tuple[int, int]]] = {"0-5": [], "6-20": [], "21-50": [], "50+": []}
    for square in squares:
        for true, told in square.errors:
            name = "0-5" if true <= 5 else "6-20" if true <= 20 else "21-50" if true <= FEW else "50+"
            bands[name].append((true, told))
    figures = {}
    for name, pairs in bands.items():
        if pairs:
            mean = max(statistics.fmean(true for true, _ in pairs), 1.0)
            figures[name] = {
                "pictures": float(len(pairs)),
                "people": round(mean, 1),
                "mae": round(statistics.fmean(abs(told - true) for true, told in pairs), 2),
                "bias": round(statistics.fmean(told - true for true, told in pairs), 2),
                "mae_share": round(statistics.fmean(abs(told - true) for true, told in pairs) / mean, 3),
            }
    return figures


def broken(squares: list[Square], counts: dict[str, dict[str, float]]) -> list[str]:
    """The bounds that are not kept, in words."""
    said: list[str] = []
    for name, bound in (("6-20", COUNT_ERROR_MAX[0]), ("21-50", COUNT_ERROR_MAX[0]), ("50+", COUNT_ERROR_MAX[1])):
        share = counts.get(name, {}).get("mae_share", 0.0)
        said += [f"{name} 人 (people): {share:.0%} > {bound:.0%}"] if share > bound else []
    for title, values, most in (
        ("点选 (clicked)", [each.clicked for each in squares], CLICKED_MAX),
        ("学习 (learnt)", [each.learnt for each in squares], LEARNT_MAX),
    ):
        middle = statistics.median([abs(each) for each in values if each is not None] or [0.0])
        said += [f"{title}: {middle:.0%} > {most:.0%}"] if middle > most else []
    return said


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--squares", type=int, default=4, help="广场数 squares")
    parser.add_argument("--first-seed", type=int, default=9300, help="首个种子 first seed")
    parser.add_argument(
        "--model", type=Path, default=MODELS / "county-nano", help="模型文件夹 folder of the model"
    )
    parser.add_argument("--json", action="store_true", help="仅末行 JSON the last line alone")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    detector = Detector(load_model(given.model), floor=0.05)
    with Progress(console=Console(stderr=True)) as progress:
        numbers = progress.track(range(given.squares), description="广场 (squares)")
        squares = [measure(given.first_seed + number, bool(number % 2), detector) for number in numbers]
    counts = count_errors(squares)
    if not given.json:
        for each in squares:
            both = (("clicked", each.clicked), ("learnt", each.learnt))
            shares = [f"{name} {value:+.0%}" for name, value in both if value is not None]
            print(f"{each.seed} {'night' if each.night else 'day  '} {', '.join(shares)} {each.why}")
        for name, figures in counts.items():
            print(f"{name:>6} people: {figures}")
    said = broken(squares, counts)
    for line in said:
        print(f"未达标 (bound not kept): {line}", file=sys.stderr)
    known = {
        name: [abs(value) for each in squares if (value := getattr(each, name)) is not None]
        for name in ("clicked", "learnt")
    }
    print(
        json.dumps(
            {
                "model": detector.model.tag,
                "squares": len(squares),
                "counts": counts,
                **{f"{name}_median": round(statistics.median(v), 3) if v else None for name, v in known.items()},
                **{f"{name}_worst": round(max(v), 3) if v else None for name, v in known.items()},
            }
        )
    )
    return int(bool(said))


if __name__ == "__main__":
    sys.exit(main())
