"""How often named things happened in the last minute, and when last. Pure; some 200 bytes for each name.

A minute is four quarters that are over. So a count is exact, not the sum of buckets that begin somewhere: asked at
the end of a quarter it holds what came in the 60 s before, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from contracts.coverage import REPORT_EVERY_NS, WINDOW_NS

QUARTER_NS: Final = REPORT_EVERY_NS
_QUARTERS: Final = WINDOW_NS // QUARTER_NS
_BITS: Final = 16
_FULL: Final = (1 << _BITS) - 1
"""A quarter counts no further: 4,369 a second for 15 s."""
_ALL: Final = (1 << (_QUARTERS + 1) * _BITS) - 1


class _Tally:
    """`quarters`: counts of 16 bits, the quarter of `last_ns` lowest, older ones above it."""

    __slots__ = ("last_ns", "quarters")

    def __init__(self, now_ns: int) -> None:
        self.last_ns = now_ns
        self.quarters = 0


class MinuteBook:
    """Counts by name. All times: monotonic ns, which never go back. For one thread."""

    def __init__(self) -> None:
        self._tallies: dict[str, _Tally] = {}

    def __len__(self) -> int:
        """Names that were counted and not forgotten."""
        return len(self._tallies)

    def count(self, name: str, now_ns: int) -> None:
        """It happened once more. Below a microsecond."""
        tally = self._tallies.get(name)
        if tally is None:
            tally = self._tallies[name] = _Tally(now_ns)
        turned = now_ns // QUARTER_NS - tally.last_ns // QUARTER_NS
        if turned > 0:
            tally.quarters = tally.quarters << min(turned, _QUARTERS + 1) * _BITS & _ALL
        if tally.quarters & _FULL != _FULL:
            tally.quarters += 1
        tally.last_ns = now_ns

    def keep_only(self, names: Iterable[str]) -> None:
        """Forget all others."""
        kept = frozenset(names)
        for name in self._tallies.keys() - kept:
            del self._tallies[name]

    def minute(self, name: str, end_ns: int) -> int:
        """How often in the 60 s before `end_ns`, the beginning of the quarter that runs now (`quarter_end`)."""
        tally = self._tallies.get(name)
        if tally is None:
            return 0
        # 1 when something came in the quarter that runs, 0 or less by the quarters in which nothing came since.
        first = tally.last_ns // QUARTER_NS - end_ns // QUARTER_NS + 1
        return sum(
            tally.quarters >> place * _BITS & _FULL for place in range(max(first, 0), max(first + _QUARTERS, 0))
        )

    def last_ns(self, name: str) -> int | None:
        """When it happened last, None when never."""
        tally = self._tallies.get(name)
        return None if tally is None else tally.last_ns


def quarter_end(now_ns: int) -> int:
    """When the last quarter ended that is over at `now_ns`."""
    return now_ns - now_ns % QUARTER_NS
