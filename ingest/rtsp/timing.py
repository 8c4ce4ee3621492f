"""Event time of pictures: RTP time anchored to arrival, so that no camera's own clock is believed.

The anchor is the quickest way that a picture ever took: a picture that comes earlier than expected pulls it down
at once; a slow upward drift lets it follow a camera whose 90 kHz clock is slow. A jump starts over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from contracts.instant import SECOND, Instant

_DRIFT_MAX_PER_MILLION: Final = 500
JUMP_NS: Final = 10 * SECOND
"""An RTP time that disagrees with arrival by more than this is a jump, not a late picture."""


@dataclass(frozen=True, slots=True)
class EventTime:
    """When a picture was taken, by the clock of its arrival; `jumped` when the RTP clock was set or began anew."""

    at: int
    jumped: bool

    def instant(self, arrival: Instant, steady_ns: int) -> Instant:
        """In our time, where the picture arrived at `arrival`, which was `steady_ns` by the monotonic clock."""
        return Instant(self.at + arrival - steady_ns)


class RtpTimeline:
    """One session's RTP timestamps (32 bits, wrapping) to nanoseconds. Event time never lies behind arrival.

    Arrival is told by a monotonic clock, and whoever asks turns the outcome into an Instant: when our own clock is
    set, all cameras follow at once.

    `jumps`: how often the clock was set or began anew.
    """

    __slots__ = ("_elapsed_ns", "_last", "_offset_ns", "_rate", "jumps")

    def __init__(self, clock_rate: int = 90_000) -> None:
        if clock_rate <= 0:
            raise ValueError("the RTP clock rate must be positive")
        self.jumps = 0
        self._rate = clock_rate
        self._last = -1
        self._elapsed_ns = 0
        self._offset_ns = 0

    def event_time(self, timestamp: int, arrival: int) -> EventTime:
        """The event time of a picture with this RTP timestamp that arrived now; call in order of arrival."""
        if self._last < 0:
            self._anchor(timestamp, arrival)
            return EventTime(arrival, False)
        step = (timestamp - self._last) & 0xFFFFFFFF
        if step >= 1 << 31:
            step -= 1 << 32
        self._last = timestamp
        step_ns = step * SECOND // self._rate
        elapsed_ns = self._elapsed_ns + step_ns
        late_ns = arrival - (elapsed_ns + self._offset_ns)
        if abs(late_ns) > JUMP_NS:
            self._anchor(timestamp, arrival)
            self.jumps += 1
            return EventTime(arrival, True)
        self._elapsed_ns = elapsed_ns
        if late_ns < 0:
            self._offset_ns += late_ns
        else:
            self._offset_ns += min(late_ns, max(step_ns, 0) * _DRIFT_MAX_PER_MILLION // 1_000_000)
        return EventTime(elapsed_ns + self._offset_ns, False)

    def _anchor(self, timestamp: int, arrival: int) -> None:
        self._last = timestamp
        self._elapsed_ns = 0
        self._offset_ns = arrival
