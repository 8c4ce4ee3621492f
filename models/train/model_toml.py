"""Writes model.toml, the file by which inference knows a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from models.train.sets import CLASSES

SIZE = (416, 256)
"""Width and height that the model sees: the rectangle of a 16:9 camera."""

_TOML = """\
schema = 1
name = "{name}"
version = "{version}"
family = "yolox"
weights = "weights.onnx"
sha256 = "{sha256}"
labels = "labels.txt"
input_name = "images"
input_width = {width}
input_height = {height}
channel_order = "bgr"
pixel_scale = 1.0
letterbox_value = 114
letterbox_anchor = "top-left"
output_name = "output"
strides = [8, 16, 32]
scores_are_probabilities = true
licence = "Apache-2.0"

[thresholds]
{thresholds}

[nms]
iou = {nms_iou:.2f}
"""


def write_toml(
    folder: Path, *, sha256: str, version: str, thresholds: Mapping[str, float], nms_iou: float
) -> None:
    """Writes model.toml alone, for new thresholds on the same weights."""
    lines = "\n".join(f"{name} = {thresholds[name]:.2f}" for name in CLASSES)
    text = _TOML.format(
        name=folder.name, version=version, sha256=sha256, width=SIZE[0], height=SIZE[1],
        thresholds=lines, nms_iou=nms_iou,
    )  # fmt: skip
    (folder / "model.toml").write_text(text, encoding="utf-8")
