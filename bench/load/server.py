"""The load server: RTSP 1.0 with interleaved RTP for thousands of streams, in one thread of one process.

Time is cut into slots. In each slot the streams of some phases are due; each gets the ready bytes of its next
picture with one `send`. Between the slots the same epoll serves the RTSP dialogue. A stream joins at its next
picture, whatever that is, as a camera lets a client join.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from bench.load.clips import KEY_INTERVAL
from bench.load.faults import Fault, send_with
from bench.load.ledger import Ledger
from bench.load.player import Gone, Player
from bench.load.programme import PICTURE_NS, PackedPicture, Programme
from contracts.errors import ConfigError, RefusedInput
from contracts.instant import MS, SECOND, Instant
from sim.rtp_stream import interleave

if TYPE_CHECKING:
    from bench.load.clips import Clip
    from runtime.clock import Clock

SLOTS: Final = 10
"""Slots in the time of a picture: the streams do not all send at the same moment."""
PHASES: Final = SLOTS * KEY_INTERVAL
"""Phases in the time between two key pictures; neighbouring streams lie far apart."""
_SLOT_NS: Final = PICTURE_NS // SLOTS
_STRIDE: Final = 309
"""Prime to PHASES, near its golden section: any run of stream numbers is spread evenly."""
_LATE_MS_MAX: Final = 2_000
_BACKLOG: Final = 4_096


def phase_of(stream: int) -> int:
    """The phase of a stream: how many slots it lags behind the programme."""
    return stream * _STRIDE % PHASES


class LoadServer:
    """Serves `rtsp://host:port/cam/{number}` for any number. Raises ConfigError when the port is taken.

    `sent` holds every key picture whose last byte the kernel took, with the moment just
    before it was handed over. Port 0 takes a free one.
    `in_pairs`: two pictures go out with one `send`, the later one (all key pictures are later ones) on time and
    the one before it a period late, as encoders do that flush in batches; it costs half as many system calls.
    """

    def __init__(
        self,
        clip: Clip,
        clock: Clock,
        host: str,
        port: int,
        *,
        in_pairs: bool = False,
        staged: Clip | None = None,
    ) -> None:
        """`staged`: what single streams can be told to show instead (`stage`)."""
        self.clock = clock
        self.host = host
        self._staged_clip = staged
        self._staged: Programme | None = None
        self.programme = Programme(clip, kept=KEY_INTERVAL + 2)
        self.sent = Ledger()
        self.accepted_ns: list[int] = []
        self.opening_max = 0
        self.refused_connections = 0
        self.bytes_sent = 0
        self.pictures_sent = 0
        self.pictures_left_out = 0
        self.malformed = 0
        self.stopped = False
        self._faults: dict[int, Fault] = {}
        self._in_pairs = in_pairs
        self._players: dict[int, Player] = {}
        self._phases: list[list[Player]] = [[] for _ in range(PHASES)]
        self._playing = 0
        self._refused_until: dict[int, int] = {}
        self._refuse_all_until_ns = 0
        self._late_ms = [0] * (_LATE_MS_MAX + 1)
        self._watched: dict[int, Callable[[], None]] = {}
        self._epoll = select.epoll()
        self._listener = self._listen(port)
        self.port: int = self._listener.getsockname()[1]
        self._start_ns = clock.monotonic_ns()
        self._wall_minus_monotonic_ns = clock.now() - self._start_ns
        self._slot = 0

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.host, port))
        except OSError as error:
            listener.close()
            raise ConfigError(f"无法监听 {self.host}:{port} (cannot listen): {error.strerror}") from None
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        self._epoll.register(listener.fileno(), select.EPOLLIN)
        return listener

    @property
    def playing(self) -> int:
        """Streams that play now."""
        return self._playing

    @property
    def opening(self) -> int:
        """Connections that do not play yet."""
        return len(self._players) - self._playing

    def late_ms(self, share: float) -> int:
        """How late slots began, ms: this share of them was not later."""
        total = sum(self._late_ms)
        reached = 0
        for late, count in enumerate(self._late_ms):
            reached += count
            if reached >= share * total:
                return late
        return _LATE_MS_MAX

    def reset_late(self) -> None:
        """Note anew how late slots begin."""
        self._late_ms = [0] * (_LATE_MS_MAX + 1)

    def watch(self, fileno: int, readable: Callable[[], None]) -> None:
        """Call `readable` when this descriptor (the control link's) has something to read."""
        self._watched[fileno] = readable
        self._epoll.register(fileno, select.EPOLLIN)

    def run(self) -> None:
        """Serve until `stopped`."""
        while not self.stopped:
            due_ns = self._start_ns + self._slot * _SLOT_NS
            now_ns = self.clock.monotonic_ns()
            if now_ns < due_ns:
                self._serve((due_ns - now_ns) / SECOND)
                continue
            self._late_ms[min((now_ns - due_ns) // MS, _LATE_MS_MAX)] += 1
            self._send_slot(self._slot, due_ns)
            self._slot += 1
            self._serve(0)

    def close(self) -> None:
        """Cut everybody off and stop listening."""
        for player in list(self._players.values()):
            self._drop(player)
        self._listener.close()
        self._epoll.close()

    def cut(self, streams: Iterable[int] | None, refuse_s: float) -> int:
        """Reset these streams (None: all) at once, and every new connection of theirs for so long; how many."""
        until_ns = self.clock.monotonic_ns() + round(refuse_s * SECOND)
        if streams is None:
            self._refuse_all_until_ns = until_ns
            victims = list(self._players.values())
        else:
            named = set(streams)
            self._refused_until.update(dict.fromkeys(named, until_ns))
            victims = [player for player in self._players.values() if player.stream in named]
        for player in victims:
            self._drop(player, reset=True)
        return len(victims)

    def set_fault(self, stream: int, fault: Fault | None) -> None:
        """Give a stream a fault, None takes it away; it stays when the client comes again."""
        if fault is None:
            self._faults.pop(stream, None)
        else:
            self._faults[stream] = fault
        for player in self._players.values():
            if player.stream == stream and player.playing:
                player.set_fault(fault)

    def stage(self, streams: Iterable[int], *, wanted: bool) -> int:
        """Let these streams show the staged clip from their next key pictures on, or no longer; how many play.

        What a stream showed before its client came again is forgotten. Without a staged clip: none.
        """
        if self._staged_clip is None:
            return 0
        if self._staged is None:
            # It begins some groups back, where the stream that lags most is by now.
            groups_back = self._slot // SLOTS // KEY_INTERVAL - 2
            self._staged = Programme(
                self._staged_clip, kept=KEY_INTERVAL + 2, begin=max(groups_back, 0) * KEY_INTERVAL
            )
        named = set(streams)
        victims = [player for player in self._players.values() if player.stream in named and player.playing]
        for player in victims:
            player.stage(wanted=wanted)
        return len(victims)

    def _blob(self, picture: PackedPicture, channel: int, report: bytes | None) -> bytes:
        """What a good stream sends with this picture."""
        framed = picture.framed(channel)
        if self._in_pairs and picture.number:
            framed = self.programme.picture(picture.number - 1).framed(channel) + framed
        return framed if report is None else interleave(channel + 1, report) + framed

    def _send_slot(self, slot: int, due_ns: int) -> None:
        """The next picture to every stream whose turn it is; the hot loop."""
        note, monotonic_ns = self.sent.note, self.clock.monotonic_ns
        gone: list[Player] = []
        for phase in range(slot % SLOTS, min(slot + 1, PHASES), SLOTS):
            players = self._phases[phase]
            if not players:
                continue
            picture = self.programme.picture((slot - phase) // SLOTS)
            if self._in_pairs and picture.number % 2:
                continue
            counter = picture.counter
            wall = Instant(due_ns + self._wall_minus_monotonic_ns)
            report = self.programme.report(picture, wall)
            blob = self._blob(picture, 0, report)
            size = len(blob)
            total = 0
            for player in players:
                if not player.plain:
                    total += self._send_carefully(player, picture, report, wall, gone)
                    continue
                at_ns = 0 if counter is None else monotonic_ns()
                try:
                    sent = player.send(blob)
                except (BlockingIOError, InterruptedError):
                    sent = 0
                except OSError:
                    gone.append(player)
                    continue
                total += sent
                if sent < size:
                    player.keep(memoryview(blob)[sent:], counter)
                    self._want_writable(player)
                elif counter is not None:
                    note(player.stream, counter, at_ns)
            self.bytes_sent += total
            self.pictures_sent += len(players) * (2 if self._in_pairs else 1)
        for player in gone:
            self._drop(player)

    def _send_carefully(
        self, player: Player, picture: PackedPicture, report: bytes | None, wall: Instant, gone: list[Player]
    ) -> int:
        """The same for a stream that is slow, faulty, or on another channel; bytes sent."""
        fault = player.fault
        counter = picture.counter
        if player.staged is not None and self._staged is not None:
            blob = player.staged.send(picture, self._staged.picture(picture.number), player.channel)
            blob += b"" if report is None else interleave(player.channel + 1, report)
        elif fault is None:
            blob = self._blob(picture, player.channel, report)
        else:
            sending = send_with(
                fault,
                picture,
                channel=player.channel,
                played=player.pictures,
                stream=player.stream,
                ssrc=self.programme.ssrc,
                wall=wall,
                frozen=player.frozen,
            )
            if sending.reset:
                self._drop(player, reset=True)
                return 0
            blob = sending.blob
            counter = counter if sending.whole else None
            player.pictures += 1
        left_out = player.pictures_left_out
        try:
            sent = player.offer(blob, counter) if blob else 0
        except Gone:
            gone.append(player)
            return 0
        self.pictures_left_out += player.pictures_left_out - left_out
        if player.waiting:
            self._want_writable(player)
        return sent

    def _serve(self, wait_s: float) -> None:
        for fileno, events in self._epoll.poll(wait_s):
            player = self._players.get(fileno)
            if player is not None:
                self._serve_player(player, events)
            elif fileno == self._listener.fileno():
                self._accept()
            elif fileno in self._watched:
                self._watched[fileno]()

    def _serve_player(self, player: Player, events: int) -> None:
        try:
            if events & select.EPOLLOUT:
                self.bytes_sent += player.flush()
                if not player.waiting:
                    self._epoll.modify(player.fileno(), select.EPOLLIN)
            if events & ~select.EPOLLOUT:
                self._dialogue(player)
        except Gone:
            self._drop(player)
        except RefusedInput:
            self.malformed += 1
            self._drop(player)

    def _dialogue(self, player: Player) -> None:
        for request in player.requests():
            was_playing = player.playing
            reply = player.answer(request, self.programme)
            if self._refused_until.get(player.stream, 0) > self.clock.monotonic_ns():
                self.refused_connections += 1
                self._drop(player, reset=True)
                return
            player.offer(reply, None)
            if player.waiting:
                self._want_writable(player)
            if player.playing and not was_playing:
                player.set_fault(self._faults.get(player.stream))
                self._phases[phase_of(player.stream)].append(player)
                self._playing += 1

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                raise ConfigError(
                    f"无法接受更多连接 (cannot accept more connections): {error.strerror}; 请提高文件句柄上限 "
                    "(raise the limit of open files: ulimit -n)"
                ) from None
            now_ns = self.clock.monotonic_ns()
            self.accepted_ns.append(now_ns)
            player = Player(sock, self.clock, self.sent)
            if now_ns < self._refuse_all_until_ns:
                self.refused_connections += 1
                player.close(reset=True)
                continue
            self._players[player.fileno()] = player
            self._epoll.register(player.fileno(), select.EPOLLIN)
            self.opening_max = max(self.opening_max, self.opening)

    def _want_writable(self, player: Player) -> None:
        self._epoll.modify(player.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def _drop(self, player: Player, *, reset: bool = False) -> None:
        fileno = player.fileno()
        if self._players.pop(fileno, None) is None:
            return
        with suppress(OSError):
            self._epoll.unregister(fileno)
        if player.playing:
            # A new list: the hot loop may be walking the old one.
            phase = phase_of(player.stream)
            self._phases[phase] = [each for each in self._phases[phase] if each is not player]
            self._playing -= 1
        player.close(reset=reset)
