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


class FrameHeader(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What is announced of a picture before anybody asks for its bytes.

    `sequence` grows by one per picture handed on by this source in this session of the worker; together with
    `source_id` it names the bytes. `event_time` is RTP time anchored to arrival; `arrival_time` our clock when
    the last byte came. `key` is True for a picture that decodes alone (IDR, CRA, recovery point by policy).
    `activity` >= 0 ranks motion from the sizes of dropped pictures; 1 is the learnt normal. `clock_offset_ns`
    is camera clock minus ours by RTCP sender reports, None while unknown.
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


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """A header with its access unit: Annex B bytes (start codes), parameter sets in front of key pictures."""

    header: FrameHeader
    data: bytes
