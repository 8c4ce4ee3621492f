"""From a checkpoint to a model folder that may be committed: export, thresholds by their rules, model.toml."""

from __future__ import annotations

from pathlib import Path

from models.evaluate.counting import best_threshold, countable, counts, truth
from models.evaluate.folder import read_folder
from models.evaluate.judge import look
from models.evaluate.thresholds import choose
from models.train.model_toml import write_toml
from models.train.run import export, split_parts
from models.train.sets import CLASSES

NMS_IOU = 0.50
"""People stand close. Rendered pictures of 50 to 60 people were counted 23 too high with 0.65, one with 0.45;
inside the zones of two full squares (52 and 58 people) 0.45 found 45.5 and 51.2, 0.50 49.5 and 55.5, 0.55 52.7
and 58.7."""


def ship(checkpoint: Path, folder: Path, data: Path, *, version: str) -> dict[str, float]:
    """Writes `folder` and returns its thresholds.

    They are chosen on the validation pictures; that of person on training pictures, by the counting rule.
    """
    export(checkpoint, folder, version=version, thresholds=dict.fromkeys(CLASSES, 0.3), nms_iou=NMS_IOU)
    return set_thresholds(folder, data)


def set_thresholds(folder: Path, data: Path) -> dict[str, float]:
    """Chooses the thresholds of a model folder anew and rewrites its model.toml."""
    model = read_folder(folder)
    detector = model.detector()
    parts = split_parts(data)
    people = countable(parts.train)
    person = best_threshold(counts(detector, people, model.longer_side, model.nms_iou), truth(people))
    looked = look(detector, parts.validation, model.longer_side, nms_iou=model.nms_iou, title="Thresholds")
    thresholds = choose(looked, person=person)
    write_toml(folder, sha256=model.sha256, version=model.version, thresholds=thresholds, nms_iou=model.nms_iou)
    return thresholds
