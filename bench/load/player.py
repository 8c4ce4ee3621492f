"""One connection of the load server: the RTSP dialogue, and the bytes that the kernel did not take at once."""

from __future__ import annotations

import re
import socket
import struct
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from bench.load.faults import Fault, FrozenStream
from bench.load.staged import StagedStream
from sim.rtsp_message import Request, response, take_request
from sim.rtsp_server import METHODS, interleaved_channel, session_description

if TYPE_CHECKING:
    from bench.load.ledger import Ledger
    from bench.load.programme import Programme
    from runtime.clock import Clock

BACKLOG_BYTES_MAX: Final = 1 << 20
"""What may wait for a connection that reads too slowly; pictures beyond it are left out whole, and counted."""
_SEND_BUFFER_BYTES: Final = 512 * 1024
_READ_BYTES: Final = 65_536
_NUMBER: Final = re.compile(r"/(\d+)(?:/|$)")
_SESSION_TIMEOUT_S: Final = 60


class Gone(Exception):
    """The connection is of no use any more; the server closes it."""


class Player:
    """A client. `stream` is the number in its URL, -1 before it named one; `playing` after PLAY.

    `sent` holds each key picture once its last byte was taken by the kernel, with the moment just before. `plain`:
    pictures may go straight to `send` as they are on channel 0, since nothing waits and nothing is special.
    """

    __slots__ = (
        "_backlog_bytes",
        "_clock",
        "_pending",
        "_received",
        "_sent",
        "_sock",
        "channel",
        "fault",
        "frozen",
        "pictures",
        "pictures_left_out",
        "plain",
        "playing",
        "send",
        "staged",
        "stream",
    )

    def __init__(self, sock: socket.socket, clock: Clock, sent: Ledger) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        self._sock = sock
        self._clock = clock
        self._sent = sent
        self._received = bytearray()
        self._pending: deque[tuple[memoryview, int | None]] = deque()
        self._backlog_bytes = 0
        self.send = sock.send
        """The socket's own: the hot loop of the server calls it."""
        self.stream = -1
        self.channel = 0
        self.fault: Fault | None = None
        self.frozen = FrozenStream()
        self.staged: StagedStream | None = None
        self.plain = True
        self.playing = False
        self.pictures = 0
        self.pictures_left_out = 0

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._sock.fileno()

    @property
    def waiting(self) -> bool:
        """Bytes wait for the kernel: nothing else may be sent before them."""
        return bool(self._pending)

    def set_fault(self, fault: Fault | None) -> None:
        """What is wrong with the stream from now on."""
        self.fault = fault
        self.frozen = FrozenStream()
        self._set_plain()

    def _set_plain(self) -> None:
        self.plain = not (self._pending or self.channel or self.fault is not None or self.staged is not None)

    def stage(self, *, wanted: bool) -> None:
        """Show the other clip of the server from the next key picture on, or no longer."""
        if self.staged is None and wanted:
            self.staged = StagedStream()
        if self.staged is not None:
            self.staged.wanted = wanted
        self._set_plain()

    def offer(self, blob: bytes, counter: int | None) -> int:
        """Send, or keep in order what the kernel does not take; `counter` marks a key picture. Bytes sent now.

        Raises Gone when the client went.
        """
        if self._backlog_bytes + len(blob) > BACKLOG_BYTES_MAX:
            self.pictures_left_out += 1
            return 0
        self._pending.append((memoryview(blob), counter))
        self._backlog_bytes += len(blob)
        return self.flush()

    def keep(self, rest: memoryview, counter: int | None) -> None:
        """The kernel took the bytes in front of `rest` only."""
        self._pending.append((rest, counter))
        self._backlog_bytes += len(rest)
        self.plain = False

    def flush(self) -> int:
        """Send what waits, as far as the kernel takes it; bytes sent. Raises Gone."""
        total = 0
        while self._pending:
            blob, counter = self._pending[0]
            at_ns = self._clock.monotonic_ns()
            try:
                sent = self.send(blob)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                raise Gone from None
            total += sent
            self._backlog_bytes -= sent
            if sent < len(blob):
                self._pending[0] = (blob[sent:], counter)
                break
            self._pending.popleft()
            if counter is not None:
                self._sent.note(self.stream, counter, at_ns)
        self._set_plain()
        return total

    def requests(self) -> list[Request]:
        """Read what came: the whole requests in it; receiver reports are skipped. Raises Gone at the end."""
        try:
            data = self._sock.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError:
            raise Gone from None
        if not data:
            raise Gone
        received = self._received
        received += data
        found = []
        while received:
            if received[0] == 0x24:
                if len(received) < 4 or len(received) < 4 + (received[2] << 8 | received[3]):
                    break
                del received[: 4 + (received[2] << 8 | received[3])]
                continue
            request = take_request(received)
            if request is None:
                break
            found.append(request)
        return found

    def answer(self, request: Request, programme: Programme) -> bytes:
        """The answer to a request. Sets `stream` and, at PLAY, `playing`; raises Gone after TEARDOWN."""
        cseq = request.headers.get("cseq", "0")
        if request.method == "OPTIONS":
            return response(200, cseq, {"Public": METHODS})
        number = _NUMBER.search(request.path)
        if number is None:
            return response(404, cseq)
        self.stream = int(number[1])
        session = {"Session": f"{self.stream:08d};timeout={_SESSION_TIMEOUT_S}"}
        match request.method:
            case "DESCRIBE":
                codec, line = programme.clip.format_line(96)
                base = request.url.split("?")[0].rstrip("/") + "/"
                headers = {"Content-Type": "application/sdp", "Content-Base": base}
                return response(200, cseq, headers, session_description(programme.ssrc, codec, line))
            case "SETUP":
                return self._set_up(request, cseq, session, programme.ssrc)
            case "PLAY":
                self.playing = True
                return response(200, cseq, {**session, "Range": "npt=now-"})
            case "GET_PARAMETER" | "SET_PARAMETER":
                return response(200, cseq, session)
            case "TEARDOWN":
                with suppress(OSError):
                    self.send(response(200, cseq, {"Connection": "close"}))
                raise Gone
        return response(501, cseq, {"Public": METHODS})

    def _set_up(self, request: Request, cseq: str, session: dict[str, str], ssrc: int) -> bytes:
        offers = request.headers.get("transport", "").split(",")
        offer = next((each.strip() for each in offers if "RTP/AVP/TCP" in each.upper()), None)
        channel = None if offer is None else interleaved_channel(offer)
        if channel is None:
            return response(461, cseq)
        self.channel = channel
        self._set_plain()
        transport = f"RTP/AVP/TCP;unicast;interleaved={channel}-{channel + 1};ssrc={ssrc:08X}"
        return response(200, cseq, {"Transport": transport, **session})

    def close(self, *, reset: bool = False) -> None:
        """Give the socket back; `reset`: as a power cut or a crash would look, without a goodbye."""
        if reset:
            with suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._pending.clear()
        self._sock.close()
