"""RTP payloads of H.265 (RFC 7798: single NAL unit, AP, FU) become access units.

What decodes alone is an intra random access point: IDR, CRA, BLA. Leading pictures that cannot be had by a decoder
which begins at a CRA picture (RASL) are left out of a chain that begins there. Streams with decoding order numbers
(sprop-max-don-diff > 0) are not for this class: their NAL units come in another order, and FFmpeg reads them.
"""

from __future__ import annotations

import struct
from typing import Final

from ingest.rtsp.depacketize import Depacketizer, Unit
from ingest.rtsp.h265 import (
    NAL_AP,
    NAL_AUD,
    NAL_FILLER,
    NAL_FU,
    NAL_IRAP_FIRST,
    NAL_IRAP_LAST,
    NAL_PPS,
    NAL_RASL_N,
    NAL_RASL_R,
    NAL_SLICE_LAST,
    NAL_SPS,
    NAL_VPS,
    parameter_set_id,
)


def _unit(kind: int) -> Unit:
    if kind in (NAL_RASL_N, NAL_RASL_R):
        return Unit.LEADING
    if kind <= NAL_SLICE_LAST:
        return Unit.SLICE
    if NAL_IRAP_FIRST <= kind <= NAL_IRAP_LAST:
        return Unit.KEY_SLICE
    if kind in (NAL_VPS, NAL_SPS, NAL_PPS):
        return Unit.SET
    if NAL_AUD <= kind <= NAL_FILLER:
        return Unit.IGNORED
    return Unit.PREFIX if NAL_FILLER < kind < NAL_AP else Unit.INVALID


_UNITS: Final = tuple(_unit(kind) for kind in range(64))


class H265Depacketizer(Depacketizer):
    """See Depacketizer."""

    __slots__ = ()

    NAL_HEADER_BYTES = 2
    KIND_SHIFT = 1
    KIND_MASK = 0x3F
    AGGREGATE = NAL_AP
    FRAGMENT = NAL_FU
    UNITS = _UNITS
    SET_KINDS = (NAL_VPS, NAL_SPS, NAL_PPS)
    FIRST_BYTES = bytes(
        2 if first >> 1 & 0x3F == NAL_FU else first >> 1 & 0x3F <= NAL_SLICE_LAST for first in range(256)
    )
    FRAGMENT_BYTES = bytes(header & 0x3F <= NAL_SLICE_LAST for header in range(256))
    LAYOUT = struct.Struct("!BBHBBHI4xBxB")

    def _set_id(self, nal: bytes) -> int:
        return parameter_set_id(nal)

    def _whole_header(self, view: memoryview, start: int, kind: int) -> bytes:
        return bytes((view[start] & 0x81 | kind << 1, view[start + 1]))

    def _prefix(self, _nal: bytes, _kind: int) -> None:
        """Nothing to learn: what decodes alone says so by its type."""

    def _is_key(self, unit: Unit, _head: bytes) -> bool:
        return unit is Unit.KEY_SLICE
