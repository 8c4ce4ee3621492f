"""Frame: one encoded picture (an access unit) on its way from ingest to inference; decoded only when picked."""

from __future__ import annotations

import enum

import msgspec

from contracts.instant import Instant


class Codec(enum.StrEnum):
    """Video codecs as FFmpeg names them."""

    H264 = "h264"
    HEVC = "hevc"
    MJPEG = "mjpeg"


class Suspicion(enum.StrEnum):
    """What the sizes of the pictures that nobody decodes say is wrong; inference looks at such cameras first."""

    NONE = ""
    SIZE_COLLAPSE = "size_collapse"
    """Pictures shrank to a fraction of what this camera sends: covered, dark, frozen scene."""
    FROZEN_BYTES = "frozen_bytes"
    """Key pictures repeat byte for byte, or every dropped picture is empty: the encoder repeats itself."""
    BURST = "burst"
    """Far more bytes than this camera's normal: sudden motion, a flash, smoke, shaking."""


class FrameHeader(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What is announced of a picture before anybody asks for its bytes.

    `sequence` grows by one per picture handed on by this source in this session of the worker; together with
    `source_id` it names the bytes. `event_time` is RTP time anchored to arrival; `arrival_time` our clock when
    the last byte came. `key` is True for a picture that decodes alone (IDR, CRA, recovery point by policy).
    `activity` >= 0 ranks motion from the sizes of dropped pictures; 1 is the learnt normal; `suspicion` names
    what they say is wrong. `clock_offset_ns`: camera clock minus ours by RTCP sender reports, None while unknown.

    `promoted`: the camera is promoted, so every picture comes, in decoding order: one with `key` False needs all
    pictures since the key picture before it. `chain` counts within the group of pictures: 0 for its key picture,
    then 1, 2, ...; a decoder that misses a number waits for the next `key`.
    """

    source_id: str
    sequence: int
    event_time: Instant
    arrival_time: Instant
    codec: Codec
    size: int
    key: bool = True
    activity: float = 1.0
    discontinuity: bool = False
    clock_offset_ns: int | None = None
    suspicion: Suspicion = Suspicion.NONE
    promoted: bool = False
    chain: int = 0


class ActivityNotice(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What the sizes of a camera's pictures say between two key pictures: its next picture is worth a look soon.

    `at`: our clock when it showed. `activity` and `suspicion` as in a FrameHeader; the header of the next key
    picture says them anew, so a notice that is lost costs that time and no more.
    """

    source_id: str
    at: Instant
    activity: float
    suspicion: Suspicion = Suspicion.NONE


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """A header with its access unit: Annex B bytes (start codes), parameter sets in front of key pictures."""

    header: FrameHeader
    data: bytes
