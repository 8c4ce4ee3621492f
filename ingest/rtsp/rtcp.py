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


def receiver_report(
    ours: int, theirs: int, *, lost: int, fraction: int, highest: int, lsr: int, delay_ns: int
) -> bytes:
    """A receiver report with an SDES name (6.4.2, 6.5); `fraction` of 256, `highest` extended sequence."""
    delay = min(delay_ns * 65_536 // SECOND, 0xFFFFFFFF)
    block = _SR.pack(theirs, fraction << 24 | min(lost, 0x7FFFFF), highest & 0xFFFFFFFF, 0)
    report = struct.pack("!BBHI", 0x81, 201, 7, ours) + block + struct.pack("!II", lsr, delay)
    name = b"\x01\x0bgridwhistle\x00"
    name += bytes(-len(name) % 4)
    sdes = struct.pack("!BBHI", 0x81, 202, 1 + len(name) // 4, ours) + name
    return report + sdes
