"""Writes a model folder that inference can load: weights.onnx, labels.txt, model.toml with hash and thresholds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from contracts.errors import ModelRefused
from models.train.model_toml import SIZE, write_toml
from models.train.sets import CLASSES
from models.train.yolox import Deployed, YoloxNano

EXPORT_LIMIT = 1e-3
OPSET = 17
_CHECKED_SHAPES = ((1, 256, 416), (3, 256, 416), (2, 320, 320))


def export(
    network: YoloxNano, folder: Path, *, version: str, thresholds: Mapping[str, float], nms_iou: float
) -> str:
    """Writes the folder and returns the sha256 of the weights.

    Raises ModelRefused where ONNX Runtime and PyTorch disagree on any of the checked batch sizes and rectangles.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "weights.onnx"
    write_onnx(network, weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
    write_toml(folder, sha256=digest, version=version, thresholds=thresholds, nms_iou=nms_iou)
    return digest


def write_onnx(network: YoloxNano, path: Path) -> None:
    """Exports with free batch, height and width, then runs both on the checked shapes."""
    deployed = Deployed(network).eval()
    width, height = SIZE
    torch.onnx.export(
        deployed,
        (torch.zeros(1, 3, height, width),),
        str(path),
        dynamo=False,
        opset_version=OPSET,
        input_names=["images"],
        output_names=["output"],
        dynamic_axes={"images": {0: "batch", 2: "height", 3: "width"}, "output": {0: "batch", 1: "anchors"}},
    )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch, rows, columns in _CHECKED_SHAPES:
        pictures = np.random.default_rng(rows).uniform(0, 255, (batch, 3, rows, columns)).astype(np.float32)
        (exported,) = session.run(None, {"images": pictures})
        with torch.no_grad():
            expected = deployed(torch.from_numpy(pictures)).numpy()
        difference = float(np.abs(np.asarray(exported) - expected).max())
        if difference > EXPORT_LIMIT:
            raise ModelRefused(f"{path}: the export differs by {difference:.2g} from PyTorch; do not ship it")
