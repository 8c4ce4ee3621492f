"""The load server as a process of its own: JSON lines on standard input ask, those on standard output answer."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Final

import msgspec

from bench.load.clips import KEY_INTERVAL, Clip, ClipName, make_clip
from bench.load.faults import Fault
from bench.load.lines import say
from bench.load.server import LoadServer
from contracts.wire import DOES_NOT_PARSE
from runtime.clock import SystemClock

_STDIN: Final = 0


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: where it listens and what it plays. `key_bytes` and `other_bytes` are the largest."""

    port: int
    clip: str
    kbit_s: float
    key_bytes: int
    other_bytes: int


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The server's own figures. `cpu_user_s`, `cpu_system_s` since its start; `late_*_ms` of its slots.

    `connects_per_s_max` is the most that were accepted within any one second, `opening_max` the most that were
    open without playing yet; both since they were last reset. Lateness: since it was last reset.
    """

    playing: int
    opening: int
    opening_max: int
    accepted: int
    connects_per_s_max: int
    refused_connections: int
    bytes_sent: int
    pictures_sent: int
    pictures_left_out: int
    key_pictures_sent: int
    malformed: int
    late_p99_ms: int
    late_max_ms: int
    cpu_user_s: float
    cpu_system_s: float


class AskStatus(msgspec.Struct, frozen=True, tag="status", tag_field="do"):
    """Answer with a Status."""


class AskSent(msgspec.Struct, frozen=True, tag="sent", tag_field="do"):
    """Write every key picture sent whole to `file`, see bench.load.ledger."""

    file: str


class ResetConnects(msgspec.Struct, frozen=True, tag="reset_connects", tag_field="do"):
    """Count connections anew."""


class ResetLate(msgspec.Struct, frozen=True, tag="reset_late", tag_field="do"):
    """Note how late slots are anew."""


class Cut(msgspec.Struct, frozen=True, tag="cut", tag_field="do"):
    """Reset the streams 0 .. `streams`-1 (None: all), and whoever comes again within `refuse_s`."""

    streams: int | None = None
    refuse_s: float = 0.0


class SetFault(msgspec.Struct, frozen=True, tag="fault", tag_field="do"):
    """Give these streams a fault, None takes it away."""

    streams: tuple[int, ...]
    kind: Fault | None


class Stage(msgspec.Struct, frozen=True, tag="stage", tag_field="do"):
    """These streams show the staged clip from their next key pictures on, or no longer."""

    streams: tuple[int, ...]
    wanted: bool = True


class Stop(msgspec.Struct, frozen=True, tag="stop", tag_field="do"):
    """End the process."""


class Done(msgspec.Struct, frozen=True):
    """The answer of what has no other; `n`: how many it concerned."""

    n: int = 0


class Refused(msgspec.Struct, frozen=True):
    """A question that makes no sense."""

    error: str


Ask = AskStatus | AskSent | ResetConnects | ResetLate | Cut | SetFault | Stage | Stop


def most_within(times_ns: list[int], span_ns: int) -> int:
    """The most moments of an ascending list that lie within any half-open span of this length."""
    most = first = 0
    for last, at_ns in enumerate(times_ns):
        while at_ns - times_ns[first] >= span_ns:
            first += 1
        most = max(most, last - first + 1)
    return most


class Control:
    """Answers questions about a server, one JSON line each."""

    def __init__(self, server: LoadServer) -> None:
        self._server = server
        self._received = bytearray()

    def readable(self) -> None:
        """Standard input has something; its end stops the server, which must not outlive who started it."""
        data = os.read(_STDIN, 65_536)
        if not data:
            self._server.stopped = True
            return
        self._received += data
        while (end := self._received.find(b"\n")) >= 0:
            line = bytes(self._received[:end])
            del self._received[: end + 1]
            say(self.answer(line))

    def answer(self, line: bytes) -> msgspec.Struct:
        """The answer to one line."""
        try:
            ask = msgspec.json.decode(line, type=Ask)
        except DOES_NOT_PARSE as error:
            return Refused(str(error))
        server = self._server
        match ask:
            case AskStatus():
                return status(server)
            case AskSent():
                server.sent.save(Path(ask.file))
                return Done(len(server.sent))
            case ResetConnects():
                server.accepted_ns.clear()
                server.opening_max = server.opening
                return Done()
            case ResetLate():
                server.reset_late()
                return Done()
            case Cut():
                return Done(server.cut(None if ask.streams is None else range(ask.streams), ask.refuse_s))
            case SetFault():
                for stream in ask.streams:
                    server.set_fault(stream, ask.kind)
                return Done(len(ask.streams))
            case Stage():
                return Done(server.stage(ask.streams, wanted=ask.wanted))
            case Stop():
                server.stopped = True
        return Done()


def status(server: LoadServer) -> Status:
    """The figures of this moment."""
    times = os.times()
    return Status(
        playing=server.playing,
        opening=server.opening,
        opening_max=server.opening_max,
        accepted=len(server.accepted_ns),
        connects_per_s_max=most_within(server.accepted_ns, 1_000_000_000),
        refused_connections=server.refused_connections,
        bytes_sent=server.bytes_sent,
        pictures_sent=server.pictures_sent,
        pictures_left_out=server.pictures_left_out,
        key_pictures_sent=len(server.sent),
        malformed=server.malformed,
        late_p99_ms=server.late_ms(0.99),
        late_max_ms=server.late_ms(1.0),
        cpu_user_s=times.user,
        cpu_system_s=times.system,
    )


def serve(clip_name: ClipName, host: str, port: int, *, in_pairs: bool) -> None:
    """Run a load server until standard input ends or says so. Raises ConfigError."""
    serve_clip(make_clip(clip_name), host, port, in_pairs=in_pairs)


def serve_clip(clip: Clip, host: str, port: int, *, in_pairs: bool = False, staged: Clip | None = None) -> None:
    """The same of any clip, with another one that streams can be told to show. Raises ConfigError."""
    # The clip's thousands of objects stay: no collection walks them between two pictures.
    gc.freeze()
    server = LoadServer(clip, SystemClock(), host, port, in_pairs=in_pairs, staged=staged)
    sizes = clip.sizes()
    server.watch(_STDIN, Control(server).readable)
    say(
        Ready(
            port=server.port,
            clip=clip.name,
            kbit_s=round(clip.bit_rate / 1000, 1),
            key_bytes=max(sizes),
            other_bytes=max(size for number, size in enumerate(sizes) if number % KEY_INTERVAL),
        )
    )
    try:
        server.run()
    finally:
        server.close()
