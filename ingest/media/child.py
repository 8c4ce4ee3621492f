"""The child process that reads sources through FFmpeg, one thread each. Native demuxers of foreign bytes crash,
hang and leak; here that costs a child of the pool.

Run as `python -m ingest.media.child SOCKET_FD NOTE_FD MEMORY_MAX` by ingest.media.pool. The note (shared memory)
receives the traceback of a crash, whose current thread names the source that was at fault.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import selectors
import signal
import socket
import sys
import threading
from typing import Final

import av

from contracts.errors import GridwhistleError
from contracts.instant import SECOND
from ingest.media.link import (
    LENGTHS,
    Beat,
    Close,
    Collect,
    Ended,
    Open,
    Opened,
    Ready,
    Skipped,
    from_parent,
    lengths,
)
from ingest.media.note import NoteTable
from ingest.media.outbox import Outbox
from ingest.media.play import MediaPlay, PlayedPicture
from ingest.media.taken import MediaFormat
from runtime.clock import SystemClock

BEAT_S: Final = 1.0
_STACK_BYTES: Final = 2 << 20
_PAGE_BYTES: Final = resource.getpagesize()


class MediaChild:
    """The sources of this process and the link to its parent."""

    def __init__(self, link: socket.socket, table: NoteTable) -> None:
        self._link = link
        self._table = table
        self._clock = SystemClock()
        self._outbox = Outbox()
        self._plays: dict[int, MediaPlay] = {}

    def serve(self) -> None:
        """Do what the parent asks until it closes the link."""
        # Not select(): in a county's worker the link's descriptor is far above its 1,024.
        waiting = selectors.DefaultSelector()
        waiting.register(self._link, selectors.EVENT_READ)
        threading.Thread(target=self._send, name="send", daemon=True).start()
        self._outbox.event(Ready())
        due_ns = self._clock.monotonic_ns()
        while True:
            now_ns = self._clock.monotonic_ns()
            if now_ns >= due_ns:
                self._outbox.event(self._beat(now_ns))
                due_ns = now_ns + round(BEAT_S * SECOND)
            if waiting.select(max(0.0, (due_ns - now_ns) / SECOND)) and not self._receive():
                return

    def _receive(self) -> bool:
        frame = self._exactly(LENGTHS.size)
        if frame is None:
            return False
        size, _ = lengths(frame)
        head = self._exactly(size)
        if head is None:
            return False
        match from_parent(head):
            case Open() as asked:
                self._open(asked)
            case Collect(number=number, every=every):
                play = self._plays.get(number)
                if play is not None:
                    play.collecting = every
            case Close(number=number):
                play = self._plays.get(number)
                if play is not None:
                    play.stop.set()
        return True

    def _exactly(self, size: int) -> bytes | None:
        data = b""
        while len(data) < size:
            part = self._link.recv(size - len(data))
            if not part:
                return None
            data += part
        return data

    def _open(self, asked: Open) -> None:
        number = asked.number

        def opened(found: MediaFormat) -> None:
            self._outbox.event(
                Opened(
                    number=number,
                    codec=found.codec,
                    container=found.container,
                    width=found.width,
                    height=found.height,
                    pictures_per_s=found.pictures_per_s,
                )
            )

        def skipped(file: str, error: GridwhistleError) -> None:
            self._outbox.event(Skipped(number=number, file=file, reason=error.reason, text=str(error)))

        def take(played: PlayedPicture) -> None:
            self._outbox.picture(number, played)

        play = MediaPlay(asked, self._clock, opened, take, skipped)
        self._plays[number] = play
        threading.Thread(target=self._play, args=(number, play), name=f"source {number}", daemon=True).start()

    def _play(self, number: int, play: MediaPlay) -> None:
        self._table.set(number, threading.get_ident())
        ended = Ended(number=number)
        try:
            play.run()
        except GridwhistleError as error:
            ended = Ended(number=number, kind=type(error).__name__, reason=error.reason, text=str(error))
        except MemoryError:
            ended = Ended(
                number=number, kind="SourceUnreachable", reason="memory", text="内存不足 (out of memory)"
            )
        except Exception as bug:  # noqa: BLE001 - one source must never end the others; the parent shows it
            text = f"unexpected {type(bug).__name__}"
            ended = Ended(number=number, kind="GridwhistleError", reason="bug", text=text)
        self._table.set(number, 0)
        del self._plays[number]
        self._outbox.event(ended)

    def _beat(self, now_ns: int) -> Beat:
        with open("/proc/self/statm", "rb") as file:
            rss_bytes = int(file.read().split()[1]) * _PAGE_BYTES
        hanging = [
            number
            for number, play in list(self._plays.items())
            if play.native_since_ns and now_ns - play.native_since_ns > play.native_max_ns
        ]
        return Beat(rss_bytes=rss_bytes, hanging=hanging)

    def _send(self) -> None:
        try:
            while True:
                self._link.sendall(self._outbox.take())
        except OSError:
            # The parent went away; threads within native code must not keep us.
            os._exit(0)


def main(arguments: list[str]) -> None:
    """Entry point of the child."""
    link_fd, note_fd, memory_max = (int(text) for text in arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable(file=note_fd, all_threads=True)
    resource.setrlimit(resource.RLIMIT_AS, (memory_max, memory_max))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.stack_size(_STACK_BYTES)
    av.logging.set_level(av.logging.PANIC)
    MediaChild(socket.socket(fileno=link_fd), NoteTable(note_fd)).serve()
    # Threads within native code are not waited for.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
