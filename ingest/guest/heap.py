"""A heap whose items can be moved and taken out."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

T = TypeVar("T", bound=Hashable)
_SLACK: Final = 32


class MovableHeap(Generic[T]):
    """Items by key, the smallest first, equal keys in order of arrival; `put` again moves an item.

    O(log n): what an item left behind is dropped when it comes up, or when such remains outnumber the items, so
    memory follows the number of items.
    """

    __slots__ = ("_entries", "_order", "_tickets")

    def __init__(self) -> None:
        self._entries: list[tuple[tuple[int, ...], int, T]] = []
        self._tickets: dict[T, int] = {}
        self._order = 0

    def put(self, item: T, key: tuple[int, ...]) -> None:
        """Add an item, or move it to this key."""
        self._order += 1
        self._tickets[item] = self._order
        heapq.heappush(self._entries, (key, self._order, item))
        if len(self._entries) > 2 * len(self._tickets) + _SLACK:
            self._entries = [entry for entry in self._entries if self._tickets.get(entry[2]) == entry[1]]
            heapq.heapify(self._entries)

    def discard(self, item: T) -> None:
        """Take an item out; harmless when it is not in."""
        if self._tickets.pop(item, None) is not None and not self._tickets:
            # Emptied containers keep their room: a county has thousands of heaps in which nobody waits.
            self._tickets.clear()
            self._entries.clear()

    def first(self) -> T | None:
        """The item with the smallest key, which stays in; None when empty."""
        entries = self._entries
        while entries:
            _, order, item = entries[0]
            if self._tickets.get(item) == order:
                return item
            heapq.heappop(entries)
        return None

    def __contains__(self, item: object) -> bool:
        return item in self._tickets

    def __len__(self) -> int:
        return len(self._tickets)
