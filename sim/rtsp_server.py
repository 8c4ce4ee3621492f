"""An RTSP 1.0 server (RFC 2326) with RTP interleaved in the connection, for thousands of viewers in one loop.

OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, GET_PARAMETER, SET_PARAMETER, TEARDOWN; Digest login per mount; sessions end
when the client is silent for their time-out; UDP is answered with 461, after which clients ask for TCP.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contracts.errors import RefusedInput
from contracts.instant import SECOND
from sim.h264 import sdp_format
from sim.rtp_stream import CLOCK_RATE, PAYLOAD_TYPE, LiveStream
from sim.rtsp_message import HEAD_MAX, Request, digest_matches, response, take_request

if TYPE_CHECKING:
    from runtime.clock import Clock

REALM = "gridwhistle-sim"
METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, GET_PARAMETER, SET_PARAMETER, TEARDOWN"
TRACK = "trackID=0"
KERNEL_BUFFER_BYTES = 128 * 1024
"""Send buffer of a connection: thousands of viewers that read slowly must not fill the kernel's memory."""


@dataclass(frozen=True)
class Mount:
    """What a path serves.

    `users` (name to password) makes it ask for a login. `answer` may take a request over: the bytes it returns
    are sent instead of an answer (b"" = silence); None lets the server answer. Faults are made of it.
    """

    stream: LiveStream
    users: Mapping[str, str] = field(default_factory=dict)
    answer: Callable[[Request], bytes | None] | None = None


class RtspServer:
    """Serves `mounts` (path to Mount; may be changed while it runs) on host:port.

    `session_timeout_s`: silence after which a session ends. `refused`: requests that did not parse.
    Port 0 takes a free one; `port` holds it after `start`. Raises OSError when the port is taken.
    """

    def __init__(
        self, host: str, port: int, clock: Clock, mounts: dict[str, Mount], *, session_timeout_s: float = 60.0
    ) -> None:
        self.host = host
        self.port = port
        self.clock = clock
        self.mounts = mounts
        self.session_timeout_s = session_timeout_s
        self.refused = 0
        self.connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._reaper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), self.host, self.port, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]
        self._reaper = loop.create_task(self._reap())

    async def close(self) -> None:
        """Stop listening and cut all viewers off."""
        if self._reaper is not None:
            self._reaper.cancel()
            with suppress(asyncio.CancelledError):
                await self._reaper
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.cut_off()
        if self._server is not None:
            await self._server.wait_closed()

    def find(self, path: str) -> tuple[Mount, str] | None:
        """The mount of a path (a track's suffix aside) and the mount's own path."""
        plain = path.rstrip("/")
        for candidate in (plain, plain.removesuffix(f"/{TRACK}")):
            mount = self.mounts.get(candidate)
            if mount is not None:
                return mount, candidate
        return None

    async def _reap(self) -> None:
        while True:
            await self.clock.asleep(min(self.session_timeout_s / 4, 5.0))
            oldest_ns = self.clock.monotonic_ns() - round(self.session_timeout_s * SECOND)
            for connection in [c for c in self.connections if c.heard_ns < oldest_ns]:
                connection.cut_off()


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request with what it is about."""

    request: Request
    mount: Mount
    cseq: str


class Connection(asyncio.Protocol):
    """One client: requests in, answers and pictures out. A Viewer of its stream while it plays."""

    def __init__(self, server: RtspServer) -> None:
        self.channel = 0
        self.heard_ns = server.clock.monotonic_ns()
        self._server = server
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._mount: Mount | None = None
        self._session = ""
        self._nonce = secrets.token_hex(16)
        self._describing: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER_BYTES)
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio calls it so
        """The client went."""
        self._leave()
        if self._describing is not None:
            self._describing.cancel()
        self._server.connections.discard(self)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Requests and RTCP, in any pieces; garbage is answered with 400 and an end."""
        self.heard_ns = self._server.clock.monotonic_ns()
        self._buffer += data
        try:
            self._read_all()
        except RefusedInput:
            self._server.refused += 1
            self.write(response(400, "0", {"Connection": "close"}))
            if self._transport is not None:
                self._transport.close()

    def write(self, data: bytes) -> None:
        """See Viewer."""
        if self._transport is not None:
            self._transport.write(data)

    def backlog(self) -> int:
        """See Viewer."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def cut_off(self) -> None:
        """See Viewer."""
        if self._transport is not None:
            self._transport.abort()

    def _read_all(self) -> None:
        while self._buffer and self._transport is not None and not self._transport.is_closing():
            if self._buffer[0] == 0x24:
                if len(self._buffer) < 4:
                    return
                length = int.from_bytes(self._buffer[2:4], "big")
                if len(self._buffer) < 4 + length:
                    return
                del self._buffer[: 4 + length]
                continue
            if self._describing is not None and not self._describing.done():
                if len(self._buffer) > 4 * HEAD_MAX:
                    self.cut_off()
                return
            request = take_request(self._buffer)
            if request is None:
                return
            self._answer(request)

    def _answer(self, request: Request) -> None:
        cseq = request.headers.get("cseq", "0")
        if request.method == "OPTIONS":
            self.write(response(200, cseq, {"Public": METHODS}))
            return
        found = self._server.find(request.path)
        if found is None:
            self.write(response(404, cseq))
            return
        mount, _ = found
        if mount.answer is not None:
            instead = mount.answer(request)
            if instead is not None:
                self.write(instead)
                return
        if mount.users and not digest_matches(request, REALM, self._nonce, mount.users):
            challenge = f'Digest realm="{REALM}", nonce="{self._nonce}"'
            self.write(response(401, cseq, {"WWW-Authenticate": challenge}))
            return
        handlers = {
            "DESCRIBE": self._describe,
            "SETUP": self._setup,
            "PLAY": self._play,
            "PAUSE": self._pause,
            "GET_PARAMETER": self._alive,
            "SET_PARAMETER": self._alive,
            "TEARDOWN": self._teardown,
        }
        handler = handlers.get(request.method)
        if handler is None:
            self.write(response(501, cseq, {"Public": METHODS}))
        else:
            handler(_Asked(request, mount, cseq))

    def _describe(self, asked: _Asked) -> None:
        if asked.mount.stream.parameter_sets is not None:
            self._send_description(asked)
        else:
            self._describing = asyncio.get_running_loop().create_task(self._describe_when_ready(asked))

    async def _describe_when_ready(self, asked: _Asked) -> None:
        """A camera that just starts has no parameter sets yet: the answer waits for its first picture."""
        try:
            async with asyncio.timeout(8.0):
                await asked.mount.stream.ready.wait()
        except TimeoutError:
            self.write(response(503, asked.cseq))
        else:
            self._send_description(asked)
        self._describing = None
        self._read_all()

    def _send_description(self, asked: _Asked) -> None:
        stream = asked.mount.stream
        assert stream.parameter_sets is not None
        sdp = session_description(stream.ssrc, "H264", sdp_format(*stream.parameter_sets, PAYLOAD_TYPE))
        at = asked.request.url.split("?")[0].rstrip("/") + "/"
        headers = {"Content-Type": "application/sdp", "Content-Base": at}
        self.write(response(200, asked.cseq, headers, sdp))

    def _setup(self, asked: _Asked) -> None:
        offers = asked.request.headers.get("transport", "").split(",")
        offer = next((o.strip() for o in offers if "RTP/AVP/TCP" in o.upper()), None)
        if offer is None:
            self.write(response(461, asked.cseq))
            return
        channel = interleaved_channel(offer)
        if channel is None:
            self.write(response(400, asked.cseq))
            return
        self._leave()
        self.channel, self._mount = channel, asked.mount
        self._session = self._session or secrets.token_hex(8)
        transport = f"RTP/AVP/TCP;unicast;interleaved={channel}-{channel + 1};ssrc={asked.mount.stream.ssrc:08X}"
        self.write(response(200, asked.cseq, {"Transport": transport, "Session": self._session_header()}))

    def _session_header(self) -> str:
        return f"{self._session};timeout={max(int(self._server.session_timeout_s), 1)}"

    def _in_session(self, asked: _Asked) -> Mount | None:
        given = asked.request.headers.get("session", "").split(";")[0].strip()
        if self._mount is None or given != self._session:
            self.write(response(454, asked.cseq))
            return None
        return self._mount

    def _play(self, asked: _Asked) -> None:
        current = self._in_session(asked)
        if current is None:
            return
        headers = {"Session": self._session_header(), "Range": "npt=now-"}
        self.write(response(200, asked.cseq, headers))
        current.stream.remove(self)
        current.stream.add(self)

    def _pause(self, asked: _Asked) -> None:
        current = self._in_session(asked)
        if current is not None:
            current.stream.remove(self)
            self.write(response(200, asked.cseq, {"Session": self._session_header()}))

    def _alive(self, asked: _Asked) -> None:
        if "session" in asked.request.headers and self._in_session(asked) is None:
            return
        headers = {"Session": self._session_header()} if self._session else {}
        self.write(response(200, asked.cseq, headers))

    def _teardown(self, asked: _Asked) -> None:
        if self._in_session(asked) is None:
            return
        self._leave()
        self._session = ""
        self.write(response(200, asked.cseq, {"Connection": "close"}))
        if self._transport is not None:
            self._transport.close()

    def _leave(self) -> None:
        if self._mount is not None:
            self._mount.stream.remove(self)
            self._mount = None


def session_description(ssrc: int, codec: str, parameters: str) -> bytes:
    """SDP (RFC 8866) of one live video track; `parameters` is its `a=fmtp` line."""
    lines = [
        "v=0",
        f"o=- {ssrc} 1 IN IP4 0.0.0.0",
        "s=gridwhistle-sim",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "a=control:*",
        "a=range:npt=now-",
        f"m=video 0 RTP/AVP {PAYLOAD_TYPE}",
        f"a=rtpmap:{PAYLOAD_TYPE} {codec}/{CLOCK_RATE}",
        parameters,
        f"a=control:{TRACK}",
        "",
    ]
    return "\r\n".join(lines).encode()


def interleaved_channel(offer: str) -> int | None:
    """First of the interleaved channels asked for; 0 when none is named, None when it makes no sense."""
    for part in offer.split(";"):
        name, _, value = part.strip().partition("=")
        if name.lower() == "interleaved":
            first = value.split("-")[0]
            return int(first) if first.isascii() and first.isdigit() and int(first) < 255 else None
    return 0
