"""A file system of a few megabytes that a drill may fill to the last byte. Mounting needs root (Linux tmpfs)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.errors import ConfigError

_MIB = 1024 * 1024


@contextmanager
def small_disk(folder: Path, size_mib: int) -> Iterator[None]:
    """Mount `size_mib` MiB at `folder`, which is made. Raises ConfigError where mounting is not allowed."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "none", str(folder)]
    done = subprocess.run(mount, check=False, capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(f"{folder}: 无法挂载 (a file system cannot be mounted here): {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, name: str) -> Path:
    """Take every byte that is left on the disk of `folder` with a file of this name, which is returned."""
    file = folder / name
    with file.open("wb", buffering=0) as stream:
        for size in (_MIB, 4096, 1):
            try:
                while True:
                    stream.write(b"x" * size)
            except OSError:
                continue
    return file


def free_bytes(folder: Path) -> int:
    """What is left for an ordinary user."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize
