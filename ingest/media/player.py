"""Plays a source read by ingest.media.demux in a thread, and hands its key pictures to the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Final

from contracts.frame import Codec
from contracts.instant import SECOND
from ingest.media.demux import MediaFormat, MediaPicture, MediaSource, is_file

if TYPE_CHECKING:
    from ingest.rtsp.credentials import Credentials
    from runtime.clock import Clock

_SLICE_S: Final = 0.2

Take = Callable[[Codec, MediaPicture, bool], None]
"""(codec, picture, first of a pass) within the event loop."""


class MediaPlayer:
    """One source; `run_once` plays it once to its end or failure (a file in a loop: until cancelled)."""

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        threads: ThreadPoolExecutor,
        take: Take,
        playing: Callable[[MediaFormat], None],
        credentials: Credentials | None = None,
        udp: bool = False,
        loop_file: bool = True,
        paced: bool = True,
        picture_bytes_max: int = 4 << 20,
        stall_s: float = 10.0,
    ) -> None:
        self._url = url
        self._clock = clock
        self._threads = threads
        self._take = take
        self._playing = playing
        self._credentials = credentials
        self._udp = udp
        self._loop_file = loop_file and is_file(url)
        self._paced = paced and is_file(url)
        self._picture_bytes_max = picture_bytes_max
        self._stall_s = stall_s

    async def run_once(self) -> None:
        """Play. Raises the SourceError that ended it; returns at the end of a file that is not looped."""
        loop = asyncio.get_running_loop()
        stop = threading.Event()
        task = loop.run_in_executor(self._threads, self._play, loop, stop)
        try:
            await asyncio.shield(task)
        finally:
            # The thread looks at `stop` between packets and waits at most the read time-out within one.
            stop.set()

    def _play(self, loop: asyncio.AbstractEventLoop, stop: threading.Event) -> None:
        while not stop.is_set():
            with closing(
                MediaSource(
                    self._url,
                    credentials=self._credentials,
                    open_s=self._stall_s,
                    read_s=self._stall_s,
                    picture_bytes_max=self._picture_bytes_max,
                    udp=self._udp,
                )
            ) as source:
                if not _post(loop, self._playing, source.format):
                    return
                self._pass(source, loop, stop)
            if not self._loop_file:
                return

    def _pass(self, source: MediaSource, loop: asyncio.AbstractEventLoop, stop: threading.Event) -> None:
        first = True
        origin_s: float | None = None
        began_ns = self._clock.monotonic_ns()
        for picture in source.key_pictures():
            if self._paced and picture.time_s is not None:
                origin_s = picture.time_s if origin_s is None else origin_s
                self._wait_until(began_ns + round((picture.time_s - origin_s) * SECOND), stop)
            if stop.is_set() or not _post(loop, self._take, source.format.codec, picture, first):
                return
            first = False
        if self._loop_file and first:
            # A file without any key picture must not spin.
            self._wait_until(self._clock.monotonic_ns() + SECOND, stop)
        elif self._loop_file and source.format.pictures_per_s:
            tail_s = min(source.pictures / source.format.pictures_per_s, 3600.0)
            self._wait_until(began_ns + round(tail_s * SECOND), stop)

    def _wait_until(self, due_ns: int, stop: threading.Event) -> None:
        while not stop.is_set():
            wait_s = (due_ns - self._clock.monotonic_ns()) / SECOND
            if wait_s <= 0:
                return
            self._clock.sleep(min(wait_s, _SLICE_S))


def _post(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *arguments: object) -> bool:
    """Run a call in the event loop; False when the loop is gone. Pictures are paced or live, so the loop's queue
    stays short."""
    try:
        loop.call_soon_threadsafe(call, *arguments)
    except RuntimeError:
        return False
    return True
