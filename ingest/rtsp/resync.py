"""Where the next message stands when the framing of a connection is lost (policy `resync`).

The verdict on a position depends on its own first bytes only, never on how much behind it has arrived, so that the
same stream gives the same packets however the network cuts it.
"""

from __future__ import annotations

from typing import Final

RESYNC_BYTES_MAX: Final = 65_536
"""More in one go that belongs to nothing: the peer does not speak RTSP any more."""
RESYNCS_MAX: Final = 32
"""More of them in one session: a new connection is better."""
_REPLY: Final = b"RTSP/1.0 "
_DOLLAR: Final = 0x24
_NEEDED: Final = 16
_SEQUENCE_WINDOW: Final = 1_024


def find_message(buffer: bytearray, at: int, end: int, rtp_channel: int, expected: int) -> tuple[int, bool]:
    """The first position in `buffer[at:end]` where a packet of the track's channels or a reply may begin, and
    True; or the first of which that cannot be said yet (`end` at most), and False.

    An RTP packet must have version 2 and a sequence number up to 1,024 after `expected` (any when that is
    negative); an RTCP packet a known type.
    """
    while at < end:
        first = buffer[at]
        if first == _DOLLAR or first == _REPLY[0]:
            verdict = _begins(bytes(buffer[at : min(end, at + _NEEDED)]), rtp_channel, expected)
            if verdict is not False:
                return at, verdict is True
        at += 1
    return end, False


def _begins(head: bytes, rtp_channel: int, expected: int) -> bool | None:
    """Whether a message begins with `head`; None while it is too short to say."""
    if head[0] != _DOLLAR:
        if head.startswith(_REPLY):
            return True
        return None if _REPLY.startswith(head) else False
    if len(head) > 1 and head[1] not in (rtp_channel, rtp_channel + 1):
        return False
    if len(head) < _NEEDED:
        return None
    length = head[2] << 8 | head[3]
    if head[4] >> 6 != 2:
        return False
    if head[1] != rtp_channel:
        return length >= 8 and length % 4 == 0 and 200 <= head[5] <= 207
    ahead = ((head[6] << 8 | head[7]) - expected) & 0xFFFF
    return length > 12 and (expected < 0 or ahead < _SEQUENCE_WINDOW)
