"""Reads the labelled sets: one Picture per file, boxes in pixels, classes in our words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.errors import SourceMissing
from models.train.sets import CLASS_INDEX, DROP, IGNORE, RIDER, SETS, SetSpec

Boxes = NDArray[np.float32]
Bgr = NDArray[np.uint8]

_SPLIT_AND_HASH = re.compile(r"^(?:train|valid|test)_|-[0-9a-f]{3,6}$")


@dataclass(frozen=True, slots=True)
class Picture:
    """One labelled picture. `boxes` is n x 5 (class, x1, y1, x2, y2), `ignored` is m x 4; both normalised 0..1.

    `riders` is how many of `ignored` are a person on a vehicle.
    """

    spec: SetSpec
    path: Path
    boxes: Boxes
    ignored: Boxes
    riders: int = 0

    @property
    def key(self) -> str:
        """Name that is unique over all sets."""
        return f"{self.spec.name}/{self.path.name}"

    @property
    def bare_name(self) -> str:
        """The file name without the marks that the exporters of the sets added."""
        return _SPLIT_AND_HASH.sub("", self.path.stem)

    def read(self) -> Bgr:
        """The pixels, uint8 H x W x 3, BGR."""
        pixels = cv2.imread(str(self.path), cv2.IMREAD_COLOR)
        if pixels is None:
            raise SourceMissing(f"{self.path}: not a readable picture; restore the data folder")
        return np.asarray(pixels, dtype=np.uint8)


def read_sets(images: Path, specs: Iterable[SetSpec] = SETS) -> list[Picture]:
    """All pictures of the sets below `images` (DATA/images), in a fixed order.

    Raises SourceMissing where a set is absent, ValueError where a label line does not parse.
    """
    pictures = []
    for spec in specs:
        pictures.extend(read_set(images / spec.name, spec))
    return pictures


def read_set(folder: Path, spec: SetSpec) -> list[Picture]:
    """The pictures of one set: `images/*.jpg`, `labels/*.txt` (class cx cy w h, normalised), `classes.txt`."""
    names_file = folder / "classes.txt"
    if not names_file.is_file():
        raise SourceMissing(f"{names_file}: no such set; point --data at the folder that holds images/{spec.name}")
    names = [line.strip() for line in names_file.read_text(encoding="utf-8").splitlines() if line.strip()]
    pictures = []
    for path in sorted((folder / "images").iterdir()):
        label = folder / "labels" / f"{path.stem}.txt"
        lines = label.read_text(encoding="utf-8").splitlines() if label.is_file() else []
        meanings = [spec.meaning.get(name, DROP) for name in names]
        boxes, ignored = parse_labels(lines, meanings)
        riders = sum(meanings[int(line.split()[0])] == RIDER for line in lines if line.strip())
        pictures.append(Picture(spec, path, boxes, ignored, riders))
    return pictures


def parse_labels(lines: Iterable[str], meanings: list[str]) -> tuple[Boxes, Boxes]:
    """YOLO label lines as (boxes n x 5, ignored m x 4); boxes are clipped to the picture, empty ones dropped."""
    boxes: list[tuple[float, ...]] = []
    ignored: list[tuple[float, ...]] = []
    for line in lines:
        if not line.strip():
            continue
        fields = line.split()
        meaning = meanings[int(fields[0])]
        cx, cy, width, height = (float(value) for value in fields[1:5])
        corners = np.clip((cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2), 0.0, 1.0)
        x1, y1, x2, y2 = (float(value) for value in corners)
        if meaning == DROP or x2 <= x1 or y2 <= y1:
            continue
        if meaning in (IGNORE, RIDER):
            ignored.append((x1, y1, x2, y2))
        else:
            boxes.append((CLASS_INDEX[meaning], x1, y1, x2, y2))
    return _table(boxes, 5), _table(ignored, 4)


def _table(rows: list[tuple[float, ...]], columns: int) -> Boxes:
    table: NDArray[Any] = np.array(rows, dtype=np.float32)
    return table.reshape(-1, columns)
