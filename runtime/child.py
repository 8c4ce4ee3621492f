"""How a child process is started: from our own sources, and never outliving its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
# Looked up here: a child between fork and exec must not wait for the dynamic linker's lock.
_prctl = ctypes.CDLL(None).prctl


def dying_with(parent: int) -> Callable[[], None]:
    """What a child does between fork and exec to be told (SIGTERM, Linux prctl(2)) when process `parent` died."""

    def in_child() -> None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        # Ctrl+C reaches the whole terminal: a child that is not ready for it yet leaves the answer to its parent.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if os.getppid() != parent:
            # The parent died before the kernel knew what to do then.
            os._exit(1)

    return in_child


def module_command(module: str, *arguments: object) -> list[str]:
    """The command line that runs one of our modules in this interpreter."""
    return [sys.executable, "-m", module, *(str(each) for each in arguments)]


def child_environment() -> dict[str, str]:
    """Our environment, with imports from where we were imported, installed or not."""
    root = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
    return {**os.environ, "PYTHONPATH": path}
