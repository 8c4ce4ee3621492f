"""People counted per picture: a model's mean absolute error beside that of YOLOX-Nano on the same pictures.

Each model counts the persons above its own threshold, and both thresholds are chosen by one rule: the one with the
smallest mean absolute error on training pictures. The figures are from pictures that neither training nor this
choice has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from models.evaluate.detect import Detector, Seen
from models.evaluate.folder import read_folder
from models.train.pictures import Picture
from models.train.run import COCO_WEIGHTS, split_parts
from models.train.sets import CLASS_INDEX

PERSON = CLASS_INDEX["person"]
THRESHOLDS = np.arange(0.10, 0.76, 0.01)
BANDS = ((0, 5), (6, 20), (21, 50), (51, 10_000))


@dataclass(frozen=True, slots=True)
class CountError:
    """Counting figures of one model: threshold, pictures, mean absolute error (MAE) and mean error (bias), and by
    band of the true count pictures, MAE and bias."""

    model: str
    threshold: float
    pictures: int
    mean_absolute_error: float
    bias: float
    by_band: dict[str, tuple[int, float, float]]


def countable(pictures: Sequence[Picture]) -> list[Picture]:
    """Pictures whose sets label every person."""
    return [picture for picture in pictures if picture.spec.counts_people]


def true_count(picture: Picture) -> int:
    """People labelled in the picture, riders included."""
    return int((picture.boxes[:, 0] == PERSON).sum()) + picture.riders


def compare(
    model_dir: Path,
    data: Path,
    *,
    coco_size: Seen = (416, 416),
    model_size: Seen | None = None,
) -> tuple[CountError, CountError]:
    """(the model's error, YOLOX-Nano's error) on the countable validation pictures.

    `model_size` is the size at which the model sees the pictures; as inference shows them where None.
    """
    folder = read_folder(model_dir)
    parts = split_parts(data)
    training, validation = countable(parts.train), countable(parts.validation)
    coco = Detector(data / COCO_WEIGHTS, [0])
    own_size = model_size or folder.longer_side
    return (
        measure(folder.name, folder.detector(), own_size, folder.nms_iou, training, validation),
        measure("yolox_nano_416", coco, coco_size, 0.65, training, validation),
    )


def measure(
    name: str,
    detector: Detector,
    size: Seen,
    nms_iou: float,
    training: Sequence[Picture],
    validation: Sequence[Picture],
) -> CountError:
    """Chooses the threshold on `training`, measures on `validation`."""
    chosen = best_threshold(counts(detector, training, size, nms_iou), truth(training))
    column = int(np.argmin(np.abs(THRESHOLDS - chosen)))
    errors = counts(detector, validation, size, nms_iou)[:, column] - truth(validation)
    return summarise(name, chosen, errors, truth(validation))


def counts(detector: Detector, pictures: Sequence[Picture], size: Seen, nms_iou: float) -> NDArray[np.float64]:
    """People found in each picture at each of THRESHOLDS: pictures x thresholds."""
    table = np.zeros((len(pictures), len(THRESHOLDS)))
    for row, picture in enumerate(track(pictures, description="Counting people")):
        found = detector.detect(picture.read(), size, floor=float(THRESHOLDS[0]), nms_iou=nms_iou)
        scores = found[found[:, 0] == PERSON][:, 1]
        table[row] = (scores[:, None] >= THRESHOLDS[None]).sum(axis=0)
    return table


def truth(pictures: Sequence[Picture]) -> NDArray[np.float64]:
    """The true counts of the pictures."""
    return np.array([true_count(picture) for picture in pictures], dtype=np.float64)


def best_threshold(table: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    """The threshold with the smallest mean absolute error; the highest of several."""
    errors = np.abs(table - true[:, None]).mean(axis=0)
    return float(THRESHOLDS[np.flatnonzero(errors == errors.min())[-1]])


def summarise(name: str, threshold: float, errors: NDArray[np.float64], true: NDArray[np.float64]) -> CountError:
    """Mean absolute error and bias over all pictures, and the error by band of the true count."""
    bands: dict[str, tuple[int, float, float]] = {}
    for low, high in BANDS:
        inside = (true >= low) & (true <= high)
        if inside.any():
            bands[f"{low}-{high}" if high < BANDS[-1][1] else f"{low}+"] = (
                int(inside.sum()), float(np.abs(errors[inside]).mean()), float(errors[inside].mean()),
            )  # fmt: skip
    return CountError(
        name, round(threshold, 2), len(errors), float(np.abs(errors).mean()), float(errors.mean()), bands
    )
