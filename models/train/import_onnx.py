"""Loads the weights of a published YOLOX-Nano (ONNX) into our module, and proves that both answer the same.

The convolutions of such a file carry no usable names, so they are matched by order of execution: the file's nodes
are in topological order, ours are recorded by a trial run. Every shape is checked, and `parity` is the proof.
"""

# mypy: disable-error-code="misc, untyped-decorator, no-any-return"
# (PyTorch is not installed where the types are checked, so its classes are Any.)

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from contracts.errors import ModelRefused
from models.train.yolox import Deployed, YoloxNano

PARITY_LIMIT = 1e-3
COCO_CLASSES = 80
# Row of the COCO head that starts each of our classes; None starts fresh.
COCO_ROWS: tuple[int | None, ...] = (0, 1, 3, 2, 5, 7, None, None)
FRESH_BIAS = -4.6  # a probability of 0.01, the usual prior for a class not yet learnt


def load_coco(path: Path) -> YoloxNano:
    """Our module with the 80-class weights of the file. Raises ModelRefused where the file is another network."""
    return _load(path, COCO_CLASSES)


def load_county(path: Path) -> YoloxNano:
    """Our module with the weights of a county-nano that was exported before, to be trained further.

    Raises ModelRefused where the file is another network.
    """
    return _load(path, len(COCO_ROWS))


def _load(path: Path, classes: int) -> YoloxNano:
    network = YoloxNano(classes)
    weights = _convolutions(path)
    ours = _execution_order(network)
    if len(weights) != len(ours):
        raise ModelRefused(
            f"{path}: {len(weights)} convolutions, YOLOX-Nano has {len(ours)}; give a YOLOX-Nano file"
        )
    with torch.no_grad():
        for position, (conv, (weight, bias)) in enumerate(zip(ours, weights, strict=True)):
            if tuple(conv.weight.shape) != weight.shape or conv.bias is None:
                raise ModelRefused(
                    f"{path}: convolution {position} is {weight.shape}, expected {tuple(conv.weight.shape)}; "
                    "give a YOLOX-Nano file with folded normalisation"
                )
            conv.weight.copy_(torch.from_numpy(weight))
            conv.bias.copy_(torch.from_numpy(bias))
    return network.eval()


def start_county(path: Path, *, fresh_bias: float = FRESH_BIAS) -> YoloxNano:
    """The eight-class network: everything from the file, class rows by COCO_ROWS, fire and smoke fresh."""
    coco = load_coco(path)
    network = YoloxNano(len(COCO_ROWS))
    source = coco.state_dict()
    target = network.state_dict()
    for name, tensor in source.items():
        target[name] = _county_rows(tensor, fresh_bias) if ".class_out." in name else tensor.clone()
    network.load_state_dict(target)
    return network.eval()


def parity(network: YoloxNano, path: Path, picture_bgr: np.ndarray[Any, np.dtype[np.uint8]]) -> float:
    """Largest absolute difference between module and file on one picture (uint8 H x W x 3), all outputs."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    batch = cv2.resize(picture_bgr, (416, 416)).transpose(2, 0, 1)[None].astype(np.float32)
    (theirs,) = session.run(None, {session.get_inputs()[0].name: batch})
    with torch.no_grad():
        ours = Deployed(network.eval())(torch.from_numpy(batch)).numpy()
    return float(np.abs(ours - theirs).max())


def _county_rows(tensor: Tensor, fresh_bias: float) -> Tensor:
    rows = []
    for row in COCO_ROWS:
        if row is not None:
            rows.append(tensor[row])
        elif tensor.ndim == 1:
            rows.append(torch.tensor(fresh_bias))
        else:
            rows.append(torch.zeros_like(tensor[0]))
    return torch.stack(rows)


def _convolutions(path: Path) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    graph = onnx.load(str(path)).graph
    values = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    found = []
    for node in graph.node:
        if node.op_type == "Conv":
            if len(node.input) != 3:
                raise ModelRefused(f"{path}: a convolution without bias; give a file with folded normalisation")
            found.append((np.array(values[node.input[1]]), np.array(values[node.input[2]])))
    return found


def _execution_order(network: YoloxNano) -> list[nn.Conv2d]:
    order: list[nn.Conv2d] = []
    hooks = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            hook = module.register_forward_pre_hook(lambda conv, _inputs: order.append(conv))
            hooks.append(hook)
    with torch.no_grad():
        network(torch.zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    return order
