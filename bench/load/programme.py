"""The bytes that all streams send: each picture is packed once, and sent by every stream when its turn comes.

A stream lags behind the programme by its phase, so that key pictures of different streams come at different times
while sequence numbers, RTP times and bytes are the same: the server only hands ready bytes to the kernel.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from bench.load.clips import KEY_INTERVAL, PICTURES_PER_S, Clip
from bench.load.marks import mark_unit
from contracts.instant import SECOND, Instant
from sim import h264, h265
from sim.rtp_stream import CLOCK_RATE, PAYLOAD_MAX, hash_of, interleave, rtp_packets, sender_report

PICTURE_NS: Final = SECOND // PICTURES_PER_S
_REPORT_EVERY: Final = 5 * PICTURES_PER_S + 1
"""Pictures between two sender reports, about 5 s: an even number, since of a pair the even one carries it."""
_U32: Final = 0xFFFFFFFF


@dataclass(slots=True)
class PackedPicture:
    """A picture as RTP packets. `counter` is the mark of a key picture, None for the others.

    `packets_before` and `octets_before` are the programme's totals, for sender reports.
    """

    number: int
    counter: int | None
    timestamp: int
    sequence: int
    packets: list[bytes]
    packets_before: int
    octets_before: int
    _framed: dict[int, bytes] = field(default_factory=dict)

    def framed(self, channel: int) -> bytes:
        """The packets as they travel on an interleaved channel."""
        found = self._framed.get(channel)
        if found is None:
            found = self._framed[channel] = b"".join([interleave(channel, packet) for packet in self.packets])
        return found


class Programme:
    """A clip, played again and again, as packed pictures; those of the last `kept` pictures are at hand.

    `begin`: the number of its first picture, a key picture.
    """

    def __init__(self, clip: Clip, *, kept: int, begin: int = 0) -> None:
        seed = hash_of(clip.name)
        self.clip = clip
        self.ssrc = seed & _U32
        self._timestamp = (seed >> 48) & _U32
        self._sequence = (seed >> 32) & 0xFFFF
        self._packets = 0
        self._octets = 0
        self._next = begin
        self._kept: deque[PackedPicture] = deque(maxlen=kept)

    def picture(self, number: int) -> PackedPicture:
        """The picture `number`, counted from the start. Raises LookupError when it is too old."""
        while self._next <= number:
            self._kept.append(self._pack())
        oldest = self._kept[0].number
        if number < oldest:
            raise LookupError(f"picture {number} is gone; the oldest kept one is {oldest}")
        return self._kept[number - oldest]

    def report(self, picture: PackedPicture, wall: Instant) -> bytes | None:
        """The sender report that goes with this picture, about every 5 s; `wall`: when it was taken."""
        if picture.number % _REPORT_EVERY:
            return None
        return sender_report(self.ssrc, wall, picture.timestamp, picture.packets_before, picture.octets_before)

    def _pack(self) -> PackedPicture:
        number = self._next
        units = list(self.clip.pictures[number % len(self.clip.pictures)])
        counter = None
        if number % KEY_INTERVAL == 0:
            counter = number // KEY_INTERVAL
            units.insert(_before_slices(units, self.clip.hevc), mark_unit(counter, hevc=self.clip.hevc))
        payloads = (h265 if self.clip.hevc else h264).packetize(units, PAYLOAD_MAX)
        timestamp = (self._timestamp + number * CLOCK_RATE // PICTURES_PER_S) & _U32
        packets = rtp_packets(payloads, self._sequence, timestamp, self.ssrc)
        packed = PackedPicture(number, counter, timestamp, self._sequence, packets, self._packets, self._octets)
        self._next += 1
        self._sequence = (self._sequence + len(packets)) & 0xFFFF
        self._packets += len(packets)
        self._octets += sum(map(len, payloads))
        return packed


def _before_slices(units: list[bytes], hevc: bool) -> int:
    """Where the mark goes: behind the parameter sets, in front of the first slice."""
    if hevc:
        return next(i for i, unit in enumerate(units) if h265.nal_type(unit) < h265.NAL_VPS)
    return next(i for i, unit in enumerate(units) if h264.nal_type(unit) == h264.NAL_IDR)
