"""One live stream and its viewers: each picture is encoded once, packed once and written to everybody.

All viewers share sequence numbers, SSRC and timestamps (RFC 3550 leaves them to the sender), so the bytes of a
picture are the same for all who use the same interleaved channel. A viewer joins at a key picture. One that reads
too slowly is cut off at a bounded backlog, so that memory stays bounded and nobody else waits.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from contracts.instant import SECOND, Instant
from sim.h264 import packetize, parameter_sets, split_annexb

if TYPE_CHECKING:
    from runtime.clock import Clock

PAYLOAD_TYPE = 96
CLOCK_RATE = 90_000
PAYLOAD_MAX = 1400
"""Bytes of RTP payload: fits an Ethernet frame, as cameras send it even over TCP."""
REPORT_EVERY_NS = 5 * SECOND
_NTP_EPOCH_S = 2_208_988_800
_U32 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """An access unit in Annex B form. `taken_ns`: monotonic ns when it was taken; `key`: decodes alone."""

    data: bytes
    key: bool
    taken_ns: int


class Viewer(Protocol):
    """Somebody who plays a stream."""

    channel: int
    """Interleaved channel of RTP; RTCP uses the next one."""

    def write(self, data: bytes) -> None:
        """Hand bytes to the connection; never waits."""

    def backlog(self) -> int:
        """Bytes that wait to be sent."""

    def cut_off(self) -> None:
        """Close the connection at once."""


class LiveStream:
    """A stream that pictures are published to. `backlog_max` bytes may wait for a viewer.

    `sent` counts pictures, `cut` viewers that were cut off. `taps` are called with each picture's NAL units.
    """

    def __init__(self, name: str, clock: Clock, *, backlog_max: int = 1 << 20) -> None:
        self.name = name
        self.parameter_sets: tuple[bytes, bytes] | None = None
        self.ready = asyncio.Event()
        self.sent = 0
        self.cut = 0
        self.taps: list[Callable[[list[bytes], EncodedPicture], None]] = []
        self._clock = clock
        self._backlog_max = backlog_max
        self._waiting: set[Viewer] = set()
        self._playing: set[Viewer] = set()
        seed = hash_of(name)
        self.ssrc = seed & _U32
        self._sequence = (seed >> 32) & 0xFFFF
        self._timestamp_offset = (seed >> 48) & _U32
        self._octets = 0
        self._packets = 0
        self._next_report_ns = 0

    @property
    def viewers(self) -> int:
        """Who plays or waits for the next key picture."""
        return len(self._waiting) + len(self._playing)

    @property
    def joining(self) -> int:
        """Who waits for the next key picture."""
        return len(self._waiting)

    def add(self, viewer: Viewer) -> None:
        """The viewer gets every picture from the next key picture on."""
        self._waiting.add(viewer)

    def remove(self, viewer: Viewer) -> None:
        """The viewer gets nothing any more; asking twice is fine."""
        self._waiting.discard(viewer)
        self._playing.discard(viewer)

    def publish(self, picture: EncodedPicture) -> None:
        """Send a picture to all viewers; never waits."""
        units = split_annexb(picture.data)
        self.publish_units(units, picture)
        for tap in self.taps:
            tap(units, picture)

    def publish_units(self, units: list[bytes], picture: EncodedPicture) -> None:
        """As `publish`, of NAL units that are already apart (`picture.data` is not looked at)."""
        if picture.key:
            found = parameter_sets(units)
            if found is not None:
                self.parameter_sets = found
                self.ready.set()
            if self._waiting:
                self._next_report_ns = 0  # who joins learns the sender's clock with the first picture
            self._playing |= self._waiting
            self._waiting.clear()
        self.sent += 1
        timestamp = self._rtp_time(picture.taken_ns)
        packets = self._number(packetize(units, PAYLOAD_MAX), timestamp)
        now_ns = self._clock.monotonic_ns()
        report = b""
        if now_ns >= self._next_report_ns:
            self._next_report_ns = now_ns + REPORT_EVERY_NS
            report = self._sender_report(picture.taken_ns, now_ns)
        self._write(packets, report)

    def end(self) -> None:
        """Say goodbye (RTCP BYE) and cut everybody off."""
        goodbye = struct.pack(">BBHI", 0x81, 203, 1, self.ssrc)
        self._write([], goodbye)
        for viewer in (*self._playing, *self._waiting):
            viewer.cut_off()
        self._playing.clear()
        self._waiting.clear()

    def _rtp_time(self, taken_ns: int) -> int:
        return (taken_ns * CLOCK_RATE // SECOND + self._timestamp_offset) & _U32

    def _number(self, payloads: list[bytes], timestamp: int) -> list[bytes]:
        packets = rtp_packets(payloads, self._sequence, timestamp, self.ssrc)
        self._sequence = (self._sequence + len(packets)) & 0xFFFF
        self._octets = (self._octets + sum(map(len, payloads))) & _U32
        self._packets = (self._packets + len(packets)) & _U32
        return packets

    def _sender_report(self, taken_ns: int, now_ns: int) -> bytes:
        """RTCP of the moment when the picture was taken."""
        wall = Instant(self._clock.now() - (now_ns - taken_ns))
        return sender_report(self.ssrc, wall, self._rtp_time(taken_ns), self._packets, self._octets)

    def _write(self, packets: list[bytes], report: bytes) -> None:
        blobs: dict[int, bytes] = {}
        slow = []
        for viewer in self._playing:
            blob = blobs.get(viewer.channel)
            if blob is None:
                framed = [interleave(viewer.channel, packet) for packet in packets]
                if report:
                    framed.append(interleave(viewer.channel + 1, report))
                blob = blobs[viewer.channel] = b"".join(framed)
            if viewer.backlog() + len(blob) > self._backlog_max:
                slow.append(viewer)
            else:
                viewer.write(blob)
        for viewer in slow:
            self.cut += 1
            self.remove(viewer)
            viewer.cut_off()


def rtp_packets(payloads: Sequence[bytes], sequence: int, timestamp: int, ssrc: int) -> list[bytes]:
    """RTP packets (RFC 3550, 5.1) of one picture from `sequence` on; the last one carries the marker."""
    packets = []
    for i, payload in enumerate(payloads):
        kind = PAYLOAD_TYPE | (0x80 if i == len(payloads) - 1 else 0)
        packets.append(struct.pack(">BBHII", 0x80, kind, (sequence + i) & 0xFFFF, timestamp, ssrc) + payload)
    return packets


def sender_report(ssrc: int, wall: Instant, rtp_time: int, packets: int, octets: int) -> bytes:
    """RTCP SR and SDES (RFC 3550, 6.4.1 and 6.5): `wall` and `rtp_time` (32 bits) are the same moment."""
    whole, rest = divmod(wall, SECOND)
    ntp = ((whole + _NTP_EPOCH_S) & _U32, (rest << 32) // SECOND)
    report = struct.pack(">BBHIIIIII", 0x80, 200, 6, ssrc, *ntp, rtp_time, packets & _U32, octets & _U32)
    name = b"\x01" + bytes([len(b"gridwhistle-sim")]) + b"gridwhistle-sim"
    chunk = struct.pack(">I", ssrc) + name + b"\x00"
    chunk += b"\x00" * (-len(chunk) % 4)
    return report + struct.pack(">BBH", 0x81, 202, len(chunk) // 4) + chunk


def interleave(channel: int, packet: bytes) -> bytes:
    """RTP or RTCP in an RTSP connection (RFC 2326, 10.12)."""
    return struct.pack(">BBH", 0x24, channel, len(packet)) + packet


def hash_of(name: str) -> int:
    """80 bits that follow from the name alone (FNV-1a), for SSRC, first sequence number and timestamp offset."""
    value = 0x6C62272E07BB014262B821756295C58D
    for byte in name.encode():
        value = ((value ^ byte) * 0x0000000001000000000000000000013B) & ((1 << 128) - 1)
    return value >> 48
