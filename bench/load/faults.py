"""Bad cameras: what the load server sends for a stream that has a fault, picture by picture."""

from __future__ import annotations

import enum
import random
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from contracts.instant import SECOND, Instant
from sim.rtp_stream import CLOCK_RATE, interleave, sender_report

if TYPE_CHECKING:
    from bench.load.programme import PackedPicture

_U32: Final = 0xFFFFFFFF
_GOOD_PICTURES: Final = 100
"""4 s of a good stream first: one that never was live shows less."""
_JUMP_EVERY: Final = 200
"""Pictures between two jumps of the clock: 8 s."""
_JUMP_S: Final = 3_600
_GARBAGE_BYTES: Final = 4_096
_LOST_EVERY: Final = 53
"""Two in a hundred, and no divisor of how many packets the clip has: key pictures come through now and then."""


class Fault(enum.StrEnum):
    """What is wrong with a camera."""

    FLAP = "flap"
    """The connection is reset every 4 s of pictures."""
    STALL = "stall"
    """After 4 s nothing comes any more, and the connection stays open."""
    GARBAGE = "garbage"
    """After 4 s random bytes come, in which no interleaved packet begins."""
    WRONG_RTCP = "wrong_rtcp"
    """Each picture is followed by RTCP that lies: bad lengths and versions, absurd clocks; pictures are good."""
    FROZEN = "frozen"
    """Each key picture repeats the first one after the fault began, with its own time and sequence numbers."""
    LOSS = "loss"
    """Every 53rd packet is missing: about 2 %."""
    CLOCK_JUMP = "clock_jump"
    """Every 8 s the RTP clock and the reports' wall clock jump by an hour, forth and back; pictures are good."""


HARMLESS: Final = frozenset({Fault.WRONG_RTCP, Fault.CLOCK_JUMP})
"""Faults under which every key picture is sent and has to arrive."""


@dataclass(frozen=True, slots=True)
class Sending:
    """What goes out instead of the picture; `reset`: the connection is reset and nothing goes out."""

    blob: bytes = b""
    whole: bool = False
    """The picture is in it, whole and good."""
    reset: bool = False


class FrozenStream:
    """What a camera sends whose sensor hangs while its encoder goes on, from its first key picture on."""

    def __init__(self) -> None:
        self._held: PackedPicture | None = None
        self._sequence: int | None = None

    def send(self, picture: PackedPicture, channel: int) -> bytes:
        """The held key picture in place of `picture`, or `picture` itself where that is none."""
        if self._sequence is None:
            self._sequence = picture.sequence
        shown = picture
        if picture.counter is not None:
            shown = self._held = self._held or picture
        stamp = picture.timestamp.to_bytes(4, "big")
        packets = []
        for packet in shown.packets:
            number = self._sequence.to_bytes(2, "big")
            self._sequence = (self._sequence + 1) & 0xFFFF
            packets.append(interleave(channel, packet[:2] + number + stamp + packet[8:]))
        return b"".join(packets)


def send_with(
    fault: Fault,
    picture: PackedPicture,
    *,
    channel: int,
    played: int,
    stream: int,
    ssrc: int,
    wall: Instant,
    frozen: FrozenStream,
) -> Sending:
    """What a bad camera sends for its picture number `played` (from 0) of this connection; repeatable.

    `wall` is the true wall time of the picture, `frozen` what the connection keeps for Fault.FROZEN.
    """
    match fault:
        case Fault.FROZEN:
            return Sending(frozen.send(picture, channel))
        case Fault.LOSS:
            return _thinned(picture, channel)
        case Fault.WRONG_RTCP:
            lie = _lying_report(picture, ssrc, random.Random(stream << 32 | played))
            return Sending(picture.framed(channel) + interleave(channel + 1, lie), whole=True)
        case Fault.CLOCK_JUMP:
            return Sending(_jumped(picture, channel, ssrc, wall, played // _JUMP_EVERY % 2), whole=True)
    if played < _GOOD_PICTURES:
        return Sending(picture.framed(channel), whole=True)
    match fault:
        case Fault.FLAP:
            return Sending(reset=True)
        case Fault.GARBAGE:
            noise = random.Random(stream << 32 | played).randbytes(_GARBAGE_BYTES)
            return Sending(noise.replace(b"$", b"#").replace(b"R", b"r"))
    return Sending()


def _thinned(picture: PackedPicture, channel: int) -> Sending:
    numbered = enumerate(picture.packets, picture.sequence)
    kept = [interleave(channel, packet) for number, packet in numbered if number % _LOST_EVERY]
    return Sending(b"".join(kept), whole=len(kept) == len(picture.packets))


def _lying_report(picture: PackedPicture, ssrc: int, rng: random.Random) -> bytes:
    good = sender_report(ssrc, Instant(rng.randrange(1 << 31) * SECOND), picture.timestamp, 0, 0)
    return rng.choice(
        [
            good,
            good[: rng.randrange(1, len(good))],
            bytes([rng.randrange(128)]) + good[1:],
            good[:2] + struct.pack(">H", rng.randrange(1 << 16)) + good[4:],
            struct.pack(">BBHI", 0x81, 203, 1, ssrc ^ _U32),
            rng.randbytes(rng.randrange(1, 200)),
        ]
    )


def _jumped(picture: PackedPicture, channel: int, ssrc: int, wall: Instant, hours: int) -> bytes:
    """The picture with its clocks set forward by so many hours; a sender report says the same wall time."""
    timestamp = (picture.timestamp + hours * _JUMP_S * CLOCK_RATE) & _U32
    stamp = timestamp.to_bytes(4, "big")
    packets = [interleave(channel, packet[:4] + stamp + packet[8:]) for packet in picture.packets]
    if picture.counter is not None:
        set_forward = Instant(wall + hours * _JUMP_S * SECOND)
        report = sender_report(ssrc, set_forward, timestamp, picture.packets_before, picture.octets_before)
        packets.append(interleave(channel + 1, report))
    return b"".join(packets)
