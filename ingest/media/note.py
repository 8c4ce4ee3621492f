"""What a media child leaves behind when it dies: which thread read which source, and the traceback of its crash.

Shared memory: a table of (source number, thread) first, then the text that faulthandler writes on a fatal signal.
Its current thread is the one that the signal struck, so the source at fault is known and not guessed.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from typing import Final

_ROW: Final = struct.Struct("<QQ")
ROWS: Final = 1024
"""Sources at once in one child stay far below it."""
_TABLE_BYTES: Final = ROWS * _ROW.size
_TEXT_BYTES_MAX: Final = 256 * 1024
_CURRENT: Final = re.compile(rb"Current thread 0x([0-9a-f]+)")


def new_note() -> int:
    """The file descriptor of an empty note; the caller closes it."""
    note = os.memfd_create("gridwhistle-media-note")
    os.ftruncate(note, _TABLE_BYTES)
    os.lseek(note, _TABLE_BYTES, os.SEEK_SET)
    return note


class NoteTable:
    """The child's side of the table."""

    def __init__(self, note: int) -> None:
        self._memory = mmap.mmap(note, _TABLE_BYTES)

    def set(self, number: int, thread: int) -> None:
        """This thread reads source `number` from now on; thread 0 = none does."""
        _ROW.pack_into(self._memory, number % ROWS * _ROW.size, number, thread)


def source_at_fault(note: int) -> int | None:
    """The number of the source whose thread crashed, None when the note does not say."""
    found = _CURRENT.search(os.pread(note, _TEXT_BYTES_MAX, _TABLE_BYTES))
    if found is None:
        return None
    crashed = int(found.group(1), 16)
    for number, thread in _ROW.iter_unpack(os.pread(note, _TABLE_BYTES, 0)):
        if thread == crashed:
            return int(number)
    return None
