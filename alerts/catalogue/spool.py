"""The pages of a pass that is under way, kept on disk: one that was killed goes on at the page it had reached."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from contracts.catalogue_entry import CataloguePage
from contracts.instant import HOUR, Instant
from contracts.wire import DOES_NOT_PARSE


class _Head(msgspec.Struct, frozen=True):
    key: str
    begun_at: Instant


class Spool:
    """One JSON line a page, forced to disk before the next page is asked for.

    `key` says what is read and how (address, page size): a spool of anything else, one older than `hours_max`, and
    a line that was torn are not gone on with.
    """

    def __init__(self, file: Path, key: str, now: Instant, *, hours_max: float) -> None:
        self._file = file
        self.pages: list[CataloguePage] = []
        self.begun_at = now
        head, pages, whole_bytes = _read(file)
        if head is not None and head.key == key and now - head.begun_at < hours_max * HOUR:
            self.begun_at, self.pages = head.begun_at, pages
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(msgspec.json.encode(_Head(key, now)) + b"\n")
            whole_bytes = file.stat().st_size
        self._out = file.open("r+b")
        self._out.truncate(whole_bytes)
        self._out.seek(whole_bytes)

    @property
    def cursor(self) -> str | None:
        """Where to go on; None at the beginning, and when `over`."""
        return self.pages[-1].next_cursor if self.pages else None

    @property
    def over(self) -> bool:
        """Whether the last page is here."""
        return bool(self.pages) and self.pages[-1].next_cursor is None

    def add(self, page: CataloguePage) -> None:
        """Keep a page; returns when it is on the disk."""
        self._out.write(msgspec.json.encode(page) + b"\n")
        self._out.flush()
        os.fsync(self._out.fileno())
        self.pages.append(page)

    def close(self) -> None:
        """Give the file back; the pages stay for another time."""
        self._out.close()

    def done(self) -> None:
        """The pass is in the catalogue: nothing to go on with."""
        self._out.close()
        self._file.unlink(missing_ok=True)


def _read(file: Path) -> tuple[_Head | None, list[CataloguePage], int]:
    """Head, whole pages, and how many bytes they take."""
    try:
        lines = file.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return None, [], 0
    head: _Head | None = None
    pages: list[CataloguePage] = []
    whole = 0
    for line in lines:
        try:
            if not line.endswith(b"\n"):
                break
            if head is None:
                head = msgspec.json.decode(line, type=_Head)
            else:
                pages.append(msgspec.json.decode(line, type=CataloguePage))
        except DOES_NOT_PARSE:
            break
        whole += len(line)
    return head, pages, whole
