"""A bounded channel between tasks of one event loop; a capacity and a policy for overflow, both stated."""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class Overflow(enum.Enum):
    """What happens to a put on a full channel."""

    BLOCK = "block"
    """The putter waits."""
    DROP_OLDEST = "drop_oldest"
    """The oldest waiting item goes (pictures: a late one is worthless)."""
    DROP_NEWEST = "drop_newest"
    """The new item is refused."""


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """How full a channel is and what it dropped."""

    used: int
    capacity: int
    dropped: int
    received: int


class Channel(Generic[T]):
    """Bounded first-in-first-out queue for one event loop."""

    def __init__(self, capacity: int, overflow: Overflow) -> None:
        if capacity < 1:
            raise ValueError("a channel needs room for at least one item")
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._overflow = overflow
        self._dropped = 0
        self._received = 0
        self._changed = asyncio.Condition()

    def statistics(self) -> ChannelStatistics:
        """Fill and drops at this moment."""
        return ChannelStatistics(len(self._items), self._capacity, self._dropped, self._received)

    async def put(self, item: T) -> bool:
        """Add an item; False when it (or, with DROP_OLDEST, another one) was dropped."""
        async with self._changed:
            self._received += 1
            kept = True
            if len(self._items) >= self._capacity:
                if self._overflow is Overflow.DROP_NEWEST:
                    self._dropped += 1
                    return False
                if self._overflow is Overflow.DROP_OLDEST:
                    self._items.popleft()
                    self._dropped += 1
                    kept = False
                else:
                    await self._changed.wait_for(lambda: len(self._items) < self._capacity)
            self._items.append(item)
            self._changed.notify_all()
            return kept

    async def get(self) -> T:
        """The oldest item; waits for one."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._items))
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    async def take(self, limit: int) -> list[T]:
        """What waits now, at most `limit`; waits for the first."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._items))
            taken = [self._items.popleft() for _ in range(min(limit, len(self._items)))]
            self._changed.notify_all()
            return taken
