"""The RTSP server over real sockets: PyAV (FFmpeg) as the client, and a bare socket where bytes matter."""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import av
import numpy as np
import pytest

from runtime.clock import SystemClock
from sim.encode import Encoder
from sim.rtp_stream import EncodedPicture, LiveStream
from sim.rtsp_server import Mount, RtspServer

CLOCK = SystemClock()


@asynccontextmanager
async def serving(
    *, users: dict[str, str] | None = None, backlog_max: int = 1 << 20, session_timeout_s: float = 60.0
) -> AsyncIterator[tuple[RtspServer, LiveStream]]:
    """A server with one stream `/live/1` whose pictures are noise around a grey that grows with the picture."""
    stream = LiveStream("1", CLOCK, backlog_max=backlog_max)
    server = RtspServer(
        "127.0.0.1", 0, CLOCK, {"/live/1": Mount(stream, users or {})}, session_timeout_s=session_timeout_s
    )
    await server.start()
    feeding = asyncio.create_task(feed(stream))
    try:
        yield server, stream
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        await server.close()


async def feed(stream: LiveStream, *, period_s: float = 0.02) -> None:
    encoder = Encoder(320, 240, 25.0, 0.4)
    noise = np.random.default_rng(1).integers(0, 90, (240, 320, 3), dtype=np.uint8)
    begun = CLOCK.monotonic_ns()
    for number in range(100_000):
        made = encoder.encode(noise + np.uint8(number % 100), number * 0.04)
        assert made is not None
        stream.publish(EncodedPicture(made[0], made[1], begun + number * 40_000_000))
        await CLOCK.asleep(period_s)


def watch(url: str, wanted: int) -> list[tuple[int, int, int]]:
    """(pts, width, mean grey) of the first pictures that FFmpeg decodes."""
    seen = []
    with av.open(url, options={"rtsp_transport": "tcp", "stimeout": "5000000"}, timeout=10) as container:
        for frame in container.decode(video=0):
            seen.append((frame.pts or 0, frame.width, int(frame.to_ndarray(format="gray").mean())))
            if len(seen) == wanted:
                break
    return seen


async def talk(port: int, *requests: str) -> list[bytes]:
    """Answers (head and body) to requests sent one after the other on one connection; RTP is left out."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = []
    for request in requests:
        writer.write(request.replace("\n", "\r\n").encode())
        answers.append(await read_answer(reader))
    writer.close()
    await writer.wait_closed()
    return answers


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    while True:
        first = await asyncio.wait_for(reader.readexactly(1), 10)
        if first == b"$":
            _, high, low = await reader.readexactly(3)
            await reader.readexactly(high * 256 + low)
            continue
        head = first + await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        length = re.search(rb"Content-Length: (\d+)", head)
        return head + (await reader.readexactly(int(length[1])) if length else b"")


async def test_ffmpeg_plays_a_stream_and_gets_pictures_in_order() -> None:
    async with serving() as (server, _stream):
        seen = await asyncio.to_thread(watch, f"rtsp://127.0.0.1:{server.port}/live/1", 30)
        assert [width for _, width, _ in seen] == [320] * 30
        stamps = [pts for pts, _, _ in seen]
        assert stamps == sorted(set(stamps))
        assert all(b - a == 3600 for a, b in itertools.pairwise(stamps))
        greys = [grey for _, _, grey in seen]
        assert greys[-1] - greys[0] in range(20, 40) or greys[-1] < greys[0]


async def test_two_viewers_get_the_same_pictures_from_one_encoder() -> None:
    async with serving() as (server, _stream):
        url = f"rtsp://127.0.0.1:{server.port}/live/1"
        one, two = await asyncio.gather(asyncio.to_thread(watch, url, 40), asyncio.to_thread(watch, url, 40))
        assert len(one) == len(two) == 40


async def test_a_viewer_that_leaves_is_forgotten() -> None:
    async with serving() as (server, stream):
        await asyncio.to_thread(watch, f"rtsp://127.0.0.1:{server.port}/live/1", 2)
        while stream.viewers or server.connections:
            await CLOCK.asleep(0.01)


async def test_right_password_plays_and_a_wrong_one_is_refused() -> None:
    async with serving(users={"gw": "盟 secret"}) as (server, _):
        good = f"rtsp://gw:%E7%9B%9F%20secret@127.0.0.1:{server.port}/live/1"
        assert len(await asyncio.to_thread(watch, good, 2)) == 2
        with pytest.raises(av.FFmpegError, match="401"):
            await asyncio.to_thread(watch, f"rtsp://gw:wrong@127.0.0.1:{server.port}/live/1", 1)


async def test_an_unknown_path_is_answered_with_404() -> None:
    async with serving() as (server, _):
        with pytest.raises(av.FFmpegError, match="404"):
            await asyncio.to_thread(watch, f"rtsp://127.0.0.1:{server.port}/live/2", 1)


async def test_udp_is_refused_with_461_so_that_clients_ask_for_tcp() -> None:
    async with serving() as (server, _):
        url = f"rtsp://127.0.0.1:{server.port}/live/1"
        setup = f"SETUP {url}/trackID=0 RTSP/1.0\nCSeq: 1\nTransport: RTP/AVP;unicast;client_port=5000-5001\n\n"
        [answer] = await talk(server.port, setup)
        assert answer.startswith(b"RTSP/1.0 461 ")


async def test_teardown_ends_the_session_and_the_connection() -> None:
    async with serving() as (server, stream):
        url = f"rtsp://127.0.0.1:{server.port}/live/1"
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            f"SETUP {url}/trackID=0 RTSP/1.0\r\nCSeq: 1\r\n"
            "Transport: RTP/AVP/TCP;unicast;interleaved=4-5\r\n\r\n".encode()
        )
        answer = await read_answer(reader)
        assert b"interleaved=4-5" in answer
        session = re.search(rb"Session: (\w+)", answer)
        assert session is not None
        name = session[1].decode()
        writer.write(f"PLAY {url} RTSP/1.0\r\nCSeq: 2\r\nSession: {name}\r\n\r\n".encode())
        assert (await read_answer(reader)).startswith(b"RTSP/1.0 200 ")
        assert (await reader.readexactly(2)) == b"$\x04"
        assert stream.viewers == 1
        length = int.from_bytes(await reader.readexactly(2), "big")
        await reader.readexactly(length)
        writer.write(f"TEARDOWN {url} RTSP/1.0\r\nCSeq: 3\r\nSession: {name}\r\n\r\n".encode())
        assert (await read_answer(reader)).startswith(b"RTSP/1.0 200 ")
        assert await reader.read() == b""
        assert stream.viewers == 0
        writer.close()


async def test_play_without_the_right_session_is_answered_with_454() -> None:
    async with serving() as (server, stream):
        url = f"rtsp://127.0.0.1:{server.port}/live/1"
        [answer] = await talk(server.port, f"PLAY {url} RTSP/1.0\nCSeq: 9\nSession: 123\n\n")
        assert answer.startswith(b"RTSP/1.0 454 ")
        assert b"CSeq: 9\r\n" in answer
        assert stream.viewers == 0


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x00\xa5" + b"\r\n\r\n",
        b"x" * 20_000,
        b"A rtsp://h RTSP/1.0\r\nb\r\n\r\n",
    ],
)
async def test_garbage_instead_of_rtsp_is_answered_with_400_and_an_end(garbage: bytes) -> None:
    async with serving() as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(garbage)
        assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"RTSP/1.0 400 ")
        assert server.refused == 1
        writer.close()


async def test_a_viewer_that_does_not_read_is_cut_off_and_the_other_sees_everything() -> None:
    async with serving(backlog_max=64 * 1024) as (server, stream):
        url = f"rtsp://127.0.0.1:{server.port}/live/1"
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", server.port))
        reader, writer = await asyncio.open_connection(sock=slow, limit=1024)
        writer.write(f"SETUP {url} RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n".encode())
        session = re.search(rb"Session: (\w+)", await read_answer(reader))
        assert session is not None
        writer.write(f"PLAY {url} RTSP/1.0\r\nCSeq: 2\r\nSession: {session[1].decode()}\r\n\r\n".encode())
        other = asyncio.create_task(asyncio.to_thread(watch, url, 150))
        while not stream.cut:
            await CLOCK.asleep(0.02)
        assert stream.cut == 1
        stamps = [pts for pts, _, _ in await other]
        assert all(b - a == 3600 for a, b in itertools.pairwise(stamps))
        writer.close()


async def test_a_silent_client_loses_its_session() -> None:
    async with serving(session_timeout_s=0.2) as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


async def test_sender_reports_tie_the_stream_to_the_wall_clock() -> None:
    async with serving() as (server, stream):
        url = f"rtsp://127.0.0.1:{server.port}/live/1"
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(f"SETUP {url} RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n".encode())
        session = re.search(rb"Session: (\w+)", await read_answer(reader))
        assert session is not None
        writer.write(f"PLAY {url} RTSP/1.0\r\nCSeq: 2\r\nSession: {session[1].decode()}\r\n\r\n".encode())
        await read_answer(reader)
        while True:
            _, channel, high, low = await asyncio.wait_for(reader.readexactly(4), 10)
            packet = await reader.readexactly(high * 256 + low)
            if channel == 1:
                break
        assert packet[1] == 200
        assert int.from_bytes(packet[4:8], "big") == stream.ssrc
        unix_s = int.from_bytes(packet[8:12], "big") - 2_208_988_800
        assert abs(unix_s - CLOCK.now() / 1e9) < 120
        writer.close()
