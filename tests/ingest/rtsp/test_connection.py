"""A connection over a socket pair: the same comes out of it however its bytes are cut."""

from __future__ import annotations

import asyncio
import random
import resource
import socket
import threading

import pytest

from contracts.errors import GridwhistleError, ProtocolViolation, SourceUnreachable
from contracts.instant import SECOND
from ingest.names import RESOLVERS
from ingest.rtsp.connect import connect
from ingest.rtsp.depacketize_h264 import H264Depacketizer
from ingest.rtsp.message import RtspReply, RtspRequest
from ingest.rtsp.pool import ReceivePool
from ingest.rtsp.receive import Connection
from ingest.rtsp.udp import UdpPorts
from runtime.clock import SystemClock
from tests.ingest.h264_clip import clip, fragments, interleaved, rtp, stream
from tests.ingest.rtsp.session_pieces import receiving, sender_report


class Walked:
    """A connection over a socket pair, with all that came out of it."""

    def __init__(self, pool: ReceivePool) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.messages: list[RtspReply | RtspRequest] = []
        self.rtcp: list[bytes] = []
        self.pictures: list[bytes] = []
        self.connection = Connection(pool, self.ours, self.messages.append, self._rtcp)
        self.connection.rtp_channel = 0
        self.connection.depacketizer = H264Depacketizer(
            lambda data, _time, _late, _key: self.pictures.append(data)
        )

    def _rtcp(self, buffer: bytearray, start: int, end: int) -> None:
        self.rtcp.append(bytes(buffer[start:end]))

    def feed(self, *pieces: bytes) -> Walked:
        for piece in pieces:
            if piece:
                self.theirs.sendall(piece)
                self.connection.read()
        return self

    def close(self) -> tuple[object, ...]:
        depacketizer = self.connection.depacketizer
        assert depacketizer is not None
        self.connection.close()
        self.theirs.close()
        return (
            self.messages,
            self.rtcp,
            self.pictures,
            depacketizer.dropped_pictures,
            depacketizer.dropped_bytes,
            depacketizer.packets,
            depacketizer.packets_lost,
            self.connection.skipped_bytes,
        )


def captured_session() -> bytes:
    """Replies with and without body, two clips' packets, RTCP, audio, extension and padding, all in one flow."""
    units = clip(4, width=64, height=48, gop=2)
    packets = stream(units, seed=4, size=150)
    out = [b"RTSP/1.0 200 OK\r\nCSeq: 4\r\nSession: a\r\n\r\n"]
    for index, (payload, sequence, timestamp, marker) in enumerate(packets):
        packet = rtp(payload, sequence, timestamp, marker)
        if index % 5 == 1:
            packet = bytes((0x90,)) + packet[1:12] + b"\xbe\xde\x00\x01\x10\x00\x00\x00" + packet[12:]
        elif index % 5 == 2:
            packet = bytes((0xA0,)) + packet[1:] + b"\x00\x00\x03"
        out.append(interleaved(packet))
        if index % 7 == 3:
            out.append(interleaved(sender_report(1_800_000_000 * SECOND, timestamp), 1))
        if index % 9 == 4:
            out.append(interleaved(b"audio" * 5, 2))
        if index % 11 == 5:
            out.append(b"RTSP/1.0 200 OK\r\nCSeq: 9\r\nContent-Length: 7\r\n\r\n$\x00\x00\x01ab\n")
    return b"".join(out)


async def test_captured_session_split_at_every_offset_gives_the_same() -> None:
    data = captured_session()
    pool = ReceivePool(SystemClock())
    whole = Walked(pool).feed(data).close()
    assert len(whole[2]) == 2  # type: ignore[arg-type]
    assert whole[6] == 0
    for offset in range(1, len(data)):
        assert Walked(pool).feed(data[:offset], data[offset:]).close() == whole, offset


async def test_captured_session_in_single_bytes_and_random_pieces_gives_the_same() -> None:
    data = captured_session()
    pool = ReceivePool(SystemClock())
    whole = Walked(pool).feed(data).close()
    assert Walked(pool).feed(*(data[i : i + 1] for i in range(len(data)))).close() == whole
    for seed in range(20):
        rng = random.Random(seed)
        cuts = sorted(rng.sample(range(len(data)), 40))
        pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        assert Walked(pool).feed(*pieces).close() == whole


async def test_mutated_sessions_end_with_a_reason_or_not_at_all() -> None:
    data = captured_session()
    pool = ReceivePool(SystemClock())
    for seed in range(300):
        rng = random.Random(seed)
        raw = bytearray(data)
        for _ in range(rng.randint(1, 8)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        walked = Walked(pool)
        for at in range(0, len(raw), 700):
            walked.theirs.sendall(raw[at : at + 700])
            walked.connection.read()
        if walked.connection.ended.done():
            error = walked.connection.ended.exception()
            assert isinstance(error, ProtocolViolation)
        walked.close()


async def test_low_water_mark_follows_the_smallest_key_picture_and_falls_while_one_is_incomplete() -> None:
    pool = ReceivePool(SystemClock(), low_water_bytes_max=16_384)
    walked = Walked(pool)

    def mark() -> int:
        return walked.ours.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)

    try:
        assert mark() == 1
        walked.connection.key_picture(9_000)
        walked.connection.key_picture(3_000)
        packets = [interleaved(rtp(p, s, t, m)) for p, s, t, m in stream(clip(30), size=200)]
        whole = b"".join(packets)
        walked.feed(whole)
        assert mark() == 1_500
        walked.feed(interleaved(rtp(b"\x7c\x85\x88aaaa", 1, 77, False)))
        assert mark() == 1, "a key picture is incomplete"
    finally:
        walked.close()


async def test_no_key_picture_waits_below_the_low_water_mark() -> None:
    """Each picture is sent only after the one before came out: none may hang on bytes that are still to come."""
    arrived: asyncio.Queue[int] = asyncio.Queue(100)
    async with receiving() as pool:
        theirs: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
        server = await asyncio.start_server(lambda _reader, writer: theirs.set_result(writer), "127.0.0.1", 0)
        opened = await connect("127.0.0.1", server.sockets[0].getsockname()[1], 5.0)
        writer = await theirs
        connection = Connection(pool, opened.socket, lambda _message: None, lambda *_: None)
        connection.rtp_channel = 0

        def taken(data: bytes, _timestamp: int, _late: bool, _key: bool) -> None:
            connection.key_picture(len(data))
            arrived.put_nowait(len(data))

        connection.depacketizer = depacketizer = H264Depacketizer(taken)
        for nal in clip(10)[0][0]:
            depacketizer.add_parameter_set(nal)
        sequence = 0
        for number, size in enumerate([12_000, 12_000, 40_000, 3_000, 30_000, 400, 12_000, 60, 40_000, 12_000]):
            quiet = b"\x41\x9a" + bytes(250)
            parts = [(quiet, number * 9000, True), (quiet, number * 9000 + 3600, True)]
            pieces = list(fragments(b"\x65\x88" + bytes([7]) * size, 1400))
            parts += [(each, number * 9000 + 7200, each is pieces[-1]) for each in pieces]
            for payload, timestamp, marker in parts:
                writer.write(interleaved(rtp(payload, sequence, timestamp, marker)))
                sequence += 1
            await writer.drain()
            assert await asyncio.wait_for(arrived.get(), 10) > size
        assert depacketizer.packets_lost == 0
        connection.close()
        writer.close()
        server.close()
        await server.wait_closed()


async def test_bytes_between_packets_are_skipped_alike_however_the_stream_is_cut() -> None:
    packets = [
        interleaved(rtp(p, s, t, m)) for p, s, t, m in stream(clip(4, width=64, height=48, gop=2), size=150)
    ]
    data = b"".join((*packets[:3], b"\x00\x01$\x00junk\xff" * 3, *packets[3:]))
    pool = ReceivePool(SystemClock())
    walked = Walked(pool).feed(data)
    assert walked.connection.resyncs == 1
    whole = walked.close()
    assert len(whole[2]) == 2  # type: ignore[arg-type]
    assert whole[6] == 0
    for offset in range(1, len(data)):
        assert Walked(pool).feed(data[:offset], data[offset:]).close() == whole, offset


async def test_error_of_ours_in_one_session_ends_that_session_and_not_the_sweep() -> None:
    async with receiving() as pool:
        broken, silent, good = Walked(pool), Walked(pool), Walked(pool)

        def defect(*_: object) -> None:
            raise ValueError("a defect")

        broken.connection.on_message = defect
        silent.connection.check = defect
        broken.theirs.sendall(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n")
        for each in (broken, silent):
            with pytest.raises(GridwhistleError) as caught:
                await asyncio.wait_for(each.connection.ended, 5)
            assert caught.value.reason == "bug"
        checked = asyncio.Event()
        good.connection.check = lambda _now: checked.set()
        await asyncio.wait_for(checked.wait(), 5)
        assert not good.connection.ended.done()
        for each in (broken, silent, good):
            each.close()


async def test_answer_that_never_comes_lowers_the_mark_for_its_time_only() -> None:
    async with receiving() as pool:
        walked = Walked(pool)
        walked.connection.replies_due = 0
        walked.connection.send(b"GET_PARAMETER * RTSP/1.0\r\nCSeq: 1\r\n\r\n", reply_due=True)
        now_ns = pool.clock.monotonic_ns()
        walked.connection.expire_replies(now_ns + SECOND, 5.0)
        assert walked.connection.replies_due == 1
        walked.connection.expire_replies(now_ns + 6 * SECOND, 5.0)
        assert walked.connection.replies_due == 0
        walked.close()


async def test_addresses_connect_while_all_resolvers_are_silent_and_names_say_so() -> None:
    released = threading.Event()
    waiting = [RESOLVERS.submit(released.wait) for _ in range(16)]
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    try:
        opened = await connect("127.0.0.1", server.sockets[0].getsockname()[1], 5.0)
        assert (opened.local, opened.peer) == ("127.0.0.1", "127.0.0.1")
        opened.socket.close()
        with pytest.raises(SourceUnreachable, match="DNS"):
            await connect("camera.example", 554, 0.2)
    finally:
        released.set()
        server.close()
        await server.wait_closed()
        assert all(each.result(5) for each in waiting)


@pytest.mark.parametrize("host", ["cam..county", "x" * 70 + ".county"])
async def test_host_that_is_no_name_cannot_be_reached(host: str) -> None:
    with pytest.raises(SourceUnreachable, match=r"no valid host name|unknown name") as caught:
        await connect(host, 554, 5.0)
    assert caught.value.reason == "unreachable"


async def test_lack_of_open_files_is_told_as_ours() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(SourceUnreachable) as caught:
            await connect("127.0.0.1", 554, 5.0)
        with pytest.raises(SourceUnreachable) as over_udp:
            UdpPorts(32_200, 32_299).open("127.0.0.1")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (caught.value.reason, over_udp.value.reason) == ("no_file_descriptors", "no_file_descriptors")
