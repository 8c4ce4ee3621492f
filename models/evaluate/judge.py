"""Runs a detector over labelled pictures and judges every class where the picture's set labels it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from rich.progress import track

from models.evaluate.average_precision import Curve, Judged, curve, judge
from models.evaluate.detect import Detector, Found, Seen
from models.train.pictures import Picture
from models.train.sets import CLASS_INDEX, CLASSES

FLOOR = 0.01


@dataclass(frozen=True, slots=True)
class Looked:
    """One picture with what was found (pixels) and every class judged that its set labels."""

    picture: Picture
    found: Found
    judged: dict[str, Judged]


def look(
    detector: Detector, pictures: Sequence[Picture], size: Seen, *, nms_iou: float, title: str,
    classes: Sequence[str] = CLASSES,
) -> list[Looked]:  # fmt: skip
    """Detects and judges; `classes` limits the judging to what the detector knows."""
    looked = []
    for picture in track(pictures, description=title):
        pixels = picture.read()
        found = detector.detect(pixels, size, floor=FLOOR, nms_iou=nms_iou)
        looked.append(
            Looked(picture, found, judge_picture(picture, found, pixels.shape[1], pixels.shape[0], classes))
        )
    return looked


def judge_picture(
    picture: Picture, found: Found, width: int, height: int, classes: Sequence[str] = CLASSES
) -> dict[str, Judged]:
    """Judges each labelled class of one picture; the picture's own boxes are normalised, `found` is in pixels."""
    scale = np.array([width, height, width, height], dtype=np.float32)
    judged = {}
    for name in classes:
        if name in picture.spec.labelled:
            row = CLASS_INDEX[name]
            boxes = picture.boxes[picture.boxes[:, 0] == row][:, 1:] * scale
            judged[name] = judge(found[found[:, 0] == row][:, 1:], boxes, picture.ignored * scale)
    return judged


def class_curve(looked: Iterable[Looked], name: str) -> Curve:
    """The curve of one class over the pictures whose sets label it."""
    return curve(item.judged[name] for item in looked if name in item.judged)


def picture_rates(looked: Iterable[Looked], name: str, threshold: float) -> tuple[int, int, int, int]:
    """(pictures with the class, of those alarmed, pictures without, of those alarmed): any detection alarms."""
    shown = alarmed = clear = false = 0
    for item in looked:
        if name not in item.judged:
            continue
        alarm = bool(((item.found[:, 0] == CLASS_INDEX[name]) & (item.found[:, 1] >= threshold)).any())
        if item.judged[name].boxes:
            shown += 1
            alarmed += alarm
        else:
            clear += 1
            false += alarm
    return shown, alarmed, clear, false
