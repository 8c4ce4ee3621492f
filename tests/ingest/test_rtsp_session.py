from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from contracts.errors import (
    ConfigError,
    GridwhistleError,
    ProtocolViolation,
    SourceMissing,
    SourceRefused,
    SourceUnreachable,
)
from contracts.instant import SECOND
from ingest.rtsp.connect import connect
from ingest.rtsp.credentials import Credentials
from ingest.rtsp.depacketize_h264 import H264Depacketizer
from ingest.rtsp.message import RtspReply, RtspRequest, parse_url
from ingest.rtsp.pool import ReceivePool
from ingest.rtsp.receive import Connection
from ingest.rtsp.received import ReceivedPicture, StreamInfo
from ingest.rtsp.session import RtspSession, SessionLimits
from runtime.clock import SystemClock
from tests.ingest.h264_clip import clip, fragments, interleaved, rtp, stream
from tests.ingest.rtsp_server import MD5, SHA256, Script, ScriptedServer, clip_media, clip_sdp


class Watcher:
    """Takes what a session gives."""

    def __init__(self) -> None:
        self.pictures: list[ReceivedPicture] = []
        self.infos: list[StreamInfo] = []
        self.changed = asyncio.Event()

    def playing(self, info: StreamInfo) -> None:
        self.infos.append(info)
        self.changed.set()

    def picture(self, picture: ReceivedPicture) -> None:
        self.pictures.append(picture)
        self.changed.set()

    async def until_pictures(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.pictures) < count:
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def receiving() -> AsyncIterator[ReceivePool]:
    pool = ReceivePool(SystemClock(), sweep_s=0.02)
    sweep = asyncio.create_task(pool.sweep_forever())
    yield pool
    sweep.cancel()
    with suppress(asyncio.CancelledError):
        await sweep
    assert len(pool) == 0, "every connection is given back"


def session(
    pool: ReceivePool,
    url: str,
    watcher: Watcher,
    *,
    password: str | None = None,
    stall_s: float = 10.0,
    reply_s: float = 5.0,
) -> RtspSession:
    return RtspSession(
        url,
        source_id="cam-1",
        clock=SystemClock(),
        pool=pool,
        receiver=watcher,
        credentials=Credentials("admin", password) if password is not None else None,
        limits=SessionLimits(connect_s=2.0, reply_s=reply_s, stall_s=stall_s),
    )


async def failure(script: Script, *, password: str | None = None, stall_s: float = 10.0) -> GridwhistleError:
    async with receiving() as pool, ScriptedServer(script) as server:
        with pytest.raises(GridwhistleError) as caught:
            await session(pool, server.url, Watcher(), password=password, stall_s=stall_s, reply_s=0.3).run_once()
        return caught.value


async def test_played_clip_gives_its_key_pictures_and_a_teardown_when_stopped() -> None:
    async with receiving() as pool, ScriptedServer(Script(media=clip_media(times=2))) as server:
        watcher = Watcher()
        playing = session(pool, server.url, watcher)
        task = asyncio.create_task(playing.run_once())
        await watcher.until_pictures(6)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.until(lambda: "TEARDOWN" in server.methods())
        assert server.methods() == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY", "TEARDOWN"]
        assert server.requests[2][1] == server.url + "/trackID=1", "the video track, not the audio track"
        assert all(headers["Session"] == "abc123" for _, _, headers in server.requests[3:])
        assert watcher.infos[0].server == "scripted/1.0"
        assert [picture.discontinuity for picture in watcher.pictures] == [True] + [False] * 5
        assert watcher.pictures[1].dropped_pictures == 9
        assert watcher.pictures[1].dropped_bytes > 0
        for earlier, later in zip(watcher.pictures, watcher.pictures[1:], strict=False):
            assert earlier.event_time <= later.event_time <= later.arrival_time
        assert playing.statistics().key_pictures == 6
        assert playing.statistics().packets_lost == 0


@pytest.mark.parametrize("channels", ["0-1", "4-5", "2-3"])
async def test_server_chooses_other_channels(channels: str) -> None:
    media = clip_media(channel=int(channels[0]))
    async with receiving() as pool, ScriptedServer(Script(media=media, channels=channels)) as server:
        watcher = Watcher()
        task = asyncio.create_task(session(pool, server.url, watcher).run_once())
        await watcher.until_pictures(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    ("scheme", "algorithm", "qop"),
    [("basic", MD5, True), ("digest", MD5, True), ("digest", MD5, False), ("digest", SHA256, True)],
)
async def test_right_password_plays_and_wrong_password_is_refused(scheme: str, algorithm: str, qop: bool) -> None:
    def script() -> Script:
        return Script(media=clip_media(), password="right", scheme=scheme, algorithm=algorithm, qop=qop)

    async with receiving() as pool, ScriptedServer(script()) as server:
        watcher = Watcher()
        task = asyncio.create_task(session(pool, server.url, watcher, password="right").run_once())
        await watcher.until_pictures(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert server.methods()[-1] == "TEARDOWN"
    wrong = await failure(script(), password="wrong")
    assert isinstance(wrong, SourceRefused)
    assert "wrong" not in str(wrong), "no password in a message"
    none = await failure(script())
    assert isinstance(none, SourceRefused)
    assert "credentials" in str(none)


async def test_nonce_that_grew_old_is_renewed_in_mid_session() -> None:
    script = Script(media=clip_media(), password="right", scheme="digest", session_header="k;timeout=1")
    async with receiving() as pool, ScriptedServer(script) as server:
        watcher = Watcher()
        task = asyncio.create_task(session(pool, server.url, watcher, password="right").run_once())
        await watcher.until_pictures(3)
        script.nonces[0] = "n1"
        await server.until(
            lambda: any(m == "GET_PARAMETER" and '"n1"' in h["Authorization"] for m, _, h in server.requests)
        )
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    ("script", "kind", "reason"),
    [
        (Script(greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n"), ProtocolViolation, "garbage"),
        (Script(greeting=b"\x00\x01\x02\x03\xff\xfe" * 50), ProtocolViolation, "garbage"),
        (Script(greeting=b"SSH-2.0-OpenSSH_9.2\r\n"), ProtocolViolation, "garbage"),
        (Script(greeting=b"RTSP/1.0 " + b"x" * 70_000), ProtocolViolation, "message_too_large"),
        (
            Script(greeting=b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 99999999\r\n\r\n"),
            ProtocolViolation,
            "message_too_large",
        ),
        (Script(silent_after="DESCRIBE"), SourceUnreachable, "stall"),
        (Script(status={"DESCRIBE": 404}), SourceMissing, "not_found"),
        (Script(status={"OPTIONS": 404, "DESCRIBE": 404}), SourceMissing, "not_found"),
        (Script(status={"PLAY": 403}), SourceRefused, "refused_credentials"),
        (Script(status={"SETUP": 461}), ProtocolViolation, "transport_refused"),
        (Script(status={"SETUP": 453}), SourceUnreachable, "status_453"),
        (Script(sdp="hello"), ProtocolViolation, "sdp"),
        (Script(sdp="v=0\r\nm=audio 0 RTP/AVP 8\r\n"), ProtocolViolation, "no_video"),
        (Script(sdp=clip_sdp(codec="MP4V-ES")), ProtocolViolation, "unsupported_codec"),
        (Script(media=clip_media(), close_after_media=True), SourceUnreachable, "closed"),
        (Script(media=clip_media() + b"GARBAGE\x00\x01\x02" * 9000), ProtocolViolation, "garbage"),
        (Script(media=clip_media() + b"GARBAGE\x00\x01\x02" * 9), ProtocolViolation, "garbage"),
        (Script(status={"DESCRIBE": 302}, extra={"Location": "http://x/"}), ProtocolViolation, "redirect"),
    ],
)
async def test_bad_server_is_refused_with_a_reason(
    script: Script, kind: type[GridwhistleError], reason: str
) -> None:
    error = await failure(script)
    assert type(error) is kind
    assert error.reason == reason


async def test_stalled_stream_ends_with_a_reason_and_a_teardown() -> None:
    async with receiving() as pool, ScriptedServer(Script(media=clip_media())) as server:
        watcher = Watcher()
        with pytest.raises(SourceUnreachable) as caught:
            await session(pool, server.url, watcher, stall_s=0.1).run_once()
        assert caught.value.reason == "stall"
        assert len(watcher.pictures) == 3
        await server.until(lambda: "TEARDOWN" in server.methods())


async def test_nobody_listens_then_unreachable() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    async with receiving() as pool:
        with pytest.raises(SourceUnreachable) as caught:
            await session(pool, f"rtsp://127.0.0.1:{port}/x", Watcher()).run_once()
    assert caught.value.reason == "unreachable"


async def test_redirect_is_followed_without_the_credentials() -> None:
    async with (
        receiving() as pool,
        ScriptedServer(Script(media=clip_media())) as target,
        ScriptedServer(Script(status={"DESCRIBE": 302}, extra={"Location": target.url})) as first,
    ):
        watcher = Watcher()
        task = asyncio.create_task(session(pool, first.url, watcher, password="secret").run_once())
        await watcher.until_pictures(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert all("Authorization" not in headers for _, _, headers in target.requests)


async def test_redirects_in_a_circle_end() -> None:
    script = Script(status={"DESCRIBE": 301})
    async with receiving() as pool, ScriptedServer(script) as server:
        script.extra["Location"] = server.url
        with pytest.raises(ProtocolViolation) as caught:
            await session(pool, server.url, Watcher()).run_once()
        assert caught.value.reason == "redirect_loop"
        assert server.connections == 4


@pytest.mark.parametrize(
    ("public", "method"), [("OPTIONS, PLAY, GET_PARAMETER", "GET_PARAMETER"), ("OPTIONS, PLAY", "OPTIONS")]
)
async def test_keep_alive_goes_out_before_the_session_times_out(public: str, method: str) -> None:
    script = Script(media=clip_media(), session_header="k;timeout=1", public=public)
    async with receiving() as pool, ScriptedServer(script) as server:
        task = asyncio.create_task(session(pool, server.url, Watcher()).run_once())
        await server.until(lambda: server.methods()[4:5] == [method])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def sender_report(wall_ns: int, rtp_time: int) -> bytes:
    seconds, rest = divmod(wall_ns, SECOND)
    return struct.pack(
        "!BBHIIIIII", 0x80, 200, 6, 0x1234ABCD, seconds + 2_208_988_800, (rest << 32) // SECOND, rtp_time, 9, 9
    )


async def test_sender_report_gives_the_clock_offset_and_is_answered() -> None:
    camera_ahead_ns = 90 * SECOND
    report = sender_report(SystemClock().now() + camera_ahead_ns, 9000)
    media = interleaved(report, 1) + clip_media()
    async with receiving() as pool, ScriptedServer(Script(media=media)) as server:
        watcher = Watcher()
        task = asyncio.create_task(session(pool, server.url, watcher).run_once())
        await watcher.until_pictures(3)
        await server.until(lambda: bool(server.binary))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    offset = watcher.pictures[0].clock_offset_ns
    assert offset is not None
    assert 60 * SECOND < offset <= camera_ahead_ns
    version, kind, _, _, about = struct.unpack_from("!BBHII", server.binary[0])
    assert (version, kind, about) == (0x81, 201, 0x1234ABCD)
    for picture in watcher.pictures:
        assert picture.event_time <= picture.arrival_time, "the camera's clock is news, never event time"


async def test_request_of_the_server_is_answered() -> None:
    asked = b"OPTIONS rtsp://us RTSP/1.0\r\nCSeq: 7\r\n\r\nANNOUNCE rtsp://us RTSP/1.0\r\nCSeq: 8\r\n\r\n"
    async with receiving() as pool, ScriptedServer(Script(media=asked + clip_media())) as server:
        watcher = Watcher()
        task = asyncio.create_task(session(pool, server.url, watcher).run_once())
        await watcher.until_pictures(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("rtsp://admin:pw@host/1", "password_in_url"),
        ("rtsp://admin@host/1", "password_in_url"),
        ("http://host/1", "url"),
        ("rtsp:///1", "url"),
        ("rtsp://host:99999/1", "url"),
        ("rtsp://host/a b", "url"),
        ("rtsp://host/\r\nX: y", "url"),
    ],
)
def test_unusable_url_is_refused(url: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(url)
    assert caught.value.reason == reason
    assert "pw" not in str(caught.value)


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
        connection = Connection(pool, opened, lambda _message: None, lambda *_: None)
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
