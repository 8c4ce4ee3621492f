"""How the NAL units of a picture share RTP payloads: what H.264 (RFC 6184) and H.265 (RFC 7798) have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Payloads = list[bytes]


def pack(
    units: Sequence[bytes],
    payload_max: int,
    *,
    header_bytes: int,
    is_small: Callable[[bytes], bool],
    aggregate: Callable[[list[bytes]], bytes],
    fragment: Callable[[bytes, int], Payloads],
) -> Payloads:
    """RTP payloads of one picture, each at most `payload_max` bytes (>= 16), in order.

    Neighbouring small units travel together, behind a header of `header_bytes`; what does not fit is cut.
    """
    payloads: Payloads = []
    small: list[bytes] = []

    def flush() -> None:
        payloads.extend(small if len(small) < 2 else [aggregate(small)])
        small.clear()

    for unit in units:
        if is_small(unit) and header_bytes + 2 + len(unit) <= payload_max:
            if header_bytes + sum(len(each) + 2 for each in small) + len(unit) + 2 > payload_max:
                flush()
            small.append(unit)
            continue
        flush()
        payloads += [unit] if len(unit) <= payload_max else fragment(unit, payload_max)
    flush()
    return payloads
