"""The read queries: filters and cursors over the tables of contracts.read_schema, rows decoded into views."""

from __future__ import annotations

import base64
import binascii
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

import msgspec

from contracts import wire
from contracts.delivery import Delivery
from contracts.incident import OPEN_STATES, Incident, IncidentState
from contracts.policy import Mute
from contracts.ticket import Ticket, TicketEvent, TicketState
from dashboard_api.problem import ApiError
from dashboard_api.ticket_views import ENDED_TICKET_STATES

OPEN_INCIDENT_STATES: Final = tuple(sorted(OPEN_STATES))
WALL_STATES: Final = (IncidentState.PENDING_REVIEW.value, IncidentState.CONFIRMED.value)
"""States of incidents that stand on the wall; candidates (A1) do not."""
OPEN_TICKET_STATES: Final = tuple(sorted(set(TicketState) - ENDED_TICKET_STATES))

Connection = sqlite3.Connection
Value = str | int
V = TypeVar("V")


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ended: the sort key and the id of its last row."""

    sort: str
    key: int
    id: str


class Page(msgspec.Struct, Generic[V], frozen=True):
    """One page. `next` is the cursor of the following one, null at the end; `seq` the newest change included."""

    items: tuple[V, ...]
    next: str | None
    seq: int


def encode_cursor(cursor: Cursor) -> str:
    """Opaque text for a query parameter."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def decode_cursor(text: str, sort: str) -> Cursor:
    """The cursor behind `text`. Raises ApiError 422 for anything that this API did not give out for `sort`."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        cursor = msgspec.json.decode(raw, type=Cursor)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        cursor = None
    if cursor is None or cursor.sort != sort or abs(cursor.key) >= 2**63:
        raise ApiError(422, "cursor", "翻页标记无效 (this cursor is not one of this list); start without cursor")
    return cursor


class Where:
    """A WHERE clause that grows; column names are ours, values are always parameters."""

    def __init__(self) -> None:
        self._terms: list[str] = []
        self.values: list[Value] = []

    def any_of(self, column: str, values: Sequence[Value]) -> None:
        """`column` is one of `values`; nothing given = everything."""
        if values:
            self._terms.append(f"{column} IN ({','.join('?' * len(values))})")
            self.values.extend(values)

    def equals(self, column: str, value: Value | None) -> None:
        """`column` = `value`; None = everything."""
        if value is not None:
            self._terms.append(f"{column} = ?")
            self.values.append(value)

    def compare(self, term: str, *values: Value) -> None:
        """A term written by us, with its values."""
        self._terms.append(term)
        self.values.extend(values)

    def prefix(self, column: str, digits: str | None) -> None:
        """`column` begins with `digits` (a grid subtree); written as a range so that an index serves it."""
        if digits:
            self.compare(f"{column} >= ? AND {column} < ?", digits, digits + ":")

    def __str__(self) -> str:
        return f"WHERE {' AND '.join(self._terms)}" if self._terms else ""


def cases_where(
    *,
    states: Sequence[str] | None,
    open_states: tuple[str, ...],
    levels: Sequence[int] | None,
    types: Sequence[str] | None,
    grid: str | None,
    exercise: bool | None,
) -> Where:
    """The filters that incidents and tickets share; the state `open` stands for all of `open_states`."""
    where = Where()
    where.any_of("state", [code for each in states or () for code in (open_states if each == "open" else (each,))])
    where.any_of("level", levels or ())
    where.any_of("type", types or ())
    where.prefix("grid_code", grid)
    where.equals("exercise", exercise)
    return where


def read_page(
    connection: sqlite3.Connection,
    table: str,
    where: Where,
    *,
    sort: str,
    cursor: str | None,
    limit: int,
    view: Callable[[bytes, int], V],
) -> Page[V]:
    """A page of `table`: `sort` is `seq` (oldest change first) or a time column (newest first)."""
    ascending = sort == "seq"
    if cursor:
        at = decode_cursor(cursor, sort)
        sign = ">" if ascending else "<"
        where.compare(f"({sort}, id) {sign} (?, ?)", at.key, at.id)
    order = "ASC" if ascending else "DESC"
    sql = f"SELECT {sort}, id, seq, body FROM {table} {where} ORDER BY {sort} {order}, id {order} LIMIT ?"
    rows = connection.execute(sql, (*where.values, limit + 1)).fetchall()
    more = len(rows) > limit
    rows = rows[:limit]
    following = encode_cursor(Cursor(sort, rows[-1][0], rows[-1][1])) if more else None
    return Page(tuple(view(row[3], row[2]) for row in rows), following, latest_sequence(connection))


def latest_sequence(connection: sqlite3.Connection) -> int:
    """The sequence number of the newest change, 0 before the first."""
    row = connection.execute("SELECT max(seq) FROM changes").fetchone()
    return int(row[0] or 0)


def find_incident(connection: sqlite3.Connection, incident_id: str) -> tuple[Incident, int]:
    """An incident by id, with its sequence. Raises ApiError 404."""
    row = connection.execute("SELECT body, seq FROM incidents WHERE id = ?", (incident_id,)).fetchone()
    if row is None:
        raise ApiError(404, "incident_not_found", "没有这条告警 (there is no such incident)")
    return wire.decode(row[0], Incident), row[1]


def find_ticket(connection: sqlite3.Connection, ticket_id: str) -> tuple[Ticket, int]:
    """A ticket by id or case number, with its sequence. Raises ApiError 404."""
    row = connection.execute("SELECT body, seq FROM tickets WHERE id = ?", (ticket_id,)).fetchone()
    if row is None:
        row = connection.execute("SELECT body, seq FROM tickets WHERE case_number = ?", (ticket_id,)).fetchone()
    if row is None:
        raise ApiError(404, "ticket_not_found", "没有这张工单 (there is no such ticket)")
    return wire.decode(row[0], Ticket), row[1]


def ticket_events(connection: sqlite3.Connection, ticket_id: str) -> list[TicketEvent]:
    """The moves of a ticket, oldest first."""
    rows = connection.execute("SELECT body FROM ticket_events WHERE ticket_id = ? ORDER BY seq", (ticket_id,))
    return [wire.decode(row[0], TicketEvent) for row in rows]


def decode_incident(body: bytes) -> Incident:
    """An incident from a row."""
    return wire.decode(body, Incident)


def decode_ticket(body: bytes) -> Ticket:
    """A ticket from a row."""
    return wire.decode(body, Ticket)


def decode_delivery(body: bytes) -> Delivery:
    """A delivery from a row."""
    return wire.decode(body, Delivery)


def decode_mute(body: bytes) -> Mute:
    """A mute from a row."""
    return wire.decode(body, Mute)
