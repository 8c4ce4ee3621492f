"""Files that other processes read: whoever opens one sees the old content or the new, never a half."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write beside the name, force to disk, then take the name over; folders are made if missing.

    `private`: nobody but its owner may read it. Raises OSError; the file is then as it was and nothing is left
    behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Under the writer's own name: two processes may write the same file at the same time.
    waiting = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(waiting, "wb", opener=_open_private if private else None) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        waiting.replace(path)
    except OSError:
        waiting.unlink(missing_ok=True)
        raise


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
