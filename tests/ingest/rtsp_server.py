"""A scripted RTSP server at byte level, for tests of what cameras and their platforms do wrong."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from tests.ingest.h264_clip import clip, interleaved, rtp, stream

MD5 = "MD5"
SHA256 = "SHA-256"


def clip_media(*, pictures: int = 30, size: int = 1000, channel: int = 0, times: int = 1) -> bytes:
    """A clip as interleaved RTP packets, `times` in a row with running sequence and time."""
    out = []
    sequence, timestamp = 500, 9000
    for _ in range(times):
        packets = stream(clip(pictures), size=size, sequence=sequence, timestamp=timestamp)
        out += [interleaved(rtp(p, s, t, m), channel) for p, s, t, m in packets]
        sequence += len(packets)
        timestamp += 3600 * pictures
    return b"".join(out)


def clip_sdp(*, codec: str = "H264", control: str = "trackID=1", audio_first: bool = True) -> str:
    """A session description of the test clip."""
    sets = [nal for nal in clip(30)[0][0] if nal[0] & 0x1F in (7, 8)]
    sprop = ",".join(base64.b64encode(nal).decode() for nal in sets)
    audio = "m=audio 0 RTP/AVP 8\r\na=control:trackID=0\r\n" if audio_first else ""
    return (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\na=control:*\r\n"
        f"{audio}m=video 0 RTP/AVP 96\r\na=rtpmap:96 {codec}/90000\r\n"
        f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sprop}\r\na=control:{control}\r\n"
    )


@dataclass
class Script:
    """What the server does. `status` by method overrides 200; `media` follows the reply to PLAY."""

    media: bytes = b""
    sdp: str = field(default_factory=clip_sdp)
    status: dict[str, int] = field(default_factory=dict)
    extra: dict[str, str] = field(default_factory=dict)
    password: str | None = None
    scheme: str = "basic"
    algorithm: str = MD5
    qop: bool = True
    nonces: list[str] = field(default_factory=lambda: ["n0"])
    greeting: bytes | None = None
    silent_after: str = ""
    close_after_media: bool = False
    session_header: str = "abc123;timeout=60"
    channels: str = "0-1"
    public: str = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"
    chunks: Callable[[bytes], list[bytes]] = lambda data: [data]


class ScriptedServer:
    """Serves one script on a free port; `requests` holds (method, uri, headers), `replies` (status, headers)."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.replies: list[tuple[str, dict[str, str]]] = []
        self.binary: list[bytes] = []
        self.changed = asyncio.Condition()
        self.connections = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> ScriptedServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/live/1"

    def hang_up(self) -> None:
        """Close all connections; whoever comes again is served."""
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    def methods(self) -> list[str]:
        return [method for method, _, _ in self.requests]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a request that makes the condition true."""
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(condition), 20)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        script = self.script
        try:
            if script.greeting is not None:
                writer.write(script.greeting)
            while True:
                first = await reader.readexactly(1)
                if first == b"$":
                    head = await reader.readexactly(3)
                    body = await reader.readexactly(int.from_bytes(head[1:], "big"))
                    await self._note(binary=body)
                    continue
                text = (first + await reader.readuntil(b"\r\n\r\n")).decode()
                lines = text.split("\r\n")
                headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
                if lines[0].startswith("RTSP/1.0 "):
                    self.replies.append((lines[0].removeprefix("RTSP/1.0 "), headers))
                    continue
                method, uri, _ = lines[0].split()
                await self._note(request=(method, uri, headers))
                if script.greeting is None and script.silent_after != method:
                    await self._answer(writer, method, uri, headers)
                if script.silent_after == method:
                    script.greeting = b""
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _note(self, request: tuple[str, str, dict[str, str]] | None = None, binary: bytes = b"") -> None:
        async with self.changed:
            if request is not None:
                self.requests.append(request)
            if binary:
                self.binary.append(binary)
            self.changed.notify_all()

    async def _answer(self, writer: asyncio.StreamWriter, method: str, uri: str, headers: dict[str, str]) -> None:
        script = self.script
        out = {"CSeq": headers["CSeq"], **script.extra}
        body = b""
        status = script.status.get(method, 200)
        if script.password is not None and not self._authorized(method, uri, headers):
            status = 401
            out["WWW-Authenticate"] = self._challenge()
        elif status == 200 and method == "OPTIONS":
            out["Public"] = script.public
        elif status == 200 and method == "DESCRIBE":
            body = script.sdp.encode()
            out |= {"Content-Type": "application/sdp", "Content-Base": self.url + "/"}
            out |= {"Server": "scripted/1.0", "Content-Length": str(len(body))}
        elif status == 200 and method == "SETUP":
            out["Transport"] = f"RTP/AVP/TCP;unicast;interleaved={script.channels};ssrc=1234ABCD"
            out["Session"] = script.session_header
        head = f"RTSP/1.0 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in out.items()) + "\r\n"
        answer = head.encode() + body
        if method == "PLAY" and status == 200:
            answer += script.media
        for chunk in script.chunks(answer):
            writer.write(chunk)
            await writer.drain()
        if method == "PLAY" and script.close_after_media:
            writer.close()

    def _challenge(self) -> str:
        script = self.script
        if script.scheme == "basic":
            return 'Basic realm="cam"'
        qop = ', qop="auth"' if script.qop else ""
        algorithm = f", algorithm={script.algorithm}" if script.algorithm != MD5 else ""
        return f'Digest realm="cam", nonce="{script.nonces[0]}"{qop}{algorithm}, opaque="op"'

    def _authorized(self, method: str, uri: str, headers: dict[str, str]) -> bool:
        script = self.script
        text = headers.get("Authorization", "")
        if script.scheme == "basic":
            return text == "Basic " + base64.b64encode(f"admin:{script.password}".encode()).decode()
        got = dict(re.findall(r'(\w+)="?([^",]+)"?', text.removeprefix("Digest ")))
        if got.get("nonce") != script.nonces[0] or got.get("uri") != uri:
            return False

        def digest(value: str) -> str:
            return hashlib.new("md5" if script.algorithm == MD5 else "sha256", value.encode()).hexdigest()

        secret, request = digest(f"admin:cam:{script.password}"), digest(f"{method}:{uri}")
        middle = f"{got['nonce']}:{got['nc']}:{got['cnonce']}:auth" if script.qop else got["nonce"]
        return got.get("response") == digest(f"{secret}:{middle}:{request}") and got.get("opaque") == "op"
