"""Captures of what real servers do against the standards, and a server that replays one through a real socket.

A capture (captures/*.toml) is one exchange: the requests that it expects in order, and the exact bytes that follow
each of them. The replaying server checks the requests, so a client that asks for something else is found out. It
can stop at any offset of its bytes until all before it were read, so that the client reads the rest by itself.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import heapq
import re
import socket
import tomllib
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from contracts.errors import GridwhistleError
from contracts.instant import SECOND
from ingest.rtsp.credentials import Credentials
from ingest.rtsp.pool import ReceivePool
from ingest.rtsp.quirks import Quirk, QuirkPolicies
from ingest.rtsp.received import ReceivedPicture, StreamInfo
from ingest.rtsp.session import RtspSession, SessionLimits
from ingest.rtsp.totals import SessionTotals
from runtime.clock import SimClock

FOLDER = Path(__file__).parent / "captures"
USER, PASSWORD, REALM = "admin", "right", "cam"


@dataclass(frozen=True)
class Turn:
    """One request and the bytes behind it.

    `client`: pattern of its first line and, in a second one, of a header. `otherwise` follows a request
    that does not fit, which is a mistake where it is None; `hangs_up`: the server closes after it. `digest_uri`:
    what the digest must be made over, `{url}` = the asked URL.
    """

    client: str
    server: bytes
    datagrams: tuple[bytes, ...] = ()
    otherwise: bytes | None = None
    hangs_up: bool = False
    digest_uri: str = ""


@dataclass(frozen=True)
class Capture:
    """`reason` is that of the error with the policy off, `key_pictures` the SHA-256 of each as Annex B.

    `timeout_s`: the server hangs up when so long (of the replay's clock) none of the expected requests came.
    """

    name: str
    quirk: Quirk
    path: str
    reason: str
    key_pictures: tuple[str, ...]
    turns: tuple[Turn, ...]
    timeout_s: float | None = None

    @property
    def switched_on(self) -> tuple[str, ...]:
        """The configuration with the policy on; that of the others is the default."""
        return (str(self.quirk),)

    @property
    def switched_off(self) -> tuple[str, ...]:
        """The configuration with the policy off, whether that is the default or not."""
        return (f"-{self.quirk}",)


def read_captures() -> list[Capture]:
    """All of them, by name."""
    return [_read(path) for path in sorted(FOLDER.glob("*.toml"))]


def _read(path: Path) -> Capture:
    data = tomllib.loads(path.read_text(encoding="ascii"))
    turns = [
        Turn(
            each["client"],
            _bytes(each),
            tuple(base64.b64decode(text) for text in each.get("datagrams", ())),
            each["otherwise"].encode("latin-1") if "otherwise" in each else None,
            each.get("hangs_up", False),
            each.get("digest_uri", ""),
        )
        for each in data["turn"]
    ]
    return Capture(
        path.stem,
        Quirk(data["quirk"]),
        data["path"],
        data["reason"],
        tuple(data["key_pictures"]),
        tuple(turns),
        data.get("timeout_s"),
    )


def _bytes(turn: dict[str, Any]) -> bytes:
    text: str = turn["server"]
    return text.encode("latin-1") + base64.b64decode(turn.get("media", ""))


class HandClock(SimClock):
    """A simulated clock that others wait for until it is moved."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._number = 0

    async def asleep(self, seconds: float) -> None:
        self._number += 1
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (self.monotonic_ns() + round(seconds * SECOND), self._number, future))
        await future

    def tick(self, seconds: float) -> None:
        """Move on, and wake whoever waited for that."""
        self.advance(seconds)
        while self._waiting and self._waiting[0][0] <= self.monotonic_ns():
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)


class ReplayConnection(asyncio.Protocol):
    """The server's end of one replay."""

    def __init__(self, capture: Capture, url: str, clock: HandClock, cut: int | None) -> None:
        self.capture = capture
        self.sent = 0
        """Bytes, within the connection and, `sent_apart`, as datagrams."""
        self.sent_apart = 0
        self.mistakes: list[str] = []
        self.requests: list[str] = []
        self.done = 0
        """Turns that are over."""
        self.closed = False
        self._url = url
        self._clock = clock
        self._cut = cut
        self._held = b""
        self._buffer = b""
        self._heard_ns = clock.monotonic_ns()
        self._transport: asyncio.Transport | None = None
        self._udp: socket.socket | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._udp is not None:
            self._udp.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._buffer:
            if self._buffer[:1] == b"$":
                end = 4 + int.from_bytes(self._buffer[2:4], "big")
                if len(self._buffer) < max(end, 4):
                    return
                self._buffer = self._buffer[end:]
                continue
            head, blank, rest = self._buffer.partition(b"\r\n\r\n")
            if not blank:
                return
            self._buffer = rest
            self._on_request(head.decode())

    def _on_request(self, request: str) -> None:
        self.requests.append(request)
        if request.startswith("TEARDOWN "):
            cseq = re.search(r"CSeq: (\d+)", request)
            assert cseq is not None
            self._send(f"RTSP/1.0 200 OK\r\nCSeq: {cseq[1]}\r\n\r\n".encode())
            return
        turn = self.capture.turns[self.done] if self.done < len(self.capture.turns) else None
        if turn is None or not self._fits(turn, request):
            if turn is None or turn.otherwise is None:
                self.mistakes.append(request)
            else:
                self._send(turn.otherwise)
            if turn is not None and turn.hangs_up:
                self._close()
            return
        self.done += 1
        self._heard_ns = self._clock.monotonic_ns()
        self._send(turn.server)
        if turn.datagrams:
            self._send_datagrams(turn.datagrams)

    def _fits(self, turn: Turn, request: str) -> bool:
        wanted = turn.client.replace("{url}", self._url)
        line, _, header = wanted.partition("\n")
        lines = request.split("\r\n")
        if not fnmatchcase(lines[0], f"{line} RTSP/1.0"):
            return False
        if header and not any(fnmatchcase(each, header) for each in lines[1:]):
            return False
        return not turn.digest_uri or self._signed(turn.digest_uri.replace("{url}", self._url), request)

    def _signed(self, uri: str, request: str) -> bool:
        got = dict(re.findall(r'(\w+)="?([^",\r]+)"?', request.partition("Authorization: Digest ")[2]))

        def md5(text: str) -> str:
            return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

        method = request.split(" ")[0]
        secret, about = md5(f"{USER}:{REALM}:{PASSWORD}"), md5(f"{method}:{uri}")
        return got.get("response") == md5(f"{secret}:{got.get('nonce')}:{about}")

    def _send(self, data: bytes) -> None:
        assert self._transport is not None
        if self._held:
            self._held += data
            return
        if self._cut is not None and self.sent < self._cut < self.sent + len(data):
            at = self._cut - self.sent
            data, self._held = data[:at], data[at:]
        self.sent += len(data)
        self._transport.write(data)

    def _send_datagrams(self, datagrams: tuple[bytes, ...]) -> None:
        setup = next(each for each in reversed(self.requests) if each.startswith("SETUP "))
        port = re.search(r"client_port=(\d+)", setup)
        assert port is not None
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        for each in datagrams:
            self.sent_apart += self._udp.sendto(each, ("127.0.0.1", int(port[1])))

    def _close(self) -> None:
        assert self._transport is not None
        self._transport.close()

    def look(self, received: int) -> None:
        """The client has read so many bytes: go on behind the cut; hang up on one that is silent too long."""
        if self._held and received == self.sent:
            data, self._held = self._held, b""
            self._send(data)
        timeout_s = self.capture.timeout_s
        if timeout_s is not None and self._clock.monotonic_ns() - self._heard_ns > timeout_s * SECOND:
            self._close()


@dataclass
class Outcome:
    """What a session made of a capture."""

    pictures: list[str] = field(default_factory=list)
    error: GridwhistleError | None = None
    seen: dict[Quirk, int] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    turns: int = 0
    sent: int = 0
    totals: SessionTotals = field(default_factory=SessionTotals)
    in_time: bool = True


class _Pictures:
    """Takes the key pictures of a session."""

    def __init__(self) -> None:
        self.hashes: list[str] = []

    def playing(self, info: StreamInfo) -> None:
        """Nothing to do."""

    def picture(self, picture: ReceivedPicture) -> None:
        self.hashes.append(hashlib.sha256(picture.data).hexdigest())


class Replay:
    """Plays captures to new sessions, one after the other, over a listening socket."""

    def __init__(self) -> None:
        self._next: tuple[Capture, HandClock, int | None] | None = None
        self._connection: ReplayConnection | None = None

    async def __aenter__(self) -> Replay:
        self._server = await asyncio.get_running_loop().create_server(self._accept, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    def _accept(self) -> ReplayConnection:
        assert self._next is not None, "a session connected twice"
        capture, clock, cut = self._next
        self._next = None
        self._connection = ReplayConnection(capture, self._url(capture), clock, cut)
        return self._connection

    def _url(self, capture: Capture) -> str:
        return f"rtsp://127.0.0.1:{self._port}{capture.path}"

    async def play(self, capture: Capture, policies: tuple[str, ...], cut: int | None = None) -> Outcome:
        """One life of a session: until it fails, or all turns are over and the key pictures are there."""
        clock = HandClock()
        # No mark: a cut must be read at once. What the mark hides has tests of its own.
        pool = ReceivePool(clock, low_water_bytes_max=0)
        watcher = _Pictures()
        self._next, self._connection = (capture, clock, cut), None
        session = RtspSession(
            self._url(capture),
            source_id="cam-1",
            clock=clock,
            pool=pool,
            receiver=watcher,
            credentials=Credentials(USER, PASSWORD),
            quirks=QuirkPolicies(policies),
            limits=SessionLimits(reply_s=20.0),
        )
        sweep = asyncio.create_task(pool.sweep_forever())
        life = asyncio.create_task(session.run_once())
        outcome = Outcome()
        try:
            outcome.in_time = await self._drive(capture, life, session, watcher, clock)
            server = self._met()
            outcome.turns, outcome.sent, outcome.totals = server.done, server.sent, session.statistics()
            life.cancel()
            with suppress(asyncio.CancelledError):
                await life
        except GridwhistleError as error:
            outcome.error = error
        finally:
            sweep.cancel()
            await asyncio.gather(sweep, return_exceptions=True)
        outcome.pictures = watcher.hashes
        outcome.seen = dict(session.quirks.seen)
        server = self._met()
        outcome.mistakes = server.mistakes
        outcome.methods = [each.split(" ")[0] for each in server.requests]
        assert len(pool) == 0, "every connection is given back"
        return outcome

    def _met(self) -> ReplayConnection:
        assert self._connection is not None, "the session did not connect"
        return self._connection

    async def _drive(
        self,
        capture: Capture,
        life: asyncio.Task[None],
        session: RtspSession,
        watcher: _Pictures,
        clock: HandClock,
    ) -> bool:
        """Let the loop turn; move the clock when all that was sent is read and nothing more happens."""
        quiet, before = 0, (-1, -1, -1)
        for _ in range(200_000):
            await asyncio.sleep(0)  # noqa: TID251 - one turn of the loop
            if life.done():
                return True
            server = self._connection
            if server is None:
                continue
            received = session.statistics().bytes_received - server.sent_apart
            server.look(received)
            now = (server.sent, received, len(server.requests))
            quiet, before = (quiet + 1 if now == before else 0), now
            if quiet >= 4 and received == server.sent:
                if server.done == len(capture.turns) and len(watcher.hashes) >= len(capture.key_pictures):
                    return True
                clock.tick(0.05)
        return False
