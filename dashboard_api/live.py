"""The live link: a snapshot, then every change in the order of its sequence, to any number of walls.

One feed reads the `changes` table for all walls; what alerts publishes only wakes it, so a lost publication
costs a second, never a change. The feed keeps the newest changes, already encoded, in one ring. A wall holds
nothing but a cursor into that ring: the ring is its bounded queue. A wall that falls out of it is filled from
the table, and dropped with a reason if it still does not keep up; the others do not notice.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from contracts.errors import GridwhistleError
from dashboard_api.changes import (
    Batch,
    Change,
    changes_message,
    read_changes,
    read_changes_since,
    read_snapshot,
)
from dashboard_api.config import ApiConfig
from dashboard_api.database import DatabaseReader
from dashboard_api.directory import Directory
from runtime.clock import Clock
from runtime.log import CountedLog
from runtime.metrics import StageCounters
from runtime.request_link import ChangeSubscriber

POLL_S: Final = 1.0
"""Without any publication the table is looked at this often."""


READ_MAX: Final = 1_000
"""Changes read in one transaction."""


_SHARED_MAX: Final = 64


class ChangeFeed:
    """Reads changes once, encodes them once, wakes all walls."""

    def __init__(
        self,
        reader: DatabaseReader,
        directory: Callable[[], Directory],
        config: ApiConfig,
        clock: Clock,
        counters: StageCounters,
    ) -> None:
        self._reader = reader
        self._directory = directory
        self._config = config
        self._clock = clock
        self._counters = counters
        self._log = CountedLog(clock, interval_s=30.0)
        self._ring: deque[Change] = deque(maxlen=config.live_backlog_max)
        self._messages: dict[int, Batch] = {}
        self._wake = asyncio.Event()
        self._listeners: set[asyncio.Event] = set()
        self.known = False
        """False until the database was read for the first time: `head` and `floor` mean nothing before."""
        self.head = 0
        """Sequence of the newest change in the ring."""
        self.floor = 0
        """The ring holds every change after this one."""
        self.generation = 0
        """Grows when the walls must begin anew: the database was replaced, or changes were missed for good."""
        self.closing = False
        self._taking: asyncio.Task[Batch] | None = None

    async def run(self, subscriber: ChangeSubscriber, stop: asyncio.Event) -> None:
        """Keep the ring up to date until `stop`."""
        self._wake.set()
        listening = asyncio.create_task(self._listen(subscriber))
        stopping = asyncio.create_task(self._until(stop))
        try:
            while not stop.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await self._wake.wait()
                self._wake.clear()
                try:
                    while await self.advance() == READ_MAX and not stop.is_set():
                        pass
                except GridwhistleError as error:
                    self._log.warning("feed", "The live link waits for the database", error=str(error))
                await self._clock.asleep(self._config.live_interval_s)
        finally:
            for task in (listening, stopping):
                task.cancel()
            await asyncio.gather(listening, stopping, return_exceptions=True)

    async def _listen(self, subscriber: ChangeSubscriber) -> None:
        while True:
            change = await subscriber.receive(wait_s=POLL_S)
            if change is not None:
                self._wake.set()

    async def _until(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    async def advance(self) -> int:
        """Read what is new; returns how many changes. Raises GridwhistleError when the database is away.

        When changes were pruned before this process came to read them, every wall gets a new snapshot.
        """
        directory, after, now = self._directory(), self.head if self.known else None, self._clock.now()
        newest, changes = await self._reader.read(lambda c: read_changes(c, after, READ_MAX, directory, now))
        pruned = bool(changes) and after is not None and changes[0].seq > after + 1
        if after is None or newest < after or pruned:
            self._start_over(newest)
            return 0
        for change in changes:
            if len(self._ring) == self._ring.maxlen:
                self.floor = self._ring[0].seq
            self._ring.append(change)
        if changes:
            self._messages.clear()
            self.head = changes[-1].seq
            self._counters.count("changes_read", n=len(changes))
            self._notify()
        return len(changes)

    def _start_over(self, newest: int) -> None:
        self.generation += self.known
        self.known = True
        self._ring.clear()
        self._messages.clear()
        self.head = self.floor = newest
        self._notify()

    def message_after(self, cursor: int, limit: int) -> Batch | None:
        """The next message for a wall at `cursor` (not below `floor`), None when it has everything.

        Walls that stand at the same place share one message.
        """
        if cursor >= self.head:
            return None
        batch = self._messages.get(cursor)
        if batch is None:
            changes: list[Change] = []
            for change in reversed(self._ring):
                if change.seq <= cursor:
                    break
                changes.append(change)
            batch = changes_message(changes[: -limit - 1 : -1], self._clock.now())
            if len(self._messages) < _SHARED_MAX:
                self._messages[cursor] = batch
        return batch

    async def catch_up(self, cursor: int, limit: int) -> list[Change] | None:
        """Changes after `cursor` from the database; None when the table no longer holds them all."""
        directory, now = self._directory(), self._clock.now()
        found = await self._reader.read(lambda c: read_changes_since(c, cursor, limit, directory, now))
        if found is not None:
            self._counters.count("changes_refilled", n=len(found))
        return found

    async def snapshot(self) -> Batch:
        """One consistent picture to start a wall with. Walls that ask meanwhile share it: all come back at once
        when this process was away."""
        taking = self._taking
        if taking is None:
            taking = self._taking = asyncio.create_task(self._take_snapshot())
            taking.add_done_callback(self._taken)
        return await asyncio.shield(taking)

    async def _take_snapshot(self) -> Batch:
        directory, now, limit = self._directory(), self._clock.now(), self._config.snapshot_rows_max

        def read(connection: sqlite3.Connection) -> Batch:
            snapshot = read_snapshot(connection, directory, now, limit)
            return Batch(snapshot.seq, 0, msgspec.json.encode(snapshot).decode())

        return await self._reader.read(read)

    def _taken(self, task: asyncio.Task[Batch]) -> None:
        self._taking = None
        if not task.cancelled():
            # Read once, so that walls that all left meanwhile make no "exception never retrieved" of it.
            task.exception()

    def listen(self) -> asyncio.Event:
        """An event that is set at every change, until `forget`."""
        event = asyncio.Event()
        self._listeners.add(event)
        return event

    def forget(self, event: asyncio.Event) -> None:
        """The wall went away."""
        self._listeners.discard(event)

    def close(self) -> None:
        """Tell every wall to go and come back."""
        self.closing = True
        self._notify()

    @property
    def walls(self) -> int:
        """How many walls are connected."""
        return len(self._listeners)

    def _notify(self) -> None:
        for event in self._listeners:
            event.set()
