"""Session: a checked model in ONNX Runtime, its inputs and outputs proved by running it once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from contracts.errors import ModelRefused
from inference.families import FAMILIES, Answer, Head
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
        self._family = _family(model)
        self._outputs = list(self._family.outputs(model.toml))
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

    def run(self, batch: F32) -> list[Answer]:
        """float32 (n, 3, height, width) -> for each of the n pictures what `Head.outputs` names, float32."""
        feed: dict[str, Any] = {self._toml.input_name: batch}
        if self._toml.sizes_input:
            feed[self._toml.sizes_input] = np.tile(np.array(batch.shape[:1:-1], np.int64), (len(batch), 1))
        try:
            answers = [np.asarray(answer, np.float32) for answer in self._ort.run(self._outputs, feed)]
        except _ORT_ERRORS as error:
            raise ModelRefused(
                f"模型 {self._toml.name} 运行失败 (the model failed): {str(error)[:300]}", reason="model_run"
            ) from None
        return list(zip(*answers, strict=True))

    def _check_names(self, model: Model) -> None:
        toml = self._toml
        inputs, outputs = self._ort.get_inputs(), [node.name for node in self._ort.get_outputs()]
        wanted_inputs = [toml.input_name, *filter(None, [toml.sizes_input])]
        if [node.name for node in inputs] != wanted_inputs or not set(self._outputs) <= set(outputs):
            raise ModelRefused(
                f"模型 {model.tag} 的输入输出是 {[n.name for n in inputs]} -> {outputs}, "
                f"model.toml 写的是 {wanted_inputs} -> {self._outputs} (names differ); correct model.toml",
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
        grey = np.full((1, 3, self._toml.input_height, self._toml.input_width), 114, np.float32)
        shapes = [(1, *part.shape) for part in self.run(grey)[0]]
        wanted = self._family.shapes(self._toml, len(model.class_ids))
        if not all(_fits(have, want) for have, want in zip(shapes, wanted, strict=True)):
            raise ModelRefused(
                f"模型 {model.tag} 的输出是 {shapes}, 按标签和步长应为 {list(wanted)} (output shape differs); "
                "labels.txt, strides and input size belong together",
                reason="model_shape",
            )


def _family(model: Model) -> type[Head]:
    family = FAMILIES.get(model.toml.family)
    if family is None:
        raise ModelRefused(
            f"模型 {model.tag} 的输出族 {model.toml.family!r} 不受支持 (unknown family); "
            f"this release reads: {', '.join(FAMILIES)}",
            reason="model_family",
        )
    return family


def _fits(have: tuple[int, ...], want: tuple[int | None, ...]) -> bool:
    return len(have) == len(want) and all(w in (None, h) for h, w in zip(have, want, strict=True))


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
