"""Pictures to H.264 as a camera's chip does it: no B pictures, no delay, key pictures on time, one thread."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import PictureType

from contracts.errors import ConfigError

ENCODERS: dict[str, dict[str, str]] = {
    "libx264": {"preset": "ultrafast", "tune": "zerolatency", "crf": "27", "forced-idr": "1"},
    "libopenh264": {"allow_skip_frames": "0"},
}
"""Encoders by preference, with their options."""
BIT_RATE = 768_000
"""For encoders without a quality setting."""


class Encoder:
    """Encodes BGR pictures of one size to Annex B access units; parameter sets stand before each key picture.

    `pictures_per_s` guides rate control only. Raises ConfigError when FFmpeg has no H.264 encoder.
    """

    def __init__(self, width: int, height: int, pictures_per_s: float, key_interval_s: float) -> None:
        name = next((n for n in ENCODERS if n in av.codecs_available), None)
        if name is None:
            raise ConfigError(
                "没有可用的 H.264 编码器 (FFmpeg of PyAV has no H.264 encoder: libx264, libopenh264); "
                "install PyAV from its wheels, or set sim.live_cameras = 0"
            )
        context = av.CodecContext.create(name, "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base = Fraction(1, 90_000)
        context.framerate = Fraction(pictures_per_s).limit_denominator(1000)
        context.gop_size = 10_000
        context.max_b_frames = 0
        context.thread_count = 1
        if name != "libx264":
            context.bit_rate = BIT_RATE
        context.options = dict(ENCODERS[name])
        self._context = context
        self._key_interval_s = key_interval_s
        self._next_key_s = float("-inf")

    def encode(self, picture: npt.NDArray[np.uint8], at_s: float) -> tuple[bytes, bool] | None:
        """The access unit of a picture taken at `at_s` and whether it is key; None if the encoder kept it.

        `picture`: height x width x 3, BGR. `at_s` must grow.
        """
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
        frame.pts = round(at_s * 90_000)
        frame.time_base = Fraction(1, 90_000)
        if at_s >= self._next_key_s:
            frame.pict_type = PictureType.I
            self._next_key_s = at_s + self._key_interval_s - 1e-3
        packets = self._context.encode(frame)
        if not packets:
            return None
        return b"".join(bytes(p) for p in packets), any(p.is_keyframe for p in packets)
