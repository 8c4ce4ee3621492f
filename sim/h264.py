"""H.264 on the wire: NAL units of an Annex B picture, and their RTP payloads (RFC 6184, packetization-mode 1)."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence

from sim.payloads import pack

NAL_IDR = 5
NAL_SEI = 6
NAL_SPS = 7
NAL_PPS = 8
NAL_AUD = 9
STAP_A = 24
FU_A = 28
_SMALL = frozenset({NAL_SEI, NAL_SPS, NAL_PPS, NAL_AUD})
_START_CODE = re.compile(b"\x00\x00\x01")


def split_annexb(data: bytes) -> list[bytes]:
    """The NAL units between start codes of 3 or 4 bytes, without trailing zero bytes. Empty units are left out."""
    marks = [match.span() for match in _START_CODE.finditer(data)]
    units = []
    for i, (_, begin) in enumerate(marks):
        end = marks[i + 1][0] if i + 1 < len(marks) else len(data)
        unit = data[begin:end].rstrip(b"\x00")
        if unit:
            units.append(unit)
    return units


def nal_type(unit: bytes) -> int:
    """Lower five bits of the first byte."""
    return unit[0] & 0x1F


def parameter_sets(units: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """The first SPS and PPS of a picture, or None when one is missing."""
    sps = next((u for u in units if nal_type(u) == NAL_SPS), None)
    pps = next((u for u in units if nal_type(u) == NAL_PPS), None)
    return (sps, pps) if sps is not None and pps is not None else None


def packetize(units: Sequence[bytes], payload_max: int) -> list[bytes]:
    """RTP payloads of one picture, each at most `payload_max` bytes (>= 16), in order.

    Neighbouring small parameter sets, delimiters and SEI travel together (STAP-A); what does not fit is cut
    (FU-A); everything else goes alone. The marker bit belongs to the last payload.
    """
    return pack(
        units,
        payload_max,
        header_bytes=1,
        is_small=lambda unit: nal_type(unit) in _SMALL,
        aggregate=_aggregate,
        fragment=_fragment,
    )


def _aggregate(units: list[bytes]) -> bytes:
    importance = max(u[0] & 0x60 for u in units)
    return bytes([importance | STAP_A]) + b"".join(len(u).to_bytes(2, "big") + u for u in units)


def _fragment(unit: bytes, payload_max: int) -> list[bytes]:
    indicator, kind = (unit[0] & 0xE0) | FU_A, unit[0] & 0x1F
    room = payload_max - 2
    body = range(1, len(unit), room)
    return [
        bytes([indicator, kind | (0x80 if at == 1 else 0) | (0x40 if at + room >= len(unit) else 0)])
        + unit[at : at + room]
        for at in body
    ]


def sdp_format(sps: bytes, pps: bytes, payload_type: int) -> str:
    """The `a=fmtp` line of a stream (RFC 6184, 8.2.1)."""
    sets = ",".join(base64.b64encode(unit).decode() for unit in (sps, pps))
    profile = sps[1:4].hex().upper()
    return f"a=fmtp:{payload_type} packetization-mode=1;profile-level-id={profile};sprop-parameter-sets={sets}"
