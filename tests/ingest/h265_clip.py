"""Small synthetic H.265 clips for tests, encoded by libx265 through PyAV, and their RTP payloads (RFC 7798)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from functools import cache

import av

from tests.ingest.h264_clip import encode_scene


@cache
def clip(
    pictures: int = 30, width: int = 160, height: int = 96, gop: int = 10, options: str = ""
) -> tuple[tuple[tuple[bytes, ...], bool], ...]:
    """Access units in decoding order as (NAL units, key); parameter sets in front of key pictures."""
    context = av.CodecContext.create("libx265", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base = Fraction(1, 25)
    context.framerate = Fraction(25, 1)
    params = (
        f"keyint={gop}:min-keyint={gop}:scenecut=0:pools=none:frame-threads=1:repeat-headers=1:log-level=none"
        ":open-gop=0:bframes=0"
    )
    context.options = {"preset": "ultrafast", "x265-params": params + options}
    return encode_scene(context, pictures)


def fragments(nal: bytes, size: int) -> Iterator[bytes]:
    """FU payloads of a NAL unit with at most `size` bytes of it each (4.4.3)."""
    body = nal[2:]
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    for index, piece in enumerate(pieces):
        flags = (0x80 if index == 0 else 0) | (0x40 if index == len(pieces) - 1 else 0)
        yield bytes((nal[0] & 0x81 | 49 << 1, nal[1], flags | nal[0] >> 1 & 0x3F)) + piece


def aggregate(nals: list[bytes]) -> bytes:
    """One AP payload (4.4.2)."""
    return bytes((48 << 1, 1)) + b"".join(struct.pack("!H", len(nal)) + nal for nal in nals)
