"""The last pictures of the cameras that somebody may ask about: suspects, and those that the policy names.

Bounded in bytes for all cameras together, in bytes for the open group of each, and in time. Over the budget the
oldest picture of the least worthy cameras goes first: those that are suspect no more, then suspects, then those
that the policy names, whom somebody has chosen to keep.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from typing import Final

from contracts.frame import Frame
from contracts.instant import Instant
from ingest.guest.heap import MovableHeap

PICTURE_OVERHEAD_BYTES: Final = 1024
"""Charged for each picture besides its bytes: header, numbers and table entries (about 900 bytes in CPython 3.11).
Without it the small pictures of a quiet night would take several times the budget."""
GROUP_SHARE: Final = 8
"""The open group of one camera takes at most this part of the budget: 3 MB of 24, 6 s at 4 Mb/s."""


class Worth(enum.IntEnum):
    """How long a camera's pictures are held when the budget is spent; the lowest goes first."""

    PASSED = 0
    """It was a suspect."""
    SUSPECT = 1
    NAMED = 2
    """The policy names it (`keep_ring`)."""


class PictureRing:
    """Key pictures of the last `window_ns`, and of the group of pictures that is open the others too.

    `size_bytes`: memory of all that is kept, PICTURE_OVERHEAD_BYTES for each picture included; never above
    `budget_bytes`, and no open group above `group_bytes`. Counts: `evicted` (pictures given up for the budget
    before their time was over, by worth), `groups_cut` (open groups that grew over their bound: their key picture
    stays, the rest is not kept up to the next one).
    """

    def __init__(
        self, budget_bytes: int, window_ns: int, suspects_max: int = 64, group_bytes: int | None = None
    ) -> None:
        """`group_bytes` None: the GROUP_SHAREth part of the budget."""
        if budget_bytes < 0 or window_ns <= 0:
            raise ValueError("the ring needs a budget of at least 0 bytes and a window above 0")
        self.budget_bytes = budget_bytes
        self.group_bytes = budget_bytes // GROUP_SHARE if group_bytes is None else group_bytes
        self.size_bytes = 0
        self.evicted = dict.fromkeys(Worth, 0)
        self.groups_cut = 0
        self._window_ns = window_ns
        self._suspects_max = suspects_max
        self._named: set[str] = set()
        self._suspects: set[str] = set()
        self._numbers = 0
        self._pictures = 0
        self._sources: dict[str, OrderedDict[int, Frame]] = {}
        self._groups: dict[str, int] = {}
        """Bytes of the open group, key picture included, by camera; none once it was cut."""
        self._order: MovableHeap[str] = MovableHeap()
        """Cameras by worth and the number of their oldest picture."""
        self._placed: dict[str, tuple[int, int]] = {}

    def __len__(self) -> int:
        """Pictures that are kept."""
        return self._pictures

    @property
    def cameras(self) -> int:
        """Cameras of which anything is kept."""
        return len(self._sources)

    def name(self, source_id: str) -> None:
        """The policy names this camera: what is kept of it goes last."""
        self._named.add(source_id)

    def watch(self, source_id: str, suspect: bool) -> bool:
        """Whether the open group of this camera is kept: of suspects, and of at most `suspects_max` at once.

        Rain makes a county of suspects, and to take every picture of all of them is what no worker can do.
        """
        if not suspect:
            self._suspects.discard(source_id)
        elif source_id not in self._suspects and len(self._suspects) < self._suspects_max:
            self._suspects.add(source_id)
        if source_id in self._sources:
            self._place(source_id)
        return source_id in self._suspects

    def worth(self, source_id: str) -> Worth:
        """How worthy this camera is now."""
        if source_id in self._named:
            return Worth.NAMED
        return Worth.SUSPECT if source_id in self._suspects else Worth.PASSED

    def keep(self, frame: Frame) -> None:
        """Keep a picture. With a key picture a new group opens: of the one before only its key picture stays.

        Not kept are a picture over the whole budget, and what follows in a group that is over its bound.
        """
        header, cost = frame.header, _cost(frame)
        source_id = header.source_id
        if cost > self.budget_bytes:
            self.evicted[self.worth(source_id)] += 1
            self._groups.pop(source_id, None)
            return
        if header.key:
            self._close_group(source_id)
            self._groups[source_id] = cost
        elif not self._fits(source_id, cost):
            return
        kept = self._sources.setdefault(source_id, OrderedDict())
        self._numbers += 1
        kept[self._numbers] = frame
        self._pictures += 1
        self.size_bytes += cost
        self._let_go(source_id, Instant(header.arrival_time - self._window_ns))
        while self.size_bytes > self.budget_bytes:
            least = self._order.first()
            assert least is not None
            self.evicted[self.worth(least)] += self._drop_oldest(least)
            self._settle(least)

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
        return thinned_out(found, pictures_max)

    def expire(self, now: Instant) -> None:
        """Let go of what is older than the window, of cameras too that send nothing any more."""
        for source_id in list(self._sources):
            self._let_go(source_id, Instant(now - self._window_ns))

    def forget(self, source_id: str) -> None:
        """Drop what is kept of a camera, and what was said of it."""
        self._suspects.discard(source_id)
        self._named.discard(source_id)
        self._groups.pop(source_id, None)
        for number in list(self._sources.get(source_id, ())):
            self._drop(source_id, number)
        if source_id in self._sources:
            self._settle(source_id)

    def _fits(self, source_id: str, cost: int) -> bool:
        """Whether the open group may grow by this picture; one that may not keeps its key picture alone."""
        if source_id not in self._groups:
            return False
        self._groups[source_id] += cost
        if self._groups[source_id] <= self.group_bytes:
            return True
        self.groups_cut += 1
        self._close_group(source_id)
        return False

    def _close_group(self, source_id: str) -> None:
        self._groups.pop(source_id, None)
        kept = self._sources.get(source_id)
        if kept is None:
            return
        for number in reversed(list(kept)):
            if kept[number].header.key:
                break
            self._drop(source_id, number)
        self._settle(source_id)

    def _let_go(self, source_id: str, before: Instant) -> None:
        kept = self._sources[source_id]
        while kept:
            if kept[next(iter(kept))].header.arrival_time >= before:
                break
            self._drop_oldest(source_id)
        self._settle(source_id)

    def _drop_oldest(self, source_id: str) -> int:
        """Drop the oldest picture and what cannot be decoded without it; how many those were."""
        kept = self._sources[source_id]
        before = self._pictures
        self._drop(source_id, next(iter(kept)))
        while kept and not kept[next(iter(kept))].header.key:
            self._drop(source_id, next(iter(kept)))
        if not kept:
            self._groups.pop(source_id, None)
        return before - self._pictures

    def _drop(self, source_id: str, number: int) -> None:
        self.size_bytes -= _cost(self._sources[source_id].pop(number))
        self._pictures -= 1

    def _settle(self, source_id: str) -> None:
        """After pictures came or went: the camera's place in the order, none without pictures."""
        if self._sources[source_id]:
            self._place(source_id)
        else:
            del self._sources[source_id]
            self._order.discard(source_id)
            del self._placed[source_id]

    def _place(self, source_id: str) -> None:
        place = (int(self.worth(source_id)), next(iter(self._sources[source_id])))
        if self._placed.get(source_id) != place:
            self._placed[source_id] = place
            self._order.put(source_id, place)


def thinned_out(frames: list[Frame], pictures_max: int) -> list[Frame]:
    """Evenly thinned out to at most `pictures_max`."""
    if len(frames) <= pictures_max:
        return frames
    return [frames[index * len(frames) // pictures_max] for index in range(pictures_max)]


def _cost(frame: Frame) -> int:
    """Bytes of memory that a picture is charged."""
    return len(frame.data) + PICTURE_OVERHEAD_BYTES
