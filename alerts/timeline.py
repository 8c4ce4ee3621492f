"""Time as the engine is given it: never back, and never standing still."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contracts.instant import Instant

if TYPE_CHECKING:
    from runtime.clock import Clock

_PACE_PERCENT: Final = 80


class Timeline:
    """The machine's clock, made safe to reason by.

    A clock that was set forward by mistake and is corrected leaves `now` ahead of it. Time then goes on at four
    fifths of its pace until the clock has caught up: a fire that nobody reviews still goes on by itself, after
    75 s instead of 60, and an hour too much is gone after five. `last` is where an earlier process left off.
    """

    def __init__(self, clock: Clock, last: Instant) -> None:
        self._clock = clock
        self._read_ns = clock.monotonic_ns()
        self.last = last

    def now(self) -> Instant:
        """The clock's time, or what has passed since the last call where the clock is behind that."""
        read_ns = self._clock.monotonic_ns()
        passed_ns = (read_ns - self._read_ns) * _PACE_PERCENT // 100
        self._read_ns = read_ns
        self.last = Instant(max(self._clock.now(), self.last + passed_ns))
        return self.last

    @property
    def ahead_ns(self) -> int:
        """How far the clock is behind what was told, ns; 0 as a rule."""
        return max(0, self.last - self._clock.now())
