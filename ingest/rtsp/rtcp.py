"""RTCP (RFC 3550, 6): sender reports read for the camera's clock, receiver reports written."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from contracts.instant import SECOND, Instant
from ingest.rtsp.assembly import Octets

_NTP_UNIX_S: Final = 2_208_988_800
_SR: Final = struct.Struct("!IIII")
_SENDER_REPORT: Final = 200
_GOODBYE: Final = 203
_LOST_MIN: Final = -0x800000
_LOST_MAX: Final = 0x7FFFFF


@dataclass(frozen=True, slots=True)
class SenderReport:
    """What a camera says of its clock: its wall time (None when it says 0) at an RTP time.

    `ntp_middle` goes back in the receiver report (LSR).
    """

    ssrc: int
    wall: Instant | None
    rtp_timestamp: int
    ntp_middle: int


def find_sender_report(data: Octets, start: int, end: int) -> SenderReport | None:
    """The first sender report of a compound packet, None when there is none or it is malformed."""
    while end - start >= 8:
        size = (data[start + 2] << 8 | data[start + 3]) * 4 + 4
        if data[start] >> 6 != 2 or start + size > end:
            return None
        if data[start + 1] == _SENDER_REPORT and size >= 28:
            high, low, rtp = struct.unpack_from("!III", data, start + 8)
            (ssrc,) = struct.unpack_from("!I", data, start + 4)
            wall = None
            if high:
                # The 32 bits wrap in 2036: small values are the next era.
                era_s = high if high >= 1 << 31 else high + (1 << 32)
                wall = Instant((era_s - _NTP_UNIX_S) * SECOND + (low * SECOND >> 32))
            return SenderReport(ssrc, wall, rtp, (high & 0xFFFF) << 16 | low >> 16)
        start += size
    return None


def is_well_formed(data: Octets, start: int, end: int) -> bool:
    """Whether the lengths of a compound packet add up (A.2), which is all that can be checked without state."""
    if end - start < 8:
        return False
    while start < end:
        if end - start < 4 or data[start] >> 6 != 2 or not 192 <= data[start + 1] <= 223:
            return False
        start += (data[start + 2] << 8 | data[start + 3]) * 4 + 4
    return start == end


def goodbyes(data: Octets, start: int, end: int) -> frozenset[int]:
    """Sources that say BYE (6.6) in a compound packet."""
    gone: set[int] = set()
    while end - start >= 4:
        size = (data[start + 2] << 8 | data[start + 3]) * 4 + 4
        if data[start] >> 6 != 2 or start + size > end:
            break
        if data[start + 1] == _GOODBYE:
            count = min(data[start] & 0x1F, size // 4 - 1)
            gone.update(struct.unpack_from(f"!{count}I", data, start + 4))
        start += size
    return frozenset(gone)


def receiver_report(
    ours: int, theirs: int, *, lost: int, fraction: int, highest: int, lsr: int, delay_ns: int, jitter: int = 0
) -> bytes:
    """A receiver report with an SDES name (6.4.2, 6.5); `fraction` of 256, `highest` extended sequence, `lost` is
    cut to signed 24 bits, `jitter` in RTP clock ticks, `delay_ns` since the report that `lsr` is of."""
    delay = min(delay_ns * 65_536 // SECOND, 0xFFFFFFFF)
    total = max(_LOST_MIN, min(lost, _LOST_MAX)) & 0xFFFFFF
    block = _SR.pack(theirs, fraction << 24 | total, highest & 0xFFFFFFFF, min(jitter, 0xFFFFFFFF))
    report = struct.pack("!BBHI", 0x81, 201, 7, ours) + block + struct.pack("!II", lsr, delay)
    name = b"\x01\x0bgridwhistle\x00"
    name += bytes(-len(name) % 4)
    sdes = struct.pack("!BBHI", 0x81, 202, 1 + len(name) // 4, ours) + name
    return report + sdes
