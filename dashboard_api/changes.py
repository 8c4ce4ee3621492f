"""Changes and snapshots as the live link carries them: read from the tables, encoded once."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from contracts import wire
from contracts.errors import MalformedMessage
from contracts.filmstrip import Filmstrip
from contracts.incident import Incident
from contracts.instant import Instant, to_rfc3339
from contracts.policy import Mute
from contracts.read_schema import ChangeKind
from contracts.source import SourceChange
from contracts.ticket import Ticket
from dashboard_api import queries
from dashboard_api.delivery_views import delivery_view, mute_view
from dashboard_api.directory import Directory
from dashboard_api.filmstrip_views import filmstrip_view
from dashboard_api.incident_views import IncidentView, incident_view
from dashboard_api.source_views import SourceRow, SourceSummary, read_rows, source_view, summary
from dashboard_api.ticket_views import TicketView, ticket_view


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
    the operations queue), open tickets. Those of exercises (演练) are counted apart."""

    incidents: dict[str, int]
    tickets: dict[str, int]
    exercise_incidents: dict[str, int]
    exercise_tickets: dict[str, int]


class SnapshotMessage(msgspec.Struct, frozen=True, kw_only=True, tag="snapshot"):
    """What a wall starts with: one consistent picture of the database at change `seq`."""

    seq: int
    at: str
    incidents: tuple[IncidentView, ...]
    tickets: tuple[TicketView, ...]
    sources: SourceSummary
    totals: Totals
    truncated: bool


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
    if kind == ChangeKind.SOURCE and id_ in directory.withheld:
        # Its number in the sequence is told, so that no wall takes it for lost; which camera it is, is not.
        return Change(
            seq, msgspec.json.encode(ChangeMessage(seq=seq, at=to_rfc3339(at), kind=kind, id="", record=None))
        )
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
    if kind == ChangeKind.FILMSTRIP:
        return filmstrip_view(wire.decode(body, Filmstrip), seq, directory)
    if kind == ChangeKind.MUTE:
        return mute_view(wire.decode(body, Mute), seq, now, directory)
    return None


def read_snapshot(
    connection: sqlite3.Connection, directory: Directory, now: Instant, limit: int
) -> SnapshotMessage:
    """Open incidents and tickets (most severe, then newest first, at most `limit` each), sources, totals."""
    incidents = _open_rows(connection, "incidents", queries.OPEN_INCIDENT_STATES, limit + 1)
    tickets = _open_rows(connection, "tickets", queries.OPEN_TICKET_STATES, limit + 1)
    return SnapshotMessage(
        seq=queries.latest_sequence(connection),
        at=to_rfc3339(now),
        incidents=tuple(incident_view(wire.decode(b, Incident), seq, directory) for b, seq in incidents[:limit]),
        tickets=tuple(ticket_view(wire.decode(b, Ticket), seq, directory) for b, seq in tickets[:limit]),
        sources=summary(read_rows(connection), directory),
        totals=Totals(
            incidents=_incident_levels(connection, exercise=False),
            tickets=_ticket_levels(connection, exercise=False),
            exercise_incidents=_incident_levels(connection, exercise=True),
            exercise_tickets=_ticket_levels(connection, exercise=True),
        ),
        truncated=len(incidents) > limit or len(tickets) > limit,
    )


def _open_rows(
    connection: sqlite3.Connection, table: str, states: tuple[str, ...], limit: int
) -> list[tuple[bytes, int]]:
    where = queries.Where()
    where.any_of("state", states)
    sql = f"SELECT body, seq FROM {table} {where} ORDER BY level DESC, opened_at DESC, id LIMIT ?"
    return [(row[0], row[1]) for row in connection.execute(sql, (*where.values, limit))]


def _incident_levels(connection: sqlite3.Connection, *, exercise: bool) -> dict[str, int]:
    where = queries.Where()
    where.any_of("state", queries.WALL_STATES)
    where.equals("operations", 0)
    where.equals("exercise", int(exercise))
    return _by_level(connection, "incidents", where)


def _ticket_levels(connection: sqlite3.Connection, *, exercise: bool) -> dict[str, int]:
    where = queries.Where()
    where.any_of("state", queries.OPEN_TICKET_STATES)
    where.equals("exercise", int(exercise))
    return _by_level(connection, "tickets", where)


def _by_level(connection: sqlite3.Connection, table: str, where: queries.Where) -> dict[str, int]:
    sql = f"SELECT level, count(*) FROM {table} {where} GROUP BY level"
    return {str(row[0]): row[1] for row in connection.execute(sql, where.values)}
