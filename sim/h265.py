"""H.265 on the wire: RTP payloads of a picture's NAL units (RFC 7798), without DONL, and the SDP line."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from sim.payloads import pack

NAL_VPS = 32
NAL_SPS = 33
NAL_PPS = 34
NAL_AUD = 35
NAL_PREFIX_SEI = 39
AP = 48
FU = 49
_SMALL = frozenset({NAL_VPS, NAL_SPS, NAL_PPS, NAL_AUD, NAL_PREFIX_SEI})


def nal_type(unit: bytes) -> int:
    """Bits 1 to 6 of the first byte (H.265, 7.3.1.2)."""
    return (unit[0] >> 1) & 0x3F


def packetize(units: Sequence[bytes], payload_max: int) -> list[bytes]:
    """RTP payloads of one picture, each at most `payload_max` bytes (>= 16), in order.

    Neighbouring small units travel together (AP, 4.4.2), what does not fit is cut (FU, 4.4.3).
    """
    return pack(
        units,
        payload_max,
        header_bytes=2,
        is_small=lambda unit: nal_type(unit) in _SMALL,
        aggregate=_aggregate,
        fragment=_fragment,
    )


def _aggregate(units: list[bytes]) -> bytes:
    # Lowest layer and temporal id of all; ours are layer 0, temporal id 1 throughout.
    return bytes([AP << 1, units[0][1]]) + b"".join(len(u).to_bytes(2, "big") + u for u in units)


def _fragment(unit: bytes, payload_max: int) -> list[bytes]:
    header, kind = bytes([(unit[0] & 0x81) | FU << 1, unit[1]]), nal_type(unit)
    room = payload_max - 3
    return [
        header
        + bytes([kind | (0x80 if at == 2 else 0) | (0x40 if at + room >= len(unit) else 0)])
        + unit[at : at + room]
        for at in range(2, len(unit), room)
    ]


def sdp_format(units: Sequence[bytes], payload_type: int) -> str:
    """The `a=fmtp` line of a stream (RFC 7798, 7.1) from a key picture's units with VPS, SPS and PPS."""
    names = {NAL_VPS: "sprop-vps", NAL_SPS: "sprop-sps", NAL_PPS: "sprop-pps"}
    sets = {nal_type(u): base64.b64encode(u).decode() for u in units if nal_type(u) in names}
    return f"a=fmtp:{payload_type} " + ";".join(f"{names[kind]}={text}" for kind, text in sorted(sets.items()))
