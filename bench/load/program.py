"""How a measurement runs as a program: a folder of its own, its result as the last line, its verdict as status."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from contracts.errors import GridwhistleError

R = TypeVar("R", bound=msgspec.Struct)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder with a short name (Unix sockets lie in it), removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="gw-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_program(work: Callable[[Path], Coroutine[Any, Any, R]], good: Callable[[R], bool]) -> int:
    """Do the work and print its result as JSON; 1 when that is not good, or the work failed (said in words)."""
    with scratch_folder() as folder:
        try:
            result = asyncio.run(work(folder))
        except GridwhistleError as error:
            print(error, file=sys.stderr)
            return 1
    print(msgspec.json.encode(result).decode())
    return 0 if good(result) else 1
