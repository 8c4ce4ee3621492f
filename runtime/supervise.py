"""The only retry loop: `run_once` works, `supervise` tries again, with jittered exponential back-off."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from contracts.errors import GridwhistleError
from contracts.instant import SECOND

if TYPE_CHECKING:
    from runtime.clock import Clock


class Backoff:
    """Delays that double from `first_s` to `max_s`, each drawn from its upper half ("equal jitter").

    The jitter comes from `seed` (use the source's id), so a thousand sources that fail together do not come back
    together, and a run is repeatable.
    """

    def __init__(self, first_s: float, max_s: float, seed: str) -> None:
        if not 0 < first_s <= max_s:
            raise ValueError("back-off needs 0 < first_s <= max_s")
        self._first_s = first_s
        self._max_s = max_s
        self._seed = seed
        self._drawn = 0
        self.failures = 0

    def failed(self) -> float:
        """Seconds to wait before the next attempt."""
        ceiling = min(self._max_s, self._first_s * 2.0 ** min(self.failures, 30))
        self.failures += 1
        self._drawn += 1
        # A checksum draws well enough, and a generator's state (2.5 kB) for each of a county's sources does not.
        drawn = zlib.crc32(f"{self._seed}:{self._drawn}".encode()) / 2**32
        return ceiling / 2 + drawn * ceiling / 2

    def succeeded(self) -> None:
        """The source worked for a while: start over with the first delay."""
        self.failures = 0


async def supervise(
    run_once: Callable[[], Awaitable[None]],
    backoff: Backoff,
    clock: Clock,
    stop: asyncio.Event,
    on_failure: Callable[[GridwhistleError, float], None],
    *,
    healthy_s: float = 10.0,
) -> None:
    """Call `run_once` again and again until `stop`; an end without error counts as a failure without cause.

    `on_failure(error, delay_s)` hears of every failure. An attempt that lasted `healthy_s` resets the back-off.
    An error outside our tree is a bug of ours: it is reported as such and retried, since one source must never
    end a process.
    """
    while not stop.is_set():
        began_ns = clock.monotonic_ns()
        try:
            await run_once()
            error = GridwhistleError("the source ended by itself", reason="ended")
        except GridwhistleError as caught:
            error = caught
        except Exception as bug:  # noqa: BLE001 - the one place per process that may: see the docstring
            error = GridwhistleError(f"unexpected {type(bug).__name__}: {bug}", reason="bug")
        if clock.monotonic_ns() - began_ns >= healthy_s * SECOND:
            backoff.succeeded()
        if stop.is_set():
            return
        delay_s = backoff.failed()
        on_failure(error, delay_s)
        await wait_or_stop(clock, stop, delay_s)


async def wait_or_stop(clock: Clock, stop: asyncio.Event, delay_s: float) -> bool:
    """Wait `delay_s` or until `stop`; True when stopped."""
    if stop.is_set():
        return True
    sleeper = asyncio.ensure_future(clock.asleep(delay_s))
    stopper = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({sleeper, stopper}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sleeper.cancel()
        stopper.cancel()
        # Gathered, not awaited one by one: a cancellation of ours that comes just now is not one of theirs.
        await asyncio.gather(sleeper, stopper, return_exceptions=True)
    return stop.is_set()
