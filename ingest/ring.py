"""The last pictures of the cameras that somebody may ask about: suspects, and those that the policy names.

Bounded in bytes for all cameras together and in time for each; the oldest picture of all goes first, so that one
camera with large pictures does not push out more than its share in time.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from contracts.frame import Frame
from contracts.instant import Instant

PICTURE_OVERHEAD_BYTES: Final = 1024
"""Charged for each picture besides its bytes: header, numbers and table entries (about 900 bytes in CPython 3.11).
Without it the small pictures of a quiet night would take several times the budget."""


class PictureRing:
    """Key pictures of the last `window_ns`, and of the group of pictures that is open the others too.

    `size_bytes`: memory of all that is kept, PICTURE_OVERHEAD_BYTES for each picture included; never above
    `budget_bytes`. Counts: `evicted` (pictures given up for the budget before their time was over).
    """

    def __init__(self, budget_bytes: int, window_ns: int, suspects_max: int = 64) -> None:
        if budget_bytes < 0 or window_ns <= 0:
            raise ValueError("the ring needs a budget of at least 0 bytes and a window above 0")
        self.budget_bytes = budget_bytes
        self.size_bytes = 0
        self.evicted = 0
        self._window_ns = window_ns
        self._suspects_max = suspects_max
        self._suspects: set[str] = set()
        self._numbers = 0
        self._sources: dict[str, OrderedDict[int, Frame]] = {}
        self._order: OrderedDict[int, str] = OrderedDict()

    def __len__(self) -> int:
        """Pictures that are kept."""
        return len(self._order)

    def watch(self, source_id: str, suspect: bool) -> bool:
        """Whether the open group of this camera is kept: of suspects, and of at most `suspects_max` at once.

        Rain makes a county of suspects, and to take every picture of all of them is what no worker can do.
        """
        if not suspect:
            self._suspects.discard(source_id)
        elif source_id not in self._suspects and len(self._suspects) < self._suspects_max:
            self._suspects.add(source_id)
        return source_id in self._suspects

    def keep(self, frame: Frame) -> None:
        """Keep a picture. With a key picture a new group opens: of the one before only its key picture stays.

        A picture over the whole budget is not kept.
        """
        header = frame.header
        if _cost(frame) > self.budget_bytes:
            self.evicted += 1
            return
        kept = self._sources.setdefault(header.source_id, OrderedDict())
        if header.key:
            self._close_group(kept)
        self._numbers += 1
        kept[self._numbers] = frame
        self._order[self._numbers] = header.source_id
        self.size_bytes += _cost(frame)
        self._let_go(kept, Instant(header.arrival_time - self._window_ns))
        while self.size_bytes > self.budget_bytes:
            number, source_id = next(iter(self._order.items()))
            oldest = self._sources[source_id]
            self._drop(oldest, number)
            self.evicted += 1
            if not oldest:
                del self._sources[source_id]

    def open_group(self, source_id: str, chain: int) -> list[Frame]:
        """The pictures since the last key picture, that one first; [] unless all up to number `chain` are kept."""
        kept = self._sources.get(source_id)
        group: list[Frame] = []
        for number in reversed(kept or ()):
            assert kept is not None
            group.append(kept[number])
            if kept[number].header.key:
                break
        group.reverse()
        whole = [frame.header.chain for frame in group] == list(range(chain + 1))
        return group if whole else []

    def history(self, source_id: str, begin: Instant, end: Instant, pictures_max: int) -> list[Frame]:
        """Key pictures whose event time is in [begin, end], oldest first; evenly thinned out to `pictures_max`."""
        kept = self._sources.get(source_id, OrderedDict[int, Frame]())
        found = [frame for frame in kept.values() if frame.header.key and begin <= frame.header.event_time <= end]
        if len(found) > pictures_max > 0:
            found = [found[index * len(found) // pictures_max] for index in range(pictures_max)]
        return found

    def expire(self, now: Instant) -> None:
        """Let go of what is older than the window, of cameras too that send nothing any more."""
        for source_id, kept in list(self._sources.items()):
            self._let_go(kept, Instant(now - self._window_ns))
            if not kept:
                del self._sources[source_id]

    def forget(self, source_id: str) -> None:
        """Drop what is kept of a camera."""
        self._suspects.discard(source_id)
        kept = self._sources.pop(source_id, OrderedDict[int, Frame]())
        for number in list(kept):
            self._drop(kept, number)

    def _close_group(self, kept: OrderedDict[int, Frame]) -> None:
        for number in reversed(list(kept)):
            if kept[number].header.key:
                return
            self._drop(kept, number)

    def _let_go(self, kept: OrderedDict[int, Frame], before: Instant) -> None:
        while kept:
            number, frame = next(iter(kept.items()))
            if frame.header.arrival_time >= before:
                return
            self._drop(kept, number)

    def _drop(self, kept: OrderedDict[int, Frame], number: int) -> None:
        self.size_bytes -= _cost(kept.pop(number))
        del self._order[number]


def _cost(frame: Frame) -> int:
    """Bytes of memory that a picture is charged."""
    return len(frame.data) + PICTURE_OVERHEAD_BYTES
