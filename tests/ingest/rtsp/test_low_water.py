"""What the low-water mark may cost, in simulated time: nothing where it matters, one sweep at most elsewhere.

The kernel's wake-ups are real (a TCP connection, SO_RCVLOWAT); the sweep waits on a clock that the test moves. So
a byte that is seen before the clock moves was seen by the kernel's own wake-up.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from contracts.instant import SECOND
from ingest.rtsp.depacketize_h264 import H264Depacketizer
from ingest.rtsp.message import RtspReply, RtspRequest
from ingest.rtsp.pool import ReceivePool
from ingest.rtsp.receive import Connection
from tests.ingest.h264_clip import clip, fragments, interleaved, rtp
from tests.ingest.rtsp.capture import HandClock

SWEEP_S = 0.25
PICTURE_S = 0.04
TICK_S = 0.005
LATE_S = SWEEP_S * 1.5 + SWEEP_S / 16 + TICK_S
"""One sweep, half of one more for the socket's turn, and the steps of the sweep and of the test's clock."""


class Camera:
    """A camera's end of one connection, and what came out at ours with the times of both."""

    def __init__(self, writer: asyncio.StreamWriter, connection: Connection, clock: HandClock) -> None:
        self.clock = clock
        self.connection = connection
        self.keys: list[int] = []
        """Arrival of each key picture, ns."""
        self.sizes: list[int] = []
        self.pictures = 0
        self.messages: list[RtspReply | RtspRequest] = []
        self.rtcp: list[bytes] = []
        self.reads = 0
        self._writer = writer
        self._sequence = 0
        self._number = 0
        self.depacketizer = H264Depacketizer(self._picture)
        for nal in clip(10)[0][0]:
            self.depacketizer.add_parameter_set(nal)
        connection.rtp_channel = 0
        connection.depacketizer = self.depacketizer
        connection.on_message = self.messages.append
        connection.on_rtcp = lambda data, start, end: self.rtcp.append(bytes(data[start:end]))

    def _picture(self, data: bytes, _timestamp: int, _late: bool, key: bool) -> None:
        self.pictures += 1
        if key:
            self.sizes.append(len(data))
            self.connection.key_picture(len(data))
            self.keys.append(self.clock.monotonic_ns())

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def send(self, size: int, *, key: bool) -> int:
        """One picture of `size` bytes, now. Returns the time."""
        nal = (b"\x65\x88" if key else b"\x41\x9a") + bytes([7]) * (size - 2)
        pieces = list(fragments(nal, 1400)) if size > 1400 else [nal]
        for piece in pieces:
            packet = rtp(piece, self._sequence, self._number * 3_600, piece is pieces[-1])
            self.write(interleaved(packet))
            self._sequence += 1
        self._number += 1
        return self.clock.monotonic_ns()

    async def settle(self) -> None:
        """Let the loop do whatever the kernel wakes it for; the clock stands."""
        for _ in range(12):
            before = self.connection.bytes_received
            await asyncio.sleep(0)  # noqa: TID251 - one turn of the loop
            self.reads += self.connection.bytes_received != before

    async def wait(self, seconds: float) -> None:
        """Time goes by, sweeps and all."""
        for _ in range(round(seconds / TICK_S)):
            self.clock.tick(TICK_S)
            await self.settle()

    def half(self) -> int:
        """Half of the smallest key picture of late."""
        return min(self.sizes[-8:]) // 2

    def mark(self) -> int:
        return self.connection._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)


@asynccontextmanager
async def camera(*, sweeping: bool = True) -> AsyncIterator[Camera]:
    clock = HandClock()
    pool = ReceivePool(clock, sweep_s=SWEEP_S)
    loop = asyncio.get_running_loop()
    theirs: asyncio.Future[asyncio.StreamWriter] = loop.create_future()
    server = await asyncio.start_server(lambda _reader, writer: theirs.set_result(writer), "127.0.0.1", 0)
    ours = socket.create_connection(server.sockets[0].getsockname())
    ours.setblocking(False)
    writer = await theirs
    connection = Connection(pool, ours, lambda _message: None, lambda *_: None)
    sweep = asyncio.create_task(pool.sweep_forever()) if sweeping else None
    try:
        yield Camera(writer, connection, clock)
    finally:
        if sweep is not None:
            sweep.cancel()
            await asyncio.gather(sweep, return_exceptions=True)
        connection.close()
        writer.close()
        server.close()
        await server.wait_closed()


async def play(camera: Camera, pictures: list[int], *, gop: int) -> list[float]:
    """Send pictures of these sizes at 25 a second, the first of each group a key picture.

    Returns for each key picture the seconds from its last byte to its arrival.
    """
    sent, before = [], len(camera.keys)
    for number, size in enumerate(pictures):
        at = camera.send(size, key=number % gop == 0)
        if number % gop == 0:
            sent.append(at)
        await camera.settle()
        await camera.wait(PICTURE_S)
    await camera.wait(LATE_S)
    arrivals = camera.keys[before:]
    assert len(arrivals) == len(sent)
    return [(arrival - at) / SECOND for arrival, at in zip(arrivals, sent, strict=True)]


def night(gop: int, groups: int) -> list[int]:
    """A quiet camera: key pictures of 12 kB, 50 to 300 bytes in between."""
    return [12_000 if number % gop == 0 else 50 + number * 37 % 250 for number in range(gop * groups)]


async def test_quiet_night_stream_is_handed_over_within_a_sweep_and_read_a_few_times_a_second() -> None:
    async with camera() as quiet:
        await play(quiet, night(10, 2), gop=10)
        assert quiet.mark() == quiet.half() > 6_000
        before = quiet.reads
        late = await play(quiet, night(50, 6), gop=50)
        assert max(late) <= LATE_S
        seconds = 50 * 6 * PICTURE_S
        assert (quiet.reads - before) / seconds < 5, "not at each of 25 pictures a second"


async def test_key_picture_of_a_quiet_stream_is_seen_by_the_kernel_once_it_is_over_the_mark() -> None:
    async with camera(sweeping=False) as quiet:
        await play(quiet, night(10, 3), gop=10)
        assert quiet.mark() == quiet.half()
        for _ in range(5):
            before = len(quiet.keys)
            for _ in range(9):
                quiet.send(80, key=False)
            quiet.send(12_000, key=True)
            await quiet.settle()
            assert len(quiet.keys) == before + 1, "no sweep was needed"


async def test_key_pictures_of_very_different_sizes_are_handed_over_within_a_sweep() -> None:
    sizes = [12_000, 12_000, 40_000, 3_000, 30_000, 400, 12_000, 60, 40_000, 12_000, 900, 60_000, 2_000]
    async with camera() as mixed:
        pictures = [size if place == 0 else 40 + size // 12 for size in sizes for place in range(12)]
        late = await play(mixed, pictures, gop=12)
        assert max(late) <= LATE_S


async def test_rest_of_a_key_picture_never_waits_whatever_its_size() -> None:
    async with camera(sweeping=False) as slow:
        await play(slow, night(5, 3), gop=5)
        assert slow.mark() > 1
        nal = b"\x65\x88" + bytes(9_000)
        pieces = list(fragments(nal, 1_000))
        timestamp = 7_000_000
        for number, piece in enumerate(pieces[:-1]):
            slow.write(interleaved(rtp(piece, slow._sequence + number, timestamp, False)))
        await slow.settle()
        assert slow.mark() == 1, "a key picture is incomplete"
        before = len(slow.keys)
        last = interleaved(rtp(pieces[-1], slow._sequence + len(pieces) - 1, timestamp, True))
        for byte in last:
            slow.write(bytes((byte,)))
            await slow.settle()
        assert len(slow.keys) == before + 1


async def test_answer_to_a_keep_alive_is_read_at_once_on_the_quietest_stream() -> None:
    async with camera(sweeping=False) as quiet:
        await play(quiet, night(10, 3), gop=10)
        for number in range(3):
            assert quiet.mark() == quiet.half()
            quiet.connection.send(b"GET_PARAMETER rtsp://x RTSP/1.0\r\nCSeq: 9\r\n\r\n", reply_due=True)
            assert quiet.mark() == 1
            quiet.write(b"RTSP/1.0 200 OK\r\nCSeq: 9\r\n\r\n")
            await quiet.settle()
            assert len(quiet.messages) == number + 1
            assert quiet.mark() == quiet.half(), "and the mark is back"


@pytest.mark.parametrize("rtcp", [True, False])
async def test_word_of_the_server_is_heard_within_a_sweep(rtcp: bool) -> None:
    async with camera() as quiet:
        await play(quiet, night(10, 3), gop=10)
        if rtcp:
            quiet.write(interleaved(struct.pack("!BBHI", 0x81, 203, 1, 9), 1))
        else:
            quiet.write(b"TEARDOWN rtsp://x RTSP/1.0\r\nCSeq: 1\r\n\r\n")
        await quiet.settle()
        assert (quiet.rtcp, quiet.messages) == ([], []), "below the mark"
        await quiet.wait(LATE_S)
        assert len(quiet.rtcp) + len(quiet.messages) == 1


async def test_pictures_of_a_promoted_camera_do_not_wait_for_a_sweep() -> None:
    async with camera(sweeping=False) as promoted:
        await play(promoted, night(10, 3), gop=10)
        promoted.depacketizer.collect(True)
        promoted.connection.eager = True
        promoted.send(12_000, key=True)
        await promoted.settle()
        assert promoted.mark() == 1
        for _ in range(20):
            before = promoted.pictures
            promoted.send(60, key=False)
            await promoted.settle()
            assert promoted.pictures == before + 1


async def test_first_key_pictures_are_handed_over_without_a_sweep() -> None:
    async with camera(sweeping=False) as new:
        for number in range(2):
            new.send(12_000, key=True)
            await new.settle()
            assert len(new.keys) == number + 1


async def test_key_picture_in_one_large_packet_of_which_half_is_there_waits_for_no_sweep() -> None:
    """A server that does not fragment over TCP: what is there of the packet must not hide the rest."""
    async with camera(sweeping=False) as made:
        for _ in range(8):
            made.send(12_000, key=True)
            await made.settle()
        assert made.mark() == made.half() > 1_000
        whole = interleaved(rtp(b"\x65\x88" + bytes([7]) * 12_000, made._sequence, 90_000, True))
        made.write(whole[:7_000])
        await made.settle()
        assert made.mark() == 1
        made.write(whole[7_000:])
        await made.settle()
        assert len(made.keys) == 9, "by the kernel's own wake-up"
