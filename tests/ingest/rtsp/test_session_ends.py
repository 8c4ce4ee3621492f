"""How sessions end and where they go on: BYE, TEARDOWN and REDIRECT of the server, redirects, and our TEARDOWN."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Callable

import pytest

from contracts.errors import GridwhistleError, ProtocolViolation, SourceUnreachable
from ingest.rtsp.session import RtspSession, SessionLimits
from runtime.clock import SystemClock
from tests.ingest.h264_clip import clip, interleaved, rtp, stream
from tests.ingest.rtsp.session_pieces import Watcher, receiving, session
from tests.ingest.rtsp_server import Script, ScriptedServer, clip_media, clip_sdp

OURS, OTHER = 0x1234ABCD, 0x0BADF00D


def goodbye(*sources: int) -> bytes:
    """A BYE (RFC 3550, 6.6) behind an empty receiver report, as compound packets want it."""
    body = b"".join(struct.pack("!I", each) for each in sources)
    return (
        struct.pack("!BBHI", 0x80, 201, 1, OTHER)
        + struct.pack("!BBH", 0x80 | len(sources), 203, len(sources))
        + body
    )


def request(method: str, *headers: str) -> bytes:
    return "\r\n".join((f"{method} rtsp://us/ RTSP/1.0", "CSeq: 71", *headers, "", "")).encode()


async def end_of(script: Script) -> tuple[GridwhistleError, Watcher, ScriptedServer]:
    async with receiving() as pool, ScriptedServer(script) as server:
        watcher = Watcher()
        with pytest.raises(GridwhistleError) as caught:
            await session(pool, server.url, watcher, stall_s=0.3, reply_s=1.0).run_once()
        return caught.value, watcher, server


async def test_bye_of_the_video_ends_the_session_with_its_reason_and_a_teardown() -> None:
    error, watcher, server = await end_of(Script(media=clip_media() + interleaved(goodbye(OTHER, OURS), 1)))
    assert (type(error), error.reason) == (SourceUnreachable, "rtcp_bye")
    assert len(watcher.pictures) == 3
    assert server.methods()[-1] == "TEARDOWN"


async def test_bye_of_another_source_does_not_end_the_session() -> None:
    media = interleaved(goodbye(OTHER), 1) + clip_media()
    error, watcher, _ = await end_of(Script(media=media))
    assert error.reason == "stall", "it went on until nothing came any more"
    assert len(watcher.pictures) == 3


async def test_server_that_tears_down_is_answered_and_named() -> None:
    error, watcher, server = await end_of(Script(media=clip_media() + request("TEARDOWN", "Session: abc123")))
    assert (type(error), error.reason) == (SourceUnreachable, "server_teardown")
    assert len(watcher.pictures) == 3
    assert [status for status, _ in server.replies] == ["200 OK"]


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (request("OPTIONS"), "200"),
        (request("GET_PARAMETER"), "200"),
        (request("SET_PARAMETER"), "200"),
        (request("ANNOUNCE"), "501"),
        (request("REDIRECT"), "501"),
    ],
)
async def test_request_of_the_server_is_answered_by_its_number(asked: bytes, answer: str) -> None:
    _, watcher, server = await end_of(Script(media=asked + clip_media()))
    assert len(watcher.pictures) == 3, "and the session goes on"
    assert [(status[:3], headers["CSeq"]) for status, headers in server.replies] == [(answer, "71")]


@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"])
@pytest.mark.parametrize("status", [300, 301, 302, 303])
async def test_redirect_is_followed_whatever_it_answers(status: int, method: str) -> None:
    async with (
        receiving() as pool,
        ScriptedServer(Script(media=clip_media())) as target,
        ScriptedServer(Script(status={method: status}, extra={"Location": target.url})) as first,
    ):
        watcher = Watcher()
        task = asyncio.create_task(session(pool, first.url, watcher, password="secret").run_once())
        await watcher.until_pictures(3)
        await cancel(task)
        assert target.requests[0][1] == target.url
        assert all("Authorization" not in headers for _, _, headers in target.requests)
        assert first.methods()[-1] == ("TEARDOWN" if method == "PLAY" else method)


async def test_path_alone_is_a_place_on_the_same_server() -> None:
    async with receiving() as pool, ScriptedServer(Script(status={"DESCRIBE": 302})) as server:
        server.script.extra["Location"] = "/other"
        with pytest.raises(ProtocolViolation):
            await session(pool, server.url, Watcher()).run_once()
        asked = [uri for method, uri, _ in server.requests if method == "DESCRIBE"]
        assert asked == [server.url, *[f"rtsp://127.0.0.1:{server.port}/other"] * 3]


async def test_use_proxy_asks_the_proxy_for_the_same_url() -> None:
    async with (
        receiving() as pool,
        ScriptedServer(Script(media=clip_media())) as proxy,
        ScriptedServer(Script(status={"DESCRIBE": 305}, extra={"Location": proxy.url})) as first,
    ):
        watcher = Watcher()
        task = asyncio.create_task(session(pool, first.url, watcher).run_once())
        await watcher.until_pictures(3)
        await cancel(task)
        assert proxy.requests[1][:2] == ("DESCRIBE", first.url)


async def test_redirect_request_in_mid_stream_is_followed_after_a_teardown() -> None:
    async with receiving() as pool, ScriptedServer(Script(media=clip_media())) as target:
        media = clip_media() + request("REDIRECT", f"Location: {target.url}")
        async with ScriptedServer(Script(media=media)) as first:
            watcher = Watcher()
            task = asyncio.create_task(session(pool, first.url, watcher, password="secret").run_once())
            await watcher.until_pictures(6)
            await cancel(task)
            assert first.methods()[-1] == "TEARDOWN"
            assert target.methods() == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY", "TEARDOWN"]
            assert all("Authorization" not in headers for _, _, headers in target.requests)
            assert [picture.discontinuity for picture in watcher.pictures] == [True, False, False] * 2


def refuse_play_with_305(url: str, script: Script) -> None:
    script.status["PLAY"] = 305
    script.extra["Location"] = url


def redirect_while_playing(url: str, script: Script) -> None:
    script.media = clip_media() + request("REDIRECT", f"Location: {url}")


@pytest.mark.parametrize("circle", [refuse_play_with_305, redirect_while_playing])
async def test_redirects_in_a_circle_end(circle: Callable[[str, Script], None]) -> None:
    script = Script()
    async with receiving() as pool, ScriptedServer(script) as server:
        circle(server.url, script)
        with pytest.raises(ProtocolViolation) as caught:
            await session(pool, server.url, Watcher()).run_once()
        assert caught.value.reason == "redirect_loop"
        assert server.connections == 4
        assert server.methods().count("TEARDOWN") == 4


GARBAGE = b"GARBAGE\x00\x01\x02" * 9_000


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (Script(status={"PLAY": 403}), "refused_credentials"),
        (Script(status={"PLAY": 404}), "not_found"),
        (Script(silent_after="PLAY"), "stall"),
        (Script(media=clip_media()), "stall"),
        (Script(media=clip_media() + GARBAGE), "garbage"),
        (
            Script(media=clip_media() + b"RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n" * 40),
            "message_too_large",
        ),
        (Script(media=clip_media() + b"RTSP/1.0 454 Gone\r\nCSeq: 99\r\n\r\n"), "session_gone"),
        (Script(channels="0-1;multicast"), "transport_refused"),
    ],
)
async def test_teardown_is_sent_whatever_ends_the_session(script: Script, reason: str) -> None:
    error, _, server = await end_of(script)
    assert error.reason == reason
    assert server.methods().count("TEARDOWN") == 1
    assert [headers["Session"] for method, _, headers in server.requests if method == "TEARDOWN"] == ["abc123"]


@pytest.mark.parametrize("silent", ["PLAY", ""])
async def test_teardown_is_sent_when_the_session_is_stopped(silent: str) -> None:
    async with receiving() as pool, ScriptedServer(Script(silent_after=silent)) as server:
        task = asyncio.create_task(session(pool, server.url, Watcher()).run_once())
        await server.until(lambda: "PLAY" in server.methods())
        await cancel(task)
        assert server.methods()[-1] == "TEARDOWN"


async def cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_server_that_resets_the_connection_it_has_just_accepted_is_a_source_that_cannot_be_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As recorders do whose sessions are all taken: the kernel forgets the peer before we have said a word."""
    loop = asyncio.get_running_loop()
    connect_as_ever = loop.sock_connect

    def reset(writer: asyncio.StreamWriter) -> None:
        ours = writer.get_extra_info("socket")
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()

    async def connect_and_be_late(ours: socket.socket, address: tuple[str, int]) -> None:
        await connect_as_ever(ours, address)
        with pytest.raises(ConnectionResetError):
            await loop.sock_recv(ours, 1)
        with pytest.raises(OSError, match="not connected"):
            ours.getpeername()

    server = await asyncio.start_server(lambda _, writer: reset(writer), "127.0.0.1", 0)
    monkeypatch.setattr(loop, "sock_connect", connect_and_be_late)
    async with server, receiving() as pool:
        url = f"rtsp://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        with pytest.raises(SourceUnreachable):
            await session(pool, url, Watcher(), reply_s=1.0).run_once()


def spoilt_media(kind: str) -> bytes:
    """Key pictures that come to nothing, again and again, with others between that keep the stream alive."""
    packets = []
    for payload, sequence, timestamp, marker in stream(clip(60, gop=10), seed=2, size=300):
        kept = payload[0] & 0x1F
        first = payload[1] & 0x1F if kept == 28 else kept
        if kind == "without_sets" and (first in (7, 8) or kept == 24):
            continue
        if kind == "lost" and kept == 28 and first == 5 and not payload[1] & 0xC0 and sequence % 2:
            continue
        packets.append(interleaved(rtp(payload, sequence, timestamp, marker)))
    return b"".join(packets)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("without_sets", "no parameter sets"), ("too_large", "raise that"), ("lost", "packets were lost"),
        ("none", "shorten the camera's key-picture interval"),
    ],
)  # fmt: skip
async def test_no_usable_key_picture_is_told_with_its_cause_and_the_way_out(kind: str, words: str) -> None:
    bare = re.sub(r"sprop-parameter-sets=[^\r]*", "", clip_sdp()) if kind == "without_sets" else clip_sdp()
    quiet = b"".join(interleaved(rtp(b"\x41\x9a" + bytes(40), n, n * 3_600, True)) for n in range(50))
    script = Script(sdp=bare, media=quiet if kind == "none" else spoilt_media(kind))
    limits = SessionLimits(
        stall_s=30.0, key_stall_s=1.0, picture_bytes_max=400 if kind == "too_large" else 4 << 20
    )
    async with receiving() as pool, ScriptedServer(script) as server:
        ours = RtspSession(
            server.url, source_id="c", clock=SystemClock(), pool=pool, receiver=Watcher(), limits=limits
        )
        with pytest.raises(SourceUnreachable, match=re.escape(words)) as caught:
            await ours.run_once()
    assert caught.value.reason == "no_key_picture"
