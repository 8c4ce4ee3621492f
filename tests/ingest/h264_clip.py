"""Small synthetic H.264 clips for tests, encoded by libx264 through PyAV, and a plain RTP packetizer."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache

import av
import numpy as np

START = b"\x00\x00\x00\x01"


Fragments = Callable[[bytes, int], Iterator[bytes]]
Aggregate = Callable[[list[bytes]], bytes]


def split_nals(annexb: bytes) -> list[bytes]:
    """NAL units between start codes of 3 or 4 bytes."""
    parts = annexb.replace(b"\x00\x00\x00\x01", b"\x00\x00\x01").split(b"\x00\x00\x01")
    return [part for part in parts if part]


@cache
def clip(
    pictures: int = 30, width: int = 160, height: int = 96, gop: int = 10, rate: int = 25, options: str = ""
) -> tuple[tuple[tuple[bytes, ...], bool], ...]:
    """Access units as (NAL units, key): a moving square on noise; parameter sets in front of key pictures."""
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base = Fraction(1, rate)
    context.framerate = Fraction(rate, 1)
    params = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes=0:threads=1:repeat-headers=1"
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": params + options}
    return encode_scene(context, pictures)


def encode_scene(context: av.VideoCodecContext, pictures: int) -> tuple[tuple[tuple[bytes, ...], bool], ...]:
    """A moving square on noise, as access units in decoding order."""
    width, height = context.width, context.height
    noise = np.random.default_rng(7).integers(90, 160, (height, width, 3), dtype=np.uint8)
    packets = []
    for index in range(pictures):
        picture = noise.copy()
        x = index * 3 % (width - 24)
        picture[20:44, x : x + 24] = (240, 240, 20)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts = index
        packets.extend(context.encode(frame))
    packets.extend(context.encode(None))
    return tuple((tuple(split_nals(bytes(packet))), packet.is_keyframe) for packet in packets)


def fragments(nal: bytes, size: int) -> Iterator[bytes]:
    """FU-A payloads of a NAL unit with at most `size` bytes of it each (RFC 6184, 5.8)."""
    body = nal[1:]
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    for index, piece in enumerate(pieces):
        flags = (0x80 if index == 0 else 0) | (0x40 if index == len(pieces) - 1 else 0)
        yield bytes((nal[0] & 0xE0 | 28, flags | nal[0] & 0x1F)) + piece


def stap_a(nals: list[bytes]) -> bytes:
    """One STAP-A payload (5.7.1)."""
    return b"\x78" + b"".join(struct.pack("!H", len(nal)) + nal for nal in nals)


def payloads(
    nals: tuple[bytes, ...],
    rng: random.Random,
    size: int = 1400,
    fragments: Fragments = fragments,
    aggregate: Aggregate = stap_a,
) -> list[bytes]:
    """RTP payloads of one access unit: single, aggregated or fragmented as chance has it."""
    out: list[bytes] = []
    waiting: list[bytes] = []
    for nal in nals:
        how = rng.random()
        if len(nal) > size or (how < 0.3 and len(nal) > 4):
            if waiting:
                out.append(aggregate(waiting))
                waiting = []
            out.extend(fragments(nal, max(2, min(size, rng.randint(2, len(nal)) if how < 0.3 else size))))
        elif how < 0.6 and len(nal) < 1000 and sum(map(len, waiting)) < 20_000:
            waiting.append(nal)
        else:
            if waiting:
                out.append(aggregate(waiting))
                waiting = []
            out.append(nal)
    if waiting:
        out.append(aggregate(waiting))
    return out


def rtp(payload: bytes, sequence: int, timestamp: int, marker: bool, payload_type: int = 96) -> bytes:
    """One RTP packet (RFC 3550, 5.1)."""
    return (
        struct.pack(
            "!BBHII",
            0x80,
            (0x80 if marker else 0) | payload_type,
            sequence & 0xFFFF,
            timestamp & 0xFFFFFFFF,
            0x1234ABCD,
        )
        + payload
    )


def interleaved(packet: bytes, channel: int = 0) -> bytes:
    """One packet within the RTSP connection (RFC 2326, 10.12)."""
    return struct.pack("!cBH", b"$", channel, len(packet)) + packet


def stream(
    units: tuple[tuple[tuple[bytes, ...], bool], ...],
    *,
    seed: int = 1,
    sequence: int = 65_500,
    timestamp: int = 2**32 - 20_000,
    step: int = 3600,
    size: int = 1400,
    markers: bool = True,
    fragments: Fragments = fragments,
    aggregate: Aggregate = stap_a,
) -> list[tuple[bytes, int, int, bool]]:
    """(payload, sequence, timestamp, marker) of a clip; sequence and timestamp wrap on the way."""
    rng = random.Random(seed)
    packets = []
    for nals, _ in units:
        parts = payloads(nals, rng, size, fragments, aggregate)
        for index, part in enumerate(parts):
            packets.append((part, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, markers and index == len(parts) - 1))
            sequence += 1
        timestamp += step
    return packets
