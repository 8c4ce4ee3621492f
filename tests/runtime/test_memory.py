"""Freed memory goes back to the machine also when something small was allocated behind it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from runtime.memory import give_back_freed

_PROGRAM = """
from pathlib import Path
from runtime.memory import give_back_freed

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

pictures, small = [], []
for _ in range(3_000):
    pictures.append(b"x" * 30_000)
    small.append(b"y" * 600)
pictures.clear()
before = resident()
assert give_back_freed()
print(before - resident())
"""


@pytest.mark.skipif(not give_back_freed(), reason="the C library has no malloc_trim")
def test_pictures_between_small_things_when_freed_leave_the_process() -> None:
    output = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert int(output) > 3_000 * 30_000 // 2
