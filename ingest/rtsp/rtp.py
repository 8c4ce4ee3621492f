"""RTP packets (RFC 3550, 5.1) as far as their header goes."""

from __future__ import annotations

import struct
from typing import Final

from ingest.rtsp.assembly import Octets

RTP: Final = struct.Struct("!BBHI")
"""Flags, marker and payload type, sequence number, timestamp."""
RTP_HEADER_BYTES: Final = 12


def payload_bounds(data: Octets, start: int, stop: int, flags: int) -> tuple[int, int] | None:
    """Payload bounds of a packet `data[start:stop]` with CSRCs, extension or padding; None when malformed."""
    payload = start + RTP_HEADER_BYTES + (flags & 0x0F) * 4
    if flags & 0x10 and payload + 4 <= stop:
        payload += 4 + (data[payload + 2] << 8 | data[payload + 3]) * 4
    payload_end = stop - data[stop - 1] if flags & 0x20 else stop
    return (payload, payload_end) if flags >> 6 == 2 and payload <= payload_end else None
