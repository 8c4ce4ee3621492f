"""RTP payloads of H.264 (RFC 6184: single NAL unit, STAP-A, FU-A) become access units.

What decodes alone is an IDR picture, and by policy an I picture announced by a recovery point.
"""

from __future__ import annotations

import struct
from typing import Final

from ingest.rtsp.assembly import KeyPicturePolicy
from ingest.rtsp.depacketize import Depacketizer, Unit
from ingest.rtsp.h264 import (
    NAL_AUD,
    NAL_FILLER,
    NAL_FU_A,
    NAL_IDR,
    NAL_PPS,
    NAL_SEI,
    NAL_SLICE,
    NAL_SPS,
    NAL_STAP_A,
    has_recovery_point,
    is_intra_slice,
    parameter_set_id,
)


def _unit(kind: int) -> Unit:
    if kind == NAL_IDR:
        return Unit.KEY_SLICE
    if NAL_SLICE <= kind < NAL_IDR:
        return Unit.SLICE
    if kind in (NAL_SPS, NAL_PPS):
        return Unit.SET
    if kind in (NAL_AUD, NAL_FILLER):
        return Unit.IGNORED
    return Unit.PREFIX if NAL_SEI <= kind <= 23 else Unit.INVALID


_UNITS: Final = tuple(_unit(kind) for kind in range(32))


class H264Depacketizer(Depacketizer):
    """See Depacketizer."""

    __slots__ = ()

    NAL_HEADER_BYTES = 1
    KIND_SHIFT = 0
    KIND_MASK = 0x1F
    AGGREGATE = NAL_STAP_A
    FRAGMENT = NAL_FU_A
    UNITS = _UNITS
    SET_KINDS = (NAL_SPS, NAL_PPS)
    FIRST_BYTES = bytes({NAL_SLICE: 1, NAL_FU_A: 2}.get(first & 0x1F, 0) for first in range(256))
    FRAGMENT_BYTES = bytes(header & 0x1F == NAL_SLICE for header in range(256))
    LAYOUT = struct.Struct("!BBHBBHI4xBB")

    def _set_id(self, nal: bytes) -> int:
        return parameter_set_id(nal)

    def _whole_header(self, view: memoryview, start: int, kind: int) -> bytes:
        return bytes((view[start] & 0xE0 | kind,))

    def _prefix(self, nal: bytes, kind: int) -> None:
        if kind == NAL_SEI and self.policy is KeyPicturePolicy.RECOVERY_POINT:
            self._recovery = self._recovery or has_recovery_point(nal)

    def _is_key(self, unit: Unit, head: bytes) -> bool:
        if unit is Unit.KEY_SLICE:
            return True
        return self._recovery and head[0] & 0x1F == NAL_SLICE and is_intra_slice(head)
