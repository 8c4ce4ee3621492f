"""A folder of recordings as one source: its files in the order of their times, new ones as they appear."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Final

from contracts.instant import SECOND

_SUFFIXES: Final = frozenset({".mp4", ".mkv", ".ts", ".flv", ".avi", ".mov", ".ps", ".h264", ".264", ".h265"})
_TIME: Final = re.compile(
    r"(?<!\d)(20\d\d)[-_.]?(\d\d)[-_.]?(\d\d)[-_T. ]?(\d\d)[-_.:]?(\d\d)[-_.:]?(\d\d)(?!\d)(Z?)"
)
CHINA: Final = timezone(timedelta(hours=8))
"""Recorders name files in local time; a name with Z behind the time is UTC."""


def is_folder(url: str) -> bool:
    """True for a path or file:// URL of a folder."""
    return "://" not in url.removeprefix("file://") and Path(url.removeprefix("file://")).is_dir()


def time_in_name(name: str) -> int | None:
    """The first date with time in a file's name (20261125_100000, 2026-11-25T10-00-00Z), ns UTC; None without."""
    found = _TIME.search(name)
    if found is None:
        return None
    *numbers, zulu = found.groups()
    try:
        at = datetime(*(int(each) for each in numbers), tzinfo=timezone.utc if zulu else CHINA)  # type: ignore[arg-type,misc]  # noqa: UP017
    except ValueError:
        return None
    return int(at.timestamp()) * SECOND


class RecordingFolder:
    """Which file is to be read next. Files that changed within `quiet_s` may be half written and wait."""

    def __init__(self, folder: Path, quiet_s: float) -> None:
        self._folder = folder
        self._quiet_ns = round(quiet_s * SECOND)
        self._read: dict[Path, int] = {}

    def next_file(self, now_ns: int) -> tuple[Path, int | None] | None:
        """The oldest file not read yet and the wall time of its beginning (None when its name has none).

        Raises OSError when the folder cannot be listed. A file that grew after it was read is not read again.
        """
        present: dict[Path, tuple[int, str]] = {}
        for file in self._folder.iterdir():
            if file.name.startswith(".") or file.suffix.lower() not in _SUFFIXES:
                continue
            try:
                status = file.stat()
            except FileNotFoundError:
                continue
            begins = time_in_name(file.name)
            present[file] = (begins if begins is not None else status.st_mtime_ns, file.name)
            if now_ns - status.st_mtime_ns < self._quiet_ns or not status.st_size or not file.is_file():
                present.pop(file)
                if file in self._read:
                    present[file] = (0, file.name)
        # What was deleted needs no memory.
        self._read = {file: at for file, at in self._read.items() if file in present}
        fresh = [(order, file) for file, order in present.items() if file not in self._read]
        if not fresh:
            return None
        (_, name), file = min(fresh)
        self._read[file] = now_ns
        return file, time_in_name(name)
