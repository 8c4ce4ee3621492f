"""Plays one source in a thread of a media child: once, in a loop, or a folder of recordings file by file."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from contracts.errors import GridwhistleError, SourceMissing
from contracts.instant import SECOND
from ingest.media.address import is_file, is_list
from ingest.media.demux import MediaSource
from ingest.media.folder import RecordingFolder, is_folder
from ingest.media.resolve import check_name
from ingest.media.taken import MediaFormat, MediaPicture
from ingest.rtsp.credentials import Credentials

if TYPE_CHECKING:
    from ingest.media.link import Open
    from runtime.clock import Clock

_SLICE_S: Final = 0.2
_FOLDER_EVERY_S: Final = 1.0
_LIST_PATIENCE: Final = 3.0
"""So many times longer than other sources a list of segments may say nothing: FFmpeg waits within one read for the
next list, a segment and a half, and segments of ten seconds are common."""


@dataclass(frozen=True, slots=True)
class PlayedPicture:
    """A picture; `wall_ns` by the recording's own clock or None; `first` of a pass, file or format.

    `every`: read as fast as it is taken, so none is to be replaced by a later one. `collected`: all pictures of
    the source are wanted, so a later one does not replace it.
    """

    format: MediaFormat
    picture: MediaPicture
    wall_ns: int | None
    first: bool
    every: bool
    collected: bool


class MediaPlay:
    """One source from its opening to its end. `stop` is looked at between packets and while waiting.

    `skipped` hears of a file of a folder that cannot be read, or not to its end.
    """

    def __init__(
        self,
        asked: Open,
        clock: Clock,
        opened: Callable[[MediaFormat], None],
        take: Callable[[PlayedPicture], None],
        skipped: Callable[[str, GridwhistleError], None] = lambda _file, _error: None,
    ) -> None:
        self._asked = asked
        self._clock = clock
        self._opened = opened
        self._take = take
        self._skipped = skipped
        self.collecting = False
        """Whether all pictures are wanted; set by the thread that hears the parent."""
        self.stop = threading.Event()
        self.native_since_ns = 0
        """Since when the thread is within a native call (monotonic ns), 0 while it is not."""
        self._read_s = asked.stall_s * (_LIST_PATIENCE if is_list(asked.url) else 1.0)
        self.native_max_ns = round((asked.stall_s + self._read_s + 5) * SECOND)

    def run(self) -> None:
        """Play until the end or `stop`. Raises the SourceError that ended it."""
        if is_folder(self._asked.url):
            self._folder(Path(self._asked.url.removeprefix("file://")))
            return
        while not self.stop.is_set():
            self._pass(self._asked.url, None)
            if not (self._asked.loop and is_file(self._asked.url)):
                return

    def _folder(self, path: Path) -> None:
        """Files as they appear, until stopped; one that cannot be read is passed over."""
        folder = RecordingFolder(path, self._asked.quiet_s)
        while not self.stop.is_set():
            try:
                found = folder.next_file(self._clock.now())
            except OSError as error:
                raise SourceMissing(f"文件夹 {path} 无法读取 (cannot be listed): {error.strerror}") from None
            if found is None:
                self._wait_until(self._clock.monotonic_ns() + round(_FOLDER_EVERY_S * SECOND))
                continue
            file, begins_ns = found
            try:
                self._pass(str(file), begins_ns)
            except GridwhistleError as error:
                self._skipped(file.name, error)

    def _pass(self, url: str, begins_ns: int | None) -> None:
        asked = self._asked
        check_name(url, asked.stall_s)
        self.native_since_ns = self._clock.monotonic_ns()
        try:
            source = MediaSource(
                url,
                credentials=Credentials(asked.user, asked.password) if asked.user else None,
                open_s=asked.stall_s,
                read_s=self._read_s,
                picture_bytes_max=asked.picture_bytes_max,
                udp=asked.udp,
                stop=self.stop.is_set,
                reading=self._reading,
            )
        finally:
            self.native_since_ns = 0
        with closing(source):
            self._opened(source.format)
            self._pictures(source, begins_ns)

    def _reading(self, begins: bool) -> None:
        self.native_since_ns = self._clock.monotonic_ns() if begins else 0

    def _pictures(self, source: MediaSource, begins_ns: int | None) -> None:
        paced = self._asked.paced and source.finite
        first = True
        origin_s: float | None = None
        began_ns = self._clock.monotonic_ns()
        for picture in source.access_units(lambda: self.collecting):
            wall_ns = None
            if picture.time_s is not None:
                origin_s = picture.time_s if origin_s is None else origin_s
                elapsed_ns = round((picture.time_s - origin_s) * SECOND)
                if paced:
                    self._wait_until(began_ns + elapsed_ns)
                wall_ns = begins_ns + elapsed_ns if begins_ns is not None else None
            if self.stop.is_set():
                return
            self._take(
                PlayedPicture(
                    source.format,
                    picture,
                    wall_ns,
                    first or picture.changed,
                    every=source.finite and not paced,
                    collected=self.collecting,
                )
            )
            first = False
        if self._asked.loop and first:
            # A file without any key picture must not spin.
            self._wait_until(self._clock.monotonic_ns() + SECOND)
        elif paced and self._asked.loop and source.format.pictures_per_s:
            tail_s = min(source.pictures / source.format.pictures_per_s, 3600.0)
            self._wait_until(began_ns + round(tail_s * SECOND))

    def _wait_until(self, due_ns: int) -> None:
        while not self.stop.is_set():
            wait_s = (due_ns - self._clock.monotonic_ns()) / SECOND
            if wait_s <= 0:
                return
            self._clock.sleep(min(wait_s, _SLICE_S))
