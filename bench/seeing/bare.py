"""The least that one can do: PyAV decodes and scales, ONNX Runtime answers, nobody looks at the answer.

No child process, no shared memory, no letterbox of its own, no suppression, and no picture kept for evidence: what
is decoded goes in the network's size straight from the decoder's scaler into the network.
"""

from __future__ import annotations

from collections.abc import Sequence

import av
import numpy as np
import onnxruntime
from av.video.reformatter import Interpolation

from contracts.frame import Frame
from inference.registry import Model


class BareLoop:
    """One decoder per picture, as the pictures of thousands of cameras want it, and one session."""

    def __init__(self, model: Model, *, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(model.weights, options, providers=["CPUExecutionProvider"])
        self._model = model

    def look(self, frame: Frame, rectangle: tuple[int, int]) -> None:
        """Decode, scale into the rectangle (width, height), and ask the network."""
        context = av.CodecContext.create(frame.header.codec.value, "r")
        assert isinstance(context, av.VideoCodecContext)
        context.thread_count = 1
        context.options = {"skip_loop_filter": "all"}
        (decoded,) = context.decode(av.Packet(frame.data)) or context.decode(None)
        width, height = rectangle
        scaled = decoded.reformat(width=width, height=height, format="bgr24", interpolation=Interpolation.BILINEAR)
        pixels = np.asarray(scaled.to_ndarray()).transpose(2, 0, 1)[None].astype(np.float32)
        self._session.run([self._model.toml.output_name], {self._model.toml.input_name: pixels})

    def run(self, frames: Sequence[Frame], rectangles: Sequence[tuple[int, int]]) -> None:
        """Each picture once."""
        for frame, rectangle in zip(frames, rectangles, strict=True):
            self.look(frame, rectangle)
