"""ChainDecode: one promoted camera's pictures in decoding order through one decoder; runs in the child.

Low delay by its settings: one thread, no frame threading, and a picture is told as soon as the decoder gives it. A
stream with B-pictures gives each picture some access units later (its reorder depth, 16 at most), so every answer
names the access unit that its picture belongs to. What a decoder still holds when its chain ends is thrown away.
"""

from __future__ import annotations

from typing import Final

import av
import numpy as np
import numpy.typing as npt
from av.codec.context import CodecContext, Flags
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from contracts.frame import Codec
from inference.access_unit import SOURCE_PIXELS_MAX, Status, to_bgr

HELD_MAX: Final = 16
"""Pictures that a decoder may keep back to put them in order (H.264 and H.265, max_dec_frame_buffering)."""


class ChainDecode:
    """One decoder that remembers its reference pictures."""

    def __init__(self, codec: Codec, pixels_max: int) -> None:
        """The loop filter stays on: its errors would add up from picture to picture."""
        context = CodecContext.create(codec.value, "r")
        assert isinstance(context, VideoCodecContext)
        context.thread_count = 1
        context.flags |= Flags.low_delay
        context.options = {"max_pixels": str(SOURCE_PIXELS_MAX)}
        self._context = context
        self._pixels_max = pixels_max
        self._wanted: set[int] = set()
        self._held = 0

    def feed(self, number: int, data: bytes, look: bool) -> tuple[Status, npt.NDArray[np.uint8] | None, int]:
        """Decode access unit `number`; `look`: its picture is wanted.

        What came of it, a wanted picture as BGR if one came out now, and the number it belongs to. Of several
        that come out at once the newest wanted one is told. Any Status but OK and FOLLOWED ends the chain.
        """
        if look:
            self._wanted.add(number)
        packet = av.Packet(data)
        packet.pts = number
        try:
            frames = self._context.decode(packet)
        except MemoryError:
            return Status.TOO_LARGE, None, number
        except av.error.FFmpegError:
            return Status.UNDECODABLE, None, number
        self._held = max(0, self._held + 1 - len(frames))
        if self._held > (HELD_MAX if self._context.has_b_frames else 0):
            # The decoder swallowed a damaged picture without a word; the next ones would be drawn upon its lack.
            return Status.NO_PICTURE, None, number
        if any(frame.is_corrupt for frame in frames):
            return Status.CORRUPT, None, number
        return self._newest_wanted(frames, number)

    def _newest_wanted(
        self, frames: list[VideoFrame], number: int
    ) -> tuple[Status, npt.NDArray[np.uint8] | None, int]:
        chosen: VideoFrame | None = None
        for frame in frames:
            if frame.pts in self._wanted:
                self._wanted.discard(frame.pts)
                chosen = frame
        if chosen is None or chosen.pts is None:
            return Status.FOLLOWED, None, number
        return Status.OK, to_bgr(chosen, self._pixels_max), chosen.pts
