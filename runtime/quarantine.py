"""Sources whose bytes ended a child process twice are left alone for a while, so that they cost no third one."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from contracts.instant import SECOND, Instant

_FORGIVEN_AFTER: Final = 50
_REMEMBERED_MAX: Final = 20_000


class Quarantine:
    """Which sources are left alone, since what they sent ended a child twice. Pure: `now` is given."""

    def __init__(self, hold_s: float) -> None:
        self._hold_ns = round(hold_s * SECOND)
        self._crashes: OrderedDict[str, int] = OrderedDict()
        self._good: dict[str, int] = {}
        self._until: dict[str, Instant] = {}

    def crashed(self, source_id: str, now: Instant) -> bool:
        """Note a crash; True when the source is quarantined by it."""
        count = self._crashes.pop(source_id, 0) + 1
        self._crashes[source_id] = count
        self._good.pop(source_id, None)
        while len(self._crashes) > _REMEMBERED_MAX:
            oldest, _ = self._crashes.popitem(last=False)
            self._good.pop(oldest, None)
        if count < 2:
            return False
        self._until[source_id] = Instant(now + self._hold_ns)
        return True

    def succeeded(self, source_id: str) -> None:
        """A good picture; fifty of them in a row make a crash forgotten."""
        if source_id not in self._crashes:
            return
        good = self._good.get(source_id, 0) + 1
        self._good[source_id] = good
        if good >= _FORGIVEN_AFTER:
            del self._crashes[source_id], self._good[source_id]

    def holds(self, source_id: str, now: Instant) -> bool:
        """Whether the source is to be left alone; after the time it may try again, and has one crash left."""
        until = self._until.get(source_id)
        if until is None:
            return False
        if now < until:
            return True
        del self._until[source_id]
        return False

    def __len__(self) -> int:
        return len(self._until)
