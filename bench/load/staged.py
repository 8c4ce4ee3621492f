"""A stream whose camera begins to see something else: from a key picture on it sends those of another clip."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sim.rtp_stream import interleave

if TYPE_CHECKING:
    from bench.load.programme import PackedPicture


class StagedStream:
    """One connection. Its sequence numbers, clock and SSRC go on as before: it is the same camera.

    `wanted`: which of both it shows from the next key picture on.
    """

    def __init__(self) -> None:
        self.wanted = False
        self._shown = False
        self._sequence: int | None = None

    def send(self, usual: PackedPicture, staged: PackedPicture, channel: int) -> bytes:
        """The packets of one of these two pictures, which have the same number, as they travel."""
        if usual.counter is not None:
            self._shown = self.wanted
        if self._sequence is None:
            self._sequence = usual.sequence
        framed = []
        for packet in (staged if self._shown else usual).packets:
            # RFC 3550, 5.1: sequence number, time stamp and SSRC stand in octets 2 to 11.
            head = packet[:2] + struct.pack(">HI", self._sequence, usual.timestamp) + usual.packets[0][8:12]
            framed.append(interleave(channel, head + packet[12:]))
            self._sequence = (self._sequence + 1) & 0xFFFF
        return b"".join(framed)
