"""Locks on files: who holds one is the only process of its kind, until it ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class FileLock:
    """Held once made. The kernel takes it back from a process that was killed; children do not inherit it."""

    def __init__(self, path: Path) -> None:
        """Makes the file and its folder if missing. Raises BlockingIOError when another holds it, else OSError."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise

    def close(self) -> None:
        """Give the lock back."""
        os.close(self._descriptor)
