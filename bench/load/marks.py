"""The mark in every key picture of the load server: an SEI user_data_unregistered with a counter of 8 bytes.

H.264: ITU-T H.264, D.1.7, payload type 5, NAL type 6. H.265: ITU-T H.265, D.2.7, prefix SEI, NAL type 39.
"""

from __future__ import annotations

import re
from typing import Final

UUID: Final = bytes.fromhex("9c1e5b77a3d24f168b60c7d95af1e3b4")
"""Ours alone, and without a run of zeros, so that it is found as it stands."""
_PAYLOAD_TYPE: Final = 5
_COUNTER_BYTES: Final = 8
_SEARCHED_BYTES: Final = 4096
"""The mark stands before the slices: access unit delimiter and parameter sets are all that may precede it."""
_UNSAFE: Final = re.compile(b"\x00\x00(?=[\x00-\x03])")


def escape(payload: bytes) -> bytes:
    """Emulation prevention (H.264, 7.4.1.1): no start code may appear inside a NAL unit."""
    return _UNSAFE.sub(b"\x00\x00\x03", payload)


def unescape(payload: bytes) -> bytes:
    """The inverse of `escape`."""
    return payload.replace(b"\x00\x00\x03", b"\x00\x00")


def mark_unit(counter: int, *, hevc: bool = False) -> bytes:
    """The SEI NAL unit, without start code, that carries `counter` (0 .. 2^64-1)."""
    payload = UUID + counter.to_bytes(_COUNTER_BYTES, "big")
    header = b"\x4e\x01" if hevc else b"\x06"
    return header + escape(bytes([_PAYLOAD_TYPE, len(payload)]) + payload + b"\x80")


def find_mark(picture: bytes) -> int | None:
    """The counter in an Annex B key picture; None when it carries none of ours."""
    at = picture.find(UUID, 0, _SEARCHED_BYTES)
    if at < 0:
        return None
    begin = at + len(UUID)
    counter = unescape(picture[begin : begin + 2 * _COUNTER_BYTES])[:_COUNTER_BYTES]
    return int.from_bytes(counter, "big") if len(counter) == _COUNTER_BYTES else None
