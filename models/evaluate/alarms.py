"""Fire and smoke picture by picture: how many are seen where there are few false ones, on hard negatives too.

Hard negatives are pictures without fire that look like it: those of the fire sets' validation groups (lamps,
signals, headlights), and two folders that are for evaluation alone (warm rooms, sunsets, northern lights, fire
engines; nature without fire). A picture is an alarm when anything in it is found at the threshold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from contracts.errors import SourceMissing
from models.evaluate.detect import Detector, Seen
from models.evaluate.judge import FLOOR, Looked
from models.train.sets import CLASS_INDEX

F64 = NDArray[np.float64]
ALARMS = ("fire", "smoke")
FIRE_SETS = ("fire_cctv_v8", "fire_smoke_v12", "forest_fire_v1", "fire_indoor_v10", "fire_detection_rzosn_v1")
HARD = {
    "cair_normal": Path("evaluation_only/images/cair_normal/images"),
    "nasa non_fire": Path("evaluation_only/images/nasa_fire_kaggle/non_fire/images"),
}
BURNING = {"nasa fire": Path("evaluation_only/images/nasa_fire_kaggle/fire/images")}
FALSE_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class FolderAlarms:
    """A folder of pictures without boxes: how many, and how many are alarms at the shipped thresholds."""

    name: str
    pictures: int
    alarmed: dict[str, int]


@dataclass(frozen=True, slots=True)
class HardFigures:
    """One class at the lowest threshold with no more than FALSE_SHARE false pictures among all hard negatives.

    `recall`: of validation pictures that show it; `unseen_recall`: of the evaluation-only pictures that burn, None
    for smoke, which is not told there. `shipped_*`: the same at the shipped threshold.
    """

    name: str
    negatives: int
    threshold: float
    recall: float
    unseen_recall: float | None
    shipped_threshold: float
    shipped_recall: float
    shipped_false: float


def folder_scores(detector: Detector, folder: Path, size: Seen, *, nms_iou: float) -> dict[str, F64]:
    """The best score of each class of ALARMS in every picture of a folder. Raises SourceMissing."""
    if not folder.is_dir():
        raise SourceMissing(f"{folder}: no such folder; restore the data folder")
    files = sorted(each for each in folder.iterdir() if each.suffix.lower() in (".jpg", ".jpeg", ".png"))
    scores: dict[str, list[float]] = {name: [] for name in ALARMS}
    for file in track(files, description=folder.name):
        pixels = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if pixels is None:
            raise SourceMissing(f"{file}: not a readable picture; restore the data folder")
        found = detector.detect(np.asarray(pixels, np.uint8), size, floor=FLOOR, nms_iou=nms_iou)
        for name in ALARMS:
            scores[name].append(float(found[found[:, 0] == CLASS_INDEX[name]][:, 1].max(initial=0.0)))
    return {name: np.array(values) for name, values in scores.items()}


def best_scores(looked: Iterable[Looked], name: str) -> tuple[F64, F64]:
    """Best score per validation picture of a class: of those that show it, and of the fire sets' others."""
    shown, clear = [], []
    for item in looked:
        if name not in item.judged:
            continue
        score = float(item.found[item.found[:, 0] == CLASS_INDEX[name]][:, 1].max(initial=0.0))
        if item.judged[name].boxes:
            shown.append(score)
        elif item.picture.spec.name in FIRE_SETS and not any(
            item.judged[other].boxes for other in ALARMS if other in item.judged
        ):
            clear.append(score)
    return np.array(shown), np.array(clear)


def threshold_for(negatives: F64, share: float = FALSE_SHARE) -> float:
    """The lowest score at which at most `share` of the negatives are alarms."""
    allowed = int(len(negatives) * share)
    return float(np.nextafter(np.sort(negatives)[::-1][allowed], 1.0)) if len(negatives) else 0.0


def judge_alarms(
    detector: Detector,
    looked: Sequence[Looked],
    data: Path,
    size: Seen,
    *,
    nms_iou: float,
    thresholds: dict[str, float],
) -> tuple[list[HardFigures], list[FolderAlarms]]:
    """The figures of fire and smoke, and those of the folders one by one. Raises SourceMissing."""
    hard = {name: folder_scores(detector, data / at, size, nms_iou=nms_iou) for name, at in HARD.items()}
    burning = {name: folder_scores(detector, data / at, size, nms_iou=nms_iou) for name, at in BURNING.items()}
    figures = []
    for name in ALARMS:
        shown, clear = best_scores(looked, name)
        negatives = np.concatenate((clear, *(scores[name] for scores in hard.values())))
        threshold, shipped = threshold_for(negatives), thresholds[name]
        unseen = np.concatenate([scores[name] for scores in burning.values()])
        figures.append(
            HardFigures(
                name=name,
                negatives=len(negatives),
                threshold=threshold,
                recall=float((shown >= threshold).mean()),
                unseen_recall=float((unseen >= threshold).mean()) if name == "fire" else None,
                shipped_threshold=shipped,
                shipped_recall=float((shown >= shipped).mean()),
                shipped_false=float((negatives >= shipped).mean()),
            )
        )
    folders = [
        FolderAlarms(
            title, len(scores["fire"]), {name: int((scores[name] >= thresholds[name]).sum()) for name in ALARMS}
        )
        for title, scores in {**hard, **burning}.items()
    ]
    return figures, folders
