"""How far the files of catalogue notifications were taken: what was taken once is not taken again.

A notification tells of a change. The same one read a second time, after a later answer or another import, would
undo what came between. So a file that holds notifications is gone on with where it was left, and one that was
taken whole is passed over, also after a kill: nothing is noted before the catalogue is written. For the same
reason a list that notifications came after is passed over for as long as it stays what it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from alerts.catalogue.assemble import Announced
from contracts.wire import DOES_NOT_PARSE
from runtime.whole_file import write_whole

_FILES_MAX: Final = 1_000


class _Taken(msgspec.Struct, frozen=True):
    """`size` bytes of a file were taken; `digest` is theirs: another file under an old name is told by it.

    `notifications`: there were some among them; else it is a list, and known for having been taken before those.
    """

    size: int
    digest: str
    notifications: bool


class _Kept(msgspec.Struct, frozen=True):
    files: dict[str, _Taken] = {}
    waiting: tuple[Announced, ...] = ()


class Notified:
    """What of a feed's notifications was taken, in `file`; one that cannot be read counts as none."""

    def __init__(self, file: Path) -> None:
        self._file = file
        kept = _read(file)
        self.waiting = kept.waiting
        self._files = dict(kept.files)
        self._new: dict[str, _Taken] = {}
        self._waiting = kept.waiting

    def begin(self, file: Path, data: bytes) -> int:
        """Where to go on in `data`, the content of `file`; 0 = all of it is new."""
        taken = self._files.get(_name(file))
        return taken.size if taken is not None and _digest(data[: taken.size]) == taken.digest else 0

    def came_after(self, lists: Sequence[tuple[Path, bytes]]) -> bool:
        """Whether notifications were taken, and with or after just these lists (file, content); False for none."""
        noted = any(each.notifications for each in self._files.values())
        return noted and bool(lists) and all(self.begin(file, data) == len(data) for file, data in lists)

    def took(self, file: Path, data: bytes, size: int, *, notifications: bool) -> None:
        """The first `size` bytes of `data` were read: notifications, perhaps behind answers, or a list alone."""
        self._new[_name(file)] = _Taken(size, _digest(data[:size]), notifications)

    def read(self, waiting: tuple[Announced, ...]) -> None:
        """All files of the pass were read; `waiting`: notifications of which parts are missing."""
        self._waiting = waiting

    def keep(self) -> None:
        """The catalogue has what was read: note it."""
        files = {name: each for name, each in self._files.items() if name not in self._new} | self._new
        if not any(each.notifications for each in files.values()):
            return
        latest = dict(list(files.items())[-_FILES_MAX:])
        write_whole(self._file, msgspec.json.encode(_Kept(latest, self._waiting)))


def _read(file: Path) -> _Kept:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Kept)
    except (OSError, *DOES_NOT_PARSE):
        return _Kept()


def _name(file: Path) -> str:
    return str(file.resolve())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
