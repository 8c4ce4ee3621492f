"""Memory that a process has freed, given back to the machine.

glibc gives back only what is free at the very end of its heap. A burst (a consumer that was away, a storm) leaves
free holes below what was allocated later, and the process keeps the size of its worst moment for good:
`malloc_trim` returns the whole pages in such holes too (glibc 2.8, malloc_trim(3)).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from runtime.clock import Clock

_EVERY_S: Final = 10.0


def _find_trim() -> Callable[[int], Any] | None:
    try:
        return cast("Callable[[int], Any]", ctypes.CDLL(None).malloc_trim)
    except (AttributeError, OSError, TypeError):
        return None


_trim = _find_trim()


def give_back_freed() -> bool:
    """Return freed pages of the heap to the kernel; False where the C library cannot (musl, macOS)."""
    if _trim is None:
        return False
    _trim(0)
    return True


async def give_back_forever(clock: Clock, *, every_s: float = _EVERY_S) -> None:
    """Give back what was freed about every `every_s` until cancelled."""
    while True:
        give_back_freed()
        await clock.asleep(every_s)
