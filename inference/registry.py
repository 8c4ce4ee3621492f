"""Registry: which models there are, and whether a folder holds what its model.toml promises.

A folder `<name>/` holds `model.toml`, the weights and the labels. A model is refused in words when its hash,
its inputs and outputs, its labels or its thresholds differ from what is written; it is never half loaded.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from contracts.class_names import CLASS_NAMES
from contracts.errors import ModelRefused

UNNAMED: Final = "-"
"""Stands in labels.txt for a class of the network that none of our words names."""
WEIGHTS_MAX_BYTES: Final = 1 << 30
"""Larger files are not read: no model of an edge box is that large."""


class Nms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[nms]`: intersection over union above which the weaker of two boxes of a class goes."""

    iou: float = 0.65


class ModelToml(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file model.toml, field by field."""

    schema: int
    """1."""
    name: str
    """Stands with version and hash on every observation."""
    version: str
    family: str
    """How its answer is read: `yolox`, `yolov8` or `detr` (inference/families)."""
    weights: str
    """The ONNX file, in the same folder."""
    sha256: str
    """Of that file; another one is refused."""
    labels: str
    """A file in the same folder: one word a line for each class of the network, of person, bicycle, motorcycle,
    car, bus, truck, fire, smoke; `-` for a class that none of these names."""
    input_name: str
    input_width: int
    """Pixels. A network that takes any size sees each picture with its longer side at the longer of the two."""
    input_height: int
    output_name: str
    """The output that is read; of family detr the one with the scores."""
    licence: str
    thresholds: dict[str, float]
    """Confidence from which a finding counts, 0..1, for every named class."""
    boxes_output: str = ""
    """Family detr: the output that holds the boxes, where it is one of its own."""
    labels_output: str = ""
    """Family detr: the output that names each query's label, where there is one."""
    sizes_input: str = ""
    """A second input that takes the size to which the boxes are scaled."""
    channel_order: Literal["bgr", "rgb"] = "bgr"
    pixel_scale: float = 1.0
    """Pixels 0..255 are multiplied by it..."""
    pixel_mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """...then this is taken off, channel by channel in their order..."""
    pixel_std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """...and they are divided by this."""
    resize: Literal["letterbox", "stretch"] = "letterbox"
    """`stretch`: its aspect is given up."""
    letterbox_value: int = 114
    """Grey, 0..255, of what the picture leaves free."""
    letterbox_anchor: Literal["top-left", "centre"] = "top-left"
    strides: tuple[int, ...] = (8, 16, 32)
    """Of the families with anchors; the input's sides are multiples of all."""
    scores_are_probabilities: bool = True
    """False: they still need the sigmoid."""
    nms: Nms = Nms()


@dataclass(frozen=True)
class Model:
    """A model whose files were checked against model.toml; the shapes are checked when a session opens it.

    `labels`: those that we have a word for. `class_ids`: int16 (columns,), index into CLASS_NAMES per class of the
    network, -1 for those that we have no word for.
    `thresholds`: float32 (len(CLASS_NAMES),), 2.0 (never reached) for classes that the model does not know.
    """

    toml: ModelToml
    folder: Path
    weights: bytes
    labels: tuple[str, ...]
    class_ids: npt.NDArray[np.int16]
    thresholds: npt.NDArray[np.float32]

    @property
    def tag(self) -> str:
        """`name@version#hash`: what stands on every observation."""
        return f"{self.toml.name}@{self.toml.version}#{self.toml.sha256[:8]}"

    def describe(self) -> str:
        """Name, version, input, licence and thresholds in one line."""
        toml = self.toml
        thresholds = ", ".join(f"{label} {self.threshold(label):.2f}" for label in self.labels)
        size = f"{toml.input_width}x{toml.input_height}"
        return (
            f"{self.tag}  {toml.family} {size}  {toml.licence}  {len(self.weights) / 1e6:.1f} MB  [{thresholds}]"
        )

    def threshold(self, name: str) -> float:
        """The confidence from which a finding of this class counts."""
        return float(self.thresholds[CLASS_NAMES.index(name)])


def list_models(models_dir: Path) -> list[str]:
    """Names of the folders that hold a model.toml, sorted."""
    return sorted(path.parent.name for path in models_dir.glob("*/model.toml"))


def load_model(folder: Path, thresholds: Mapping[str, float] | None = None) -> Model:
    """The model of a folder, its files checked; `thresholds` replaces those of model.toml class by class.

    Its shapes are checked when a session opens it (inference.session.check_model).

    Raises ModelRefused with reason `model_missing`, `model_toml`, `model_hash`, `model_labels` or
    `model_thresholds`.
    """
    toml = _read_toml(folder)
    weights = _read_weights(folder / toml.weights, toml)
    lines = _read_labels(folder / toml.labels)
    labels = tuple(line for line in lines if line != UNNAMED)
    values = dict(toml.thresholds) | dict(thresholds or {})
    columns = np.full(len(CLASS_NAMES), 2.0, np.float32)
    for label in labels:
        if label not in values or not 0 < values[label] < 1:
            raise ModelRefused(
                f"模型 {toml.name} 的 {label} 没有有效阈值 (no threshold between 0 and 1 for {label}); "
                f"add it to [thresholds] of {folder / 'model.toml'}",
                reason="model_thresholds",
            )
        columns[CLASS_NAMES.index(label)] = values[label]
    ids = np.array([CLASS_NAMES.index(line) if line != UNNAMED else -1 for line in lines], np.int16)
    return Model(toml, folder, weights, labels, ids, columns)


def _read_toml(folder: Path) -> ModelToml:
    path = folder / "model.toml"
    try:
        text = path.read_bytes()
    except OSError as error:
        known = ", ".join(list_models(folder.parent)) or "none"
        raise ModelRefused(
            f"模型目录 {folder} 无法读取 (cannot read {path}: {error.strerror}); models there: {known}",
            reason="model_missing",
        ) from None
    try:
        toml = msgspec.toml.decode(text, type=ModelToml)
    except msgspec.MsgspecError as error:
        raise ModelRefused(f"{path} 有误 (is wrong): {error}", reason="model_toml") from None
    if toml.schema != 1:
        raise ModelRefused(f"{path}: schema {toml.schema} 不受支持 (this release reads 1)", reason="model_toml")
    for field in (toml.weights, toml.labels):
        if Path(field).name != field:
            raise ModelRefused(
                f"{path}: {field!r} 应为同目录文件名 (a file name without folders)", reason="model_toml"
            )
    sizes_wrong = (
        toml.input_width < 32 or toml.input_height < 32 or max(toml.input_width, toml.input_height) > 4096
    )
    strides_wrong = any(s < 1 or toml.input_width % s or toml.input_height % s for s in toml.strides)
    if 0.0 in toml.pixel_std:
        raise ModelRefused(f"{path}: pixel_std 不能为 0 (must not be 0)", reason="model_toml")
    if toml.labels_output and not (toml.boxes_output and toml.sizes_input):
        raise ModelRefused(
            f"{path}: labels_output 需要 boxes_output 与 sizes_input (it needs both: boxes are scaled to that)",
            reason="model_toml",
        )
    if sizes_wrong or not toml.strides or strides_wrong:
        raise ModelRefused(
            f"{path}: 输入 {toml.input_width}x{toml.input_height} 与步长 {toml.strides} 不符 "
            "(input sides lie in 32..4096 and are multiples of every stride)",
            reason="model_toml",
        )
    return toml


def _read_weights(path: Path, toml: ModelToml) -> bytes:
    try:
        if path.stat().st_size > WEIGHTS_MAX_BYTES:
            raise ModelRefused(f"权重文件 {path} 超过 1 GiB (too large)", reason="model_hash")
        weights = path.read_bytes()
    except OSError as error:
        raise ModelRefused(
            f"权重文件 {path} 无法读取 (cannot read the weights: {error.strerror}); fetch the model again",
            reason="model_missing",
        ) from None
    digest = hashlib.sha256(weights).hexdigest()
    if not hmac.compare_digest(digest, toml.sha256.lower()):
        raise ModelRefused(
            f"权重文件 {path} 的 SHA-256 是 {digest[:12]}…, model.toml 写的是 {toml.sha256[:12]}… "
            "(the weights are not those of model.toml); fetch the model again, or write the new hash if you "
            "replaced the weights on purpose",
            reason="model_hash",
        )
    return weights


def _read_labels(path: Path) -> tuple[str, ...]:
    """One word for each class of the network, in its order."""
    try:
        lines = tuple(path.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise ModelRefused(
            f"标签文件 {path} 无法读取 (cannot read the labels: {error})", reason="model_labels"
        ) from None
    labels = [line for line in lines if line != UNNAMED]
    unknown = [label for label in labels if label not in CLASS_NAMES]
    if unknown or not labels or len(set(labels)) != len(labels):
        raise ModelRefused(
            f"标签文件 {path} 有误: {', '.join(unknown) or '空或重复'} (labels are one word a line, each once, "
            f"of: {', '.join(CLASS_NAMES)}; {UNNAMED} for a class of the network that we have no word for)",
            reason="model_labels",
        )
    return lines
