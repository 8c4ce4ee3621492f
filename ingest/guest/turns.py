"""A camera's turns on patrol (轮巡): when it was seen, how long a round takes, when the patrol is over for it."""

from __future__ import annotations

from typing import Final

from contracts.errors import GridwhistleError
from contracts.instant import MINUTE, SECOND

_STANDS_NS: Final = MINUTE
"""A session for which nobody has waited for so long is no visit any more."""
_ROUNDS_MISSED: Final = 3
_FIRST_ROUND_NS: Final = 10 * MINUTE
"""A round is taken to be no longer than this while none was completed."""


class CameraTurns:
    """The turns of one camera. All times: monotonic ns.

    `visited_ns`: when its last visit ended, None while it is not on patrol. `misses`: visits in a row without a
    key picture. `hurried`: somebody waits for its next picture.
    """

    __slots__ = ("_contested_ns", "_round_ns", "hurried", "misses", "visited_ns")

    def __init__(self) -> None:
        self.visited_ns: int | None = None
        self.misses = 0
        self.hurried = False
        self._round_ns = 0
        self._contested_ns = 0

    @property
    def on_patrol(self) -> bool:
        """Whether it is visited in turn."""
        return self.visited_ns is not None

    def visited(self, now_ns: int) -> None:
        """A visit showed a key picture and is over."""
        if self.visited_ns is not None:
            self._round_ns = now_ns - self.visited_ns
        self.visited_ns = self._contested_ns = now_ns

    def seen(self, now_ns: int) -> None:
        """The first key picture of a session."""
        self.misses = 0
        self.hurried = False
        self._contested_ns = now_ns

    def failed(self, error: GridwhistleError) -> None:
        """A session ended with this error."""
        self.misses = self.misses + 1 if error.reason == "no_key_picture" else 0
        self.hurried = False

    def round_ns(self, now_ns: int) -> int:
        """How long it takes, or will take at least, from one visit to the next; 0 while it is not on patrol."""
        return max(self._round_ns, self.unseen_ns(now_ns))

    @property
    def completed_round_s(self) -> int | None:
        """Begun seconds between its last two visits, 0 before the second one; None while it is not on patrol."""
        return -(-self._round_ns // SECOND) if self.on_patrol else None

    def unseen_ns(self, now_ns: int) -> int:
        """How long ago the last visit was; 0 for one that is not on patrol."""
        return now_ns - self.visited_ns if self.visited_ns is not None else 0

    def missed(self, period_ns: int, now_ns: int) -> bool:
        """Whether three visits are missing by now: three rounds, or periods, whichever is longer."""
        round_ns = max(self._round_ns, period_ns) if self._round_ns else _FIRST_ROUND_NS
        return self.unseen_ns(now_ns) > _ROUNDS_MISSED * round_ns

    def stands(self, now_ns: int, *, contested: bool) -> bool:
        """Whether its session stands for good since nobody has waited for it for a minute: the patrol is over."""
        if contested:
            self._contested_ns = now_ns
        if self.visited_ns is None or now_ns - self._contested_ns < _STANDS_NS:
            return False
        self.visited_ns, self._round_ns = None, 0
        return True
