"""The only place that reads a clock. Shell code takes a `Clock`; logic takes `now` as an argument."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from contracts.instant import SECOND, Instant


class Clock(Protocol):
    """Wall time, monotonic time and waiting."""

    def now(self) -> Instant:
        """Wall time, ns UTC; may jump when the system clock is set."""

    def monotonic_ns(self) -> int:
        """Time that never jumps, ns from an arbitrary start; for time-outs and ages."""

    def sleep(self, seconds: float) -> None:
        """Block the calling thread."""

    async def asleep(self, seconds: float) -> None:
        """Wait without blocking the event loop."""


class SystemClock:
    """The clock of the machine."""

    def now(self) -> Instant:
        """Wall time, ns UTC."""
        return Instant(time.time_ns())  # noqa: TID251

    def monotonic_ns(self) -> int:
        """Monotonic time, ns."""
        return time.monotonic_ns()  # noqa: TID251

    def sleep(self, seconds: float) -> None:
        """Block the calling thread."""
        time.sleep(seconds)  # noqa: TID251

    async def asleep(self, seconds: float) -> None:
        """Wait in the event loop."""
        await asyncio.sleep(seconds)  # noqa: TID251


_SIM_START = Instant(1_700_000_000 * SECOND)


class SimClock:
    """A clock that a test or a simulation moves by hand. Waiting moves it at once."""

    def __init__(self, start: Instant = _SIM_START) -> None:
        self._now = int(start)
        self._monotonic = 0

    def now(self) -> Instant:
        """The simulated wall time."""
        return Instant(self._now)

    def monotonic_ns(self) -> int:
        """The simulated monotonic time."""
        return self._monotonic

    def advance(self, seconds: float) -> Instant:
        """Move both clocks forward; returns the new wall time."""
        step = round(seconds * SECOND)
        if step < 0:
            raise ValueError("a simulated clock moves forward; use jump() for a clock that is set back")
        self._now += step
        self._monotonic += step
        return self.now()

    def jump(self, seconds: float) -> Instant:
        """Set the wall time only, as NTP or an operator would; may go back."""
        self._now += round(seconds * SECOND)
        return self.now()

    def sleep(self, seconds: float) -> None:
        """Waiting moves the clock."""
        self.advance(max(seconds, 0.0))

    async def asleep(self, seconds: float) -> None:
        """Waiting moves the clock and lets other tasks run."""
        self.advance(max(seconds, 0.0))
        await asyncio.sleep(0)  # noqa: TID251
