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
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from contracts import wire
from contracts.errors import GridwhistleError, MalformedMessage
from contracts.incident import Incident
from contracts.instant import Instant, to_rfc3339
from contracts.policy import Mute
from contracts.read_schema import ChangeKind
from contracts.source import SourceChange
from contracts.ticket import Ticket
from dashboard_api import queries
from dashboard_api.config import ApiConfig
from dashboard_api.database import DatabaseReader
from dashboard_api.directory import Directory
from dashboard_api.source_views import SourceRow, SourceSummary, read_rows, source_view, summary
from dashboard_api.views import (
    IncidentView,
    TicketView,
    delivery_view,
    incident_view,
    mute_view,
    ticket_view,
)
from runtime.clock import Clock
from runtime.log import CountedLog
from runtime.metrics import StageCounters
from runtime.request_link import ChangeSubscriber

POLL_S: Final = 1.0
"""Without any publication the table is looked at this often."""
READ_MAX: Final = 1_000
"""Changes read in one transaction."""
_SHARED_MAX: Final = 64


class Change(msgspec.Struct, frozen=True, gc=False):
    """One change as it goes to the walls: its place in the order, and its JSON object."""

    seq: int
    json: bytes


class Batch(msgspec.Struct, frozen=True, gc=False):
    """One message to a wall: the sequence of its last change, how many it holds, and its text."""

    seq: int
    count: int
    text: str


class ChangeMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One change on the live link. `record` is the view after the change, null when it could not be read."""

    seq: int
    at: str
    kind: str
    id: str
    record: object


class Totals(msgspec.Struct, frozen=True):
    """Counts by level, also of what the snapshot leaves out: incidents on the wall (A2 and A3, without those of
    the operations queue), open tickets."""

    incidents: dict[str, int]
    tickets: dict[str, int]


class SnapshotMessage(msgspec.Struct, frozen=True, kw_only=True, tag="snapshot"):
    """What a wall starts with: one consistent picture of the database at change `seq`."""

    seq: int
    at: str
    incidents: tuple[IncidentView, ...]
    tickets: tuple[TicketView, ...]
    sources: SourceSummary
    totals: Totals
    truncated: bool


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
        """Grows when the database was replaced by another: sequences from before mean nothing then."""
        self.closing = False

    async def run(self, subscriber: ChangeSubscriber, stop: asyncio.Event) -> None:
        """Keep the ring up to date until `stop`."""
        self._wake.set()
        listening = asyncio.create_task(self._listen(subscriber))
        stopping = asyncio.create_task(self._until(stop))
        try:
            while not stop.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), POLL_S)
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
                with suppress(asyncio.CancelledError):
                    await task

    async def _listen(self, subscriber: ChangeSubscriber) -> None:
        while True:
            change = await subscriber.receive(wait_s=POLL_S)
            if change is not None:
                self._wake.set()

    async def _until(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    async def advance(self) -> int:
        """Read what is new; returns how many changes. Raises GridwhistleError when the database is away."""
        directory, after, now = self._directory(), self.head if self.known else None, self._clock.now()
        newest, changes = await self._reader.read(lambda c: read_changes(c, after, READ_MAX, directory, now))
        if after is None or newest < after:
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

    async def snapshot(self) -> SnapshotMessage:
        """One consistent picture to start a wall with."""
        directory, now, limit = self._directory(), self._clock.now(), self._config.snapshot_rows_max
        return await self._reader.read(lambda c: read_snapshot(c, directory, now, limit))

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


def changes_message(changes: Sequence[Change], now: Instant) -> Batch:
    """The message that carries these changes (at least one)."""
    seq = changes[-1].seq
    body = b",".join(change.json for change in changes).decode()
    text = f'{{"type":"changes","seq":{seq},"at":"{to_rfc3339(now)}","changes":[{body}]}}'
    return Batch(seq, len(changes), text)


def read_changes(
    connection: sqlite3.Connection, after: int | None, limit: int, directory: Directory, now: Instant
) -> tuple[int, list[Change]]:
    """(newest sequence, changes after `after`); no changes for `after` None, which only asks where the end is."""
    newest = queries.latest_sequence(connection)
    if after is None or newest <= after:
        return newest, []
    rows = connection.execute(
        "SELECT seq, at, kind, id, body FROM changes WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
    )
    return newest, [encode_change(row, directory, now) for row in rows]


def read_changes_since(
    connection: sqlite3.Connection, cursor: int, limit: int, directory: Directory, now: Instant
) -> list[Change] | None:
    """Changes after `cursor`, or None when it lies beyond either end of what the table holds."""
    row = connection.execute("SELECT min(seq), max(seq) FROM changes").fetchone()
    oldest, newest = row[0] or 0, row[1] or 0
    if cursor > newest or (cursor + 1 < oldest):
        return None
    return read_changes(connection, cursor, limit, directory, now)[1]


def encode_change(row: sqlite3.Row, directory: Directory, now: Instant) -> Change:
    """A row of `changes` as the walls get it; a body that cannot be read leaves `record` null."""
    seq, at, kind, id_, body = row
    try:
        record = _record_view(kind, body, seq, directory, now)
    except MalformedMessage:
        record = None
    message = ChangeMessage(seq=seq, at=to_rfc3339(at), kind=kind, id=id_, record=record)
    return Change(seq, msgspec.json.encode(message))


def _record_view(kind: str, body: bytes, seq: int, directory: Directory, now: Instant) -> msgspec.Struct | None:
    if kind == ChangeKind.INCIDENT:
        return incident_view(wire.decode(body, Incident), seq, directory)
    if kind == ChangeKind.TICKET:
        return ticket_view(wire.decode(body, Ticket), seq, directory)
    if kind == ChangeKind.SOURCE:
        change = wire.decode(body, SourceChange)
        row = SourceRow(change.source_id, change.kind, change.state, change.reason, change.detail, change.at, seq)
        return source_view(directory.sources.get(change.source_id), row, directory)
    if kind == ChangeKind.DELIVERY:
        return delivery_view(queries.decode_delivery(body), seq)
    if kind == ChangeKind.MUTE:
        return mute_view(wire.decode(body, Mute), seq, now)
    return None


def read_snapshot(
    connection: sqlite3.Connection, directory: Directory, now: Instant, limit: int
) -> SnapshotMessage:
    """Open incidents and tickets (most severe, then newest first, at most `limit` each), sources, totals."""
    incidents = _open_rows(connection, "incidents", queries.OPEN_INCIDENT_STATES, limit + 1)
    tickets = _open_rows(connection, "tickets", queries.OPEN_TICKET_STATES, limit + 1)
    on_wall, open_tickets = queries.Where(), queries.Where()
    on_wall.any_of("state", queries.WALL_STATES)
    on_wall.equals("operations", 0)
    open_tickets.any_of("state", queries.OPEN_TICKET_STATES)
    totals = Totals(_by_level(connection, "incidents", on_wall), _by_level(connection, "tickets", open_tickets))
    return SnapshotMessage(
        seq=queries.latest_sequence(connection),
        at=to_rfc3339(now),
        incidents=tuple(incident_view(wire.decode(b, Incident), seq, directory) for b, seq in incidents[:limit]),
        tickets=tuple(ticket_view(wire.decode(b, Ticket), seq, directory) for b, seq in tickets[:limit]),
        sources=summary(read_rows(connection), directory),
        totals=totals,
        truncated=len(incidents) > limit or len(tickets) > limit,
    )


def _open_rows(
    connection: sqlite3.Connection, table: str, states: tuple[str, ...], limit: int
) -> list[tuple[bytes, int]]:
    where = queries.Where()
    where.any_of("state", states)
    sql = f"SELECT body, seq FROM {table} {where} ORDER BY level DESC, opened_at DESC, id LIMIT ?"
    return [(row[0], row[1]) for row in connection.execute(sql, (*where.values, limit))]


def _by_level(connection: sqlite3.Connection, table: str, where: queries.Where) -> dict[str, int]:
    sql = f"SELECT level, count(*) FROM {table} {where} GROUP BY level"
    return {str(row[0]): row[1] for row in connection.execute(sql, where.values)}
