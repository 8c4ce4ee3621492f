"""Session: a checked model in ONNX Runtime, its inputs and outputs proved by running it once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from contracts.errors import ModelRefused
from inference.postprocess import FAMILIES
from inference.registry import Model, load_model

F32 = npt.NDArray[np.float32]
_ORT_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    ort_errors.EPFail,
)


class Session:
    """One ONNX Runtime session on the CPU whose input and output were tried once."""

    def __init__(self, model: Model, *, threads: int = 1) -> None:
        """Raises ModelRefused with reason `model_onnx`, `model_family` or `model_shape`."""
        self._toml = model.toml
        try:
            self._ort = onnxruntime.InferenceSession(
                model.weights, sess_options=_options(threads), providers=["CPUExecutionProvider"]
            )
            self._check_names(model)
            self._check_shapes(model)
        except _ORT_ERRORS as error:
            raise ModelRefused(
                f"模型 {model.tag} 无法在 ONNX Runtime 中打开 (does not run): {str(error)[:300]}",
                reason="model_onnx",
            ) from None

    def run(self, batch: F32) -> F32:
        """float32 (n, 3, height, width) -> float32 (n, anchors, values)."""
        (answer,) = self._ort.run([self._toml.output_name], {self._toml.input_name: batch})
        return np.asarray(answer, np.float32)

    def _check_names(self, model: Model) -> None:
        toml = self._toml
        inputs, outputs = self._ort.get_inputs(), self._ort.get_outputs()
        if [node.name for node in inputs] != [toml.input_name] or toml.output_name not in [
            n.name for n in outputs
        ]:
            raise ModelRefused(
                f"模型 {model.tag} 的输入输出是 {[n.name for n in inputs]} -> {[n.name for n in outputs]}, "
                f"model.toml 写的是 {toml.input_name} -> {toml.output_name} (names differ); correct model.toml",
                reason="model_shape",
            )
        wanted = (None, 3, toml.input_height, toml.input_width)
        shape = inputs[0].shape
        fits = len(shape) == 4 and all(
            not isinstance(have, int) or want is None or have == want
            for have, want in zip(shape, wanted, strict=True)
        )
        if not fits or inputs[0].type != "tensor(float)":
            raise ModelRefused(
                f"模型 {model.tag} 的输入是 {inputs[0].type} {shape}, 应为 float (n, 3, {toml.input_height}, "
                f"{toml.input_width}) (input shape differs); correct model.toml or export the model again",
                reason="model_shape",
            )
        self.batches: bool = not isinstance(shape[0], int)
        """True when several pictures go through at once; else one by one."""
        self.any_size: bool = not isinstance(shape[2], int) and not isinstance(shape[3], int)
        """True when the network takes rectangles of any size, not only that of model.toml."""

    def _check_shapes(self, model: Model) -> None:
        """One run over a grey picture proves the output; it also warms the session up."""
        family = FAMILIES.get(self._toml.family)
        if family is None:
            raise ModelRefused(
                f"模型 {model.tag} 的输出族 {self._toml.family!r} 不受支持 (unknown family); "
                f"this release reads: {', '.join(FAMILIES)}",
                reason="model_family",
            )
        grey = np.full((1, 3, self._toml.input_height, self._toml.input_width), 114, np.float32)
        shape = self.run(grey).shape
        wanted = (
            1,
            *family.output_shape(
                self._toml.strides, (self._toml.input_width, self._toml.input_height), len(model.labels)
            ),
        )
        if shape != wanted:
            raise ModelRefused(
                f"模型 {model.tag} 的输出是 {shape}, 按标签和步长应为 {wanted} (output shape differs); "
                "labels.txt, strides and input size belong together",
                reason="model_shape",
            )


def check_model(folder: Path) -> Model:
    """Load a model and open it once: hash, labels, names and shapes are proved. Raises ModelRefused."""
    model = load_model(folder)
    Session(model)
    return model


def _options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin between pictures would take the cores of ingest and decoding.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options
