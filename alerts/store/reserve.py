"""The reserve: a file that holds disk space back, so that tickets still commit on a full disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_CHUNK: Final = b"\0" * (1024 * 1024)


class Reserve:
    """A file of `size_bytes` beside the database; 0 means none. Never raises for want of space."""

    def __init__(self, file: Path, size_bytes: int) -> None:
        self._file = file
        self.size_bytes = size_bytes

    @property
    def held(self) -> bool:
        """True while the space is held back."""
        try:
            return self.size_bytes > 0 and self._file.stat().st_size >= self.size_bytes
        except OSError:
            return False

    def hold(self) -> bool:
        """Take the space if the disk has twice as much free; True when it is held."""
        if self.held or self.size_bytes == 0:
            return self.held
        try:
            status = os.statvfs(self._file.parent)
            if status.f_bavail * status.f_frsize < 2 * self.size_bytes:
                return False
            # Real bytes, since a sparse file holds nothing back.
            with self._file.open("wb") as stream:
                left = self.size_bytes
                while left:
                    left -= stream.write(_CHUNK[:left])
        except OSError:
            self.release()
            return False
        return True

    def release(self) -> bool:
        """Give the space to the database; True when there was some to give."""
        try:
            self._file.unlink()
        except OSError:
            return False
        return True
