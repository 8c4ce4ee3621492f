"""AccessUnit: one encoded picture to pixels, and what may become of it. Runs in the decoding child.

Native decoders crash on foreign bytes: nothing but the child, and re-analysis of files, calls this.
"""

from __future__ import annotations

import enum
from typing import Final

import av
import numpy as np
import numpy.typing as npt
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

from contracts.frame import Codec
from inference.picture import kept_size

SOURCE_PIXELS_MAX: Final = 40_000_000
"""Pictures that claim more pixels (8K has 33 million) are not decoded."""


class Status(enum.IntEnum):
    """What became of a request; the names in lower case are reasons of counters."""

    OK = 0
    UNDECODABLE = 1
    """The decoder refuses the bytes."""
    NO_PICTURE = 2
    """The decoder took the bytes and gave nothing."""
    CORRUPT = 3
    """A picture with parts missing: truncated or damaged."""
    TOO_LARGE = 4
    FOLLOWED = 5
    """Of a chain: decoded, and there is no picture that anybody wants now."""
    CHAIN_LOST = 6
    """Of a chain: pictures that it needs are missing."""


def decode_access_unit(codec: Codec, data: bytes, pixels_max: int) -> tuple[Status, npt.NDArray[np.uint8] | None]:
    """One picture of one access unit (parameter sets inside), as BGR of at most `pixels_max` pixels.

    The loop filter is left out: the picture is scaled down anyway, and it costs a fifth of the time.
    """
    context = CodecContext.create(codec.value, "r")
    assert isinstance(context, VideoCodecContext)
    context.thread_count = 1
    context.options = {"skip_loop_filter": "all", "max_pixels": str(SOURCE_PIXELS_MAX)}
    try:
        frames = context.decode(av.Packet(data)) or context.decode(None)
    except MemoryError:
        return Status.TOO_LARGE, None
    except av.error.FFmpegError:
        return Status.UNDECODABLE, None
    if not frames:
        return Status.NO_PICTURE, None
    if frames[0].is_corrupt:
        return Status.CORRUPT, None
    return Status.OK, to_bgr(frames[0], pixels_max)


def to_bgr(frame: VideoFrame, pixels_max: int) -> npt.NDArray[np.uint8]:
    """A decoded frame as uint8 (height, width, 3), scaled down to at most `pixels_max` pixels."""
    width, height = kept_size(frame.width, frame.height, pixels_max)
    scaled = frame.reformat(width=width, height=height, format="bgr24", interpolation=Interpolation.BILINEAR)
    return np.asarray(scaled.to_ndarray(), np.uint8)
