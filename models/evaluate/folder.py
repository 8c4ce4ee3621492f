"""A model folder as the judge sees it: model.toml read, hash checked, a Detector with our classes in our order."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import ModelRefused
from models.evaluate.detect import Detector
from models.train.sets import CLASSES


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """Name, version, longer side of the input, thresholds per class and NMS overlap of a `yolox` model."""

    path: Path
    name: str
    version: str
    sha256: str
    longer_side: int
    thresholds: Mapping[str, float]
    nms_iou: float

    def detector(self, *, threads: int = 1) -> Detector:
        """The weights, answering CLASSES by position."""
        labels = (self.path / "labels.txt").read_text(encoding="utf-8").split("\n")
        return Detector(self.path / "weights.onnx", [labels.index(name) for name in CLASSES], threads=threads)


def read_folder(path: Path) -> ModelFolder:
    """Reads the folder. Raises ModelRefused: a file is missing, the hash differs, or a class of ours is absent."""
    try:
        document = tomllib.loads((path / "model.toml").read_text(encoding="utf-8"))
        weights = (path / document["weights"]).read_bytes()
        labels = (path / document["labels"]).read_text(encoding="utf-8").split()
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        raise ModelRefused(
            f"{path}: not a model folder ({error}); it needs model.toml, weights and labels"
        ) from error
    if document["family"] != "yolox":
        raise ModelRefused(f"{path}: family {document['family']!r}; only the yolox family can be judged here")
    digest = hashlib.sha256(weights).hexdigest()
    if digest != document["sha256"]:
        raise ModelRefused(
            f"{path}: the weights have sha256 {digest[:12]}, model.toml says "
            f"{document['sha256'][:12]}; fetch them again"
        )
    missing = [name for name in CLASSES if name not in labels]
    if missing:
        raise ModelRefused(f"{path}: labels.txt lacks {', '.join(missing)}; the judge needs all eight classes")
    return ModelFolder(
        path=path,
        name=document["name"],
        version=document["version"],
        sha256=digest,
        longer_side=max(int(document["input_width"]), int(document["input_height"])),
        thresholds={name: float(value) for name, value in document["thresholds"].items()},
        nms_iou=float(document["nms"]["iou"]),
    )
