"""Labels for what a set is silent about, from the COCO weights that we start from (Apache-2.0), cached on disk.

Most sets label fire alone or vehicles alone. Without help the network would learn that the people in them are
background, so a confident detection of a class that the set does not label is taken as a label, and a doubtful one
as a region that teaches nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from models.evaluate.detect import Detector, Found, iou
from models.train.pictures import Boxes, Picture
from models.train.sets import CLASS_INDEX

COCO_ROWS = (0, 1, 3, 2, 5, 7)
"""Columns of the COCO head for TEACHER_CLASSES."""
SIZE = (416, 416)
CERTAIN = 0.40
DOUBTFUL = 0.10
UNMATCHED = 0.35
_SAME = 0.45
_GROUP_HEADS = 3


def teach(weights: Path, pictures: Sequence[Picture], cache: Path) -> dict[str, Found]:
    """Detections of the COCO weights for every picture (pixels divided by the size: 0..1), by `Picture.key`.

    What `cache` (one .npz) already holds is not computed again.
    """
    known: dict[str, Found] = {}
    if cache.is_file():
        with np.load(cache) as stored:
            known = {key: stored[key] for key in stored.files}
    missing = [picture for picture in pictures if picture.key not in known]
    if missing:
        detector = Detector(weights, COCO_ROWS)
        for picture in track(missing, description="Labelling with the COCO weights"):
            pixels = picture.read()
            found = detector.detect(pixels, SIZE, floor=DOUBTFUL)
            height, width = pixels.shape[:2]
            found[:, 2:] /= np.array([width, height, width, height], dtype=np.float32)
            known[picture.key] = found
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(cache, **known)  # type: ignore[arg-type]
    return {picture.key: known[picture.key] for picture in pictures}


def complete(picture: Picture, found: Found) -> tuple[Boxes, Boxes]:
    """The picture's own labels joined with the teacher's: (boxes n x 5, ignored m x 4), normalised."""
    own, ignored = picture.boxes, [picture.ignored]
    labelled = {CLASS_INDEX[name] for name in picture.spec.labelled}
    silent = np.array([int(row[0]) not in labelled for row in found], dtype=np.bool_)
    if picture.spec.group_boxes:
        own, groups = _without_groups(own, found)
        ignored.append(groups)
    certain = silent & (found[:, 1] >= CERTAIN)
    doubtful = silent & ~certain
    # A rider or a van that a set labels differently must not become two objects.
    clear = _best_overlap(found[:, 2:], own[:, 1:]) < _SAME
    taught = np.concatenate((found[certain & clear][:, :1], found[certain & clear][:, 2:]), axis=1)
    ignored.append(found[doubtful][:, 2:])
    if not picture.spec.exact:
        ignored.append(found[~silent & clear & (found[:, 1] >= UNMATCHED)][:, 2:])
    boxes = np.concatenate((own, taught)).astype(np.float32)
    return boxes, np.concatenate(ignored).astype(np.float32)


def _best_overlap(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    if not len(others):
        return np.zeros(len(boxes), dtype=np.float32)
    return np.asarray(iou(boxes, others).max(axis=1), dtype=np.float32)


def _without_groups(own: Boxes, found: Found) -> tuple[Boxes, Boxes]:
    """Splits off boxes that hold three or more detected people: a crowd drawn as one box."""
    people = found[found[:, 0] == CLASS_INDEX["person"]]
    centres = (people[:, 2:4] + people[:, 4:6]) / 2
    inside = (
        (centres[None, :, 0] > own[:, 1:2])
        & (centres[None, :, 0] < own[:, 3:4])
        & (centres[None, :, 1] > own[:, 2:3])
        & (centres[None, :, 1] < own[:, 4:5])
    )
    group = inside.sum(axis=1) >= _GROUP_HEADS
    return own[~group], own[group][:, 1:]
