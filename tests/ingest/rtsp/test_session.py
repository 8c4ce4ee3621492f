from __future__ import annotations

import asyncio
import socket
import struct

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
from ingest.rtsp.message import parse_url
from runtime.clock import SystemClock
from tests.ingest.h264_clip import interleaved
from tests.ingest.rtsp.session_pieces import Watcher, receiving, sender_report, session
from tests.ingest.rtsp_server import MD5, SHA256, Script, ScriptedServer, clip_media, clip_sdp


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


async def test_each_nonce_that_grew_old_is_renewed_at_once_and_the_last_word_too() -> None:
    """Again and again, without a word of `stale`: the next sign of life must not be an interval away."""
    script = Script(media=clip_media(), password="right", scheme="digest", session_header="k;timeout=20")
    async with receiving() as pool, ScriptedServer(script) as server:
        watcher = Watcher()
        playing = session(pool, server.url, watcher, password="right")
        task = asyncio.create_task(playing.run_once())
        await watcher.until_pictures(3)
        life = playing._life
        assert life is not None
        while life._keep_alive is None:
            await asyncio.sleep(0.01)  # noqa: TID251 - real sockets
        dialogue, kept = life._dialogue, life._keep_alive
        for nonce in ("n1", "n2", "n3"):
            script.nonces[0] = nonce
            kept._due_ns = 0
            await server.until(
                lambda: any(
                    m == "GET_PARAMETER" and f'"{script.nonces[0]}"' in h["Authorization"]
                    for m, _, h in server.requests
                )
            )
            while dialogue.keep_alive_open:
                await asyncio.sleep(0.01)  # noqa: TID251 - real sockets
        script.nonces[0] = "n4"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        words = [h["Authorization"] for m, _, h in server.requests if m == "TEARDOWN"]
        assert ['"n3"' in word or '"n4"' in word for word in words] == [True, True]
        assert '"n4"' in words[-1], "said again, signed anew"


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


def reordered(parameter: str) -> str:
    """A description of H.265 with this parameter."""
    return clip_sdp(codec="H265").replace("packetization-mode=1", parameter)


@pytest.mark.parametrize(
    ("script", "kind", "reason"),
    [
        (Script(greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n"), ProtocolViolation, "garbage"),
        (Script(greeting=b"\x00\x01\x02\x03\xff\xfe" * 50), ProtocolViolation, "garbage"),
        (Script(greeting=b"SSH-2.0-OpenSSH_9.2\r\n"), ProtocolViolation, "garbage"),
        (Script(greeting=b"RTSP/1.0 " + b"x" * 70_000), ProtocolViolation, "message_too_large"),
        (Script(greeting="RTSP/1.0 \u00b2\u00b2\u00b2 x\r\n\r\n".encode()), ProtocolViolation, "garbage"),
        (Script(sdp="v=0\r\nm=video 0 RTP/AVP \u00b2\r\n"), ProtocolViolation, "sdp"),
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
        (Script(sdp=reordered("sprop-max-don-diff=2")), ProtocolViolation, "unsupported_codec"),
        (Script(sdp=reordered("sprop-max-don-diff=0")), SourceUnreachable, "stall"),
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
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "该端口无人监听" in str(caught.value)


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
