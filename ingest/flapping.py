"""Flapping: a camera whose live sessions end again and again is not to be relied on, up or away.

One end is a failure like any other; four of them within ten minutes are a habit. It is over when a session held
for five minutes: well above the back-off, so that the quiet between two ends never looks like a repair.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from contracts.instant import MINUTE, SECOND

CAUSES_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class FlappingPolicy:
    """`ends` of live sessions within `window_ns` make it flap, `steady_ns` up without one end that, and it is
    merely `away_ns` away at most. Nanoseconds."""

    ends: int = 4
    window_ns: int = 10 * MINUTE
    steady_ns: int = 5 * MINUTE
    away_ns: int = 30 * SECOND


class Flapping:
    """Counts the ends of one camera's live sessions. `on`: it flaps. `long_away`: so long that it is simply gone.
    `stirs`: there is something to judge, a new end or that it flaps.

    Times are monotonic ns. An end in a storm (ingest.guest.storm) is the power's or the network's, not the
    camera's: of each storm one end is excused, the next ones count.
    """

    __slots__ = (
        "_away_ns",
        "_causes",
        "_ends",
        "_excused",
        "_policy",
        "_steady_ns",
        "_waiting",
        "long_away",
        "on",
        "stirs",
    )

    def __init__(self, policy: FlappingPolicy) -> None:
        self.on = False
        self.long_away = False
        self.stirs = False
        self._policy = policy
        self._ends: tuple[int, ...] = ()
        self._causes: tuple[str, ...] = ()
        self._waiting: tuple[tuple[int, str], ...] = ()
        self._excused = 0
        self._steady_ns = 0
        self._away_ns: int | None = None

    def ended(self, now_ns: int, cause: str) -> None:
        """A live session ended; `cause` is the error's reason. Judged by the next look, which knows of storms."""
        self._waiting = (*self._waiting, (now_ns, cause))[-self._policy.ends :]
        self._steady_ns = 0
        self._away_ns = now_ns
        self.stirs = True

    def look(self, now_ns: int, span_ns: int, *, up: bool, storm: int) -> None:
        """`span_ns` since the look before; `up`: it is live now; `storm`: number of the one that rages, or 0."""
        for at_ns, cause in self._waiting:
            if storm and storm != self._excused:
                self._excused = storm
                continue
            self._ends = (*self._ends, at_ns)[-self._policy.ends :]
            self._causes = (*self._causes, cause)[-self._policy.ends :]
        self._waiting = ()
        full = len(self._ends) == self._policy.ends
        self.on = self.stirs = self.on or (full and now_ns - self._ends[0] <= self._policy.window_ns)
        if not self.on:
            return
        if up:
            self._away_ns = None
            self._steady_ns += span_ns
        elif self._away_ns is None:
            self._away_ns, self._steady_ns = now_ns, 0
        self.long_away = self._away_ns is not None and now_ns - self._away_ns > self._policy.away_ns
        if self._steady_ns >= self._policy.steady_ns:
            self.on = self.stirs = self.long_away = False
            self._ends = self._causes = ()

    @property
    def causes(self) -> tuple[tuple[str, int], ...]:
        """Why its last sessions ended, as codes with their number, the most frequent first."""
        return tuple(Counter(self._causes).most_common(CAUSES_NAMED))
