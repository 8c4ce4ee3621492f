"""A small stand-in for alerts over real parts: the same tables in real SQLite, real ZeroMQ links, no engine."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import msgspec
from sqlalchemy import create_engine

from alerts.store.filmstrips import filmstrip_row
from alerts.store.rows import (
    Row,
    delivery_row,
    incident_row,
    mute_row,
    report_row,
    source_row,
    storm_row,
    ticket_event_row,
    ticket_row,
)
from alerts.store.tables import metadata
from contracts import topics, wire
from contracts.command import Command, CommandAnswer, CommandKind
from contracts.coverage import CoverageReport
from contracts.delivery import Delivery
from contracts.errors import CommandRefused
from contracts.filmstrip import Filmstrip
from contracts.grid import GridTree
from contracts.incident import Action, Decision, Incident, IncidentState, Reason
from contracts.instant import Instant
from contracts.policy import Mute, Policy
from contracts.read_schema import ChangeKind
from contracts.source import Catalogue, HealthReport, SourceChange
from contracts.storm import StormReport
from contracts.ticket import Ticket, TicketEvent
from runtime.clock import Clock
from runtime.site import Site
from runtime.zmq_request import ZmqChangePublisher, ZmqRequestServer

Record = Incident | Ticket | SourceChange | Delivery | Mute | Filmstrip


@cache
def _empty_database() -> bytes:
    """The tables of alerts with no rows, built once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.sqlite"
        engine = create_engine(f"sqlite:///{path}")
        metadata.create_all(engine)
        engine.dispose()
        return path.read_bytes()


class CountyStore:
    """Writes records as alerts does: row and change in one transaction, each change with the next sequence."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_empty_database())
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=OFF")
        self.seq = int(self._connection.execute("SELECT coalesce(max(seq), 0) FROM changes").fetchone()[0])

    def put(self, records: Sequence[Record], at: Instant) -> list[tuple[int, str, bytes]]:
        """Commit records as one step; returns what alerts would publish."""
        published: list[tuple[int, str, bytes]] = []
        self._connection.execute("BEGIN IMMEDIATE")
        for record in records:
            self.seq += 1
            kind, id_, table, row, body = _as_row(record, self.seq)
            self._upsert(table, row)
            self._upsert("changes", {"seq": self.seq, "at": at, "kind": kind, "id": id_, "body": body})
            published.append((self.seq, kind, body))
        self._connection.execute("COMMIT")
        return published

    def put_unreadable_change(self, at: Instant) -> None:
        self.seq += 1
        self._upsert(
            "changes", {"seq": self.seq, "at": at, "kind": "incident", "id": "x", "body": b"\x09nonsense"}
        )

    def put_events(self, events: Sequence[TicketEvent]) -> None:
        for event in events:
            self._upsert("ticket_events", ticket_event_row(event))

    def put_report(self, report: HealthReport | CoverageReport) -> None:
        self._upsert("health" if isinstance(report, HealthReport) else "coverage", report_row(report))

    def put_storm(self, storm: StormReport) -> None:
        self._upsert("storms", storm_row(storm))

    def put_refusal(self, reason: str, source_id: str, total: int, at: Instant, text: str) -> None:
        row: Row = {"reason": reason, "source_id": source_id, "total": total, "last_at": at, "last_text": text}
        self._upsert("refusals", row)

    def put_meta(self, **values: str) -> None:
        for key, value in values.items():
            self._upsert("meta", {"key": key, "value": value})

    def forget_changes_before(self, seq: int) -> None:
        self._connection.execute("DELETE FROM changes WHERE seq < ?", (seq,))

    def incident(self, incident_id: str) -> Incident | None:
        row = self._connection.execute("SELECT body FROM incidents WHERE id = ?", (incident_id,)).fetchone()
        return wire.decode(row[0], Incident) if row else None

    def forget_incident(self, incident_id: str) -> None:
        self._connection.execute("DELETE FROM incidents WHERE id = ?", (incident_id,))

    def close(self) -> None:
        self._connection.close()

    def _upsert(self, table: str, row: Row) -> None:
        columns = ", ".join(row)
        marks = ", ".join("?" * len(row))
        self._connection.execute(
            f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({marks})", tuple(row.values())
        )


def _as_row(record: Record, seq: int) -> tuple[str, str, str, Row, bytes]:
    body = wire.encode(record)
    if isinstance(record, Incident):
        return ChangeKind.INCIDENT, record.id, "incidents", incident_row(record, seq, body), body
    if isinstance(record, Ticket):
        return ChangeKind.TICKET, record.id, "tickets", ticket_row(record, seq, body), body
    if isinstance(record, SourceChange):
        return ChangeKind.SOURCE, record.source_id, "sources", source_row(record, seq, body), body
    if isinstance(record, Delivery):
        return ChangeKind.DELIVERY, record.id, "deliveries", delivery_row(record, seq, body), body
    if isinstance(record, Filmstrip):
        row = filmstrip_row(record, Instant(0), seq, body)
        return ChangeKind.FILMSTRIP, record.id, "filmstrips", row, body
    return ChangeKind.MUTE, record.id, "mutes", mute_row(record, seq, body), body


class AlertsStandIn:
    """Answers on the command link and publishes changes, with the store behind it."""

    def __init__(
        self, site: Site, store: CountyStore, clock: Clock, catalogue: Catalogue, grids: GridTree, policy: Policy
    ) -> None:
        self._store = store
        self._clock = clock
        self._snapshots = {
            topics.REQUEST_CATALOGUE: wire.encode(catalogue),
            topics.REQUEST_GRIDS: wire.encode(grids),
            topics.REQUEST_POLICY: wire.encode(policy),
        }
        self._answers: dict[str, bytes] = {}
        self._mutes: dict[str, Mute] = {}
        self.commands: list[Command] = []
        self._awake = asyncio.Event()
        self._awake.set()
        self.server = ZmqRequestServer(site.endpoint(topics.COMMAND), clock)
        self.publisher = ZmqChangePublisher(site.endpoint(topics.CHANGES))
        self._task = asyncio.create_task(self.server.serve(self._answer))

    async def commit(self, records: Sequence[Record], *, publish: bool = True) -> None:
        """Commit as one step, then publish."""
        published = await asyncio.to_thread(self._store.put, records, self._clock.now())
        for seq, kind, body in published if publish else ():
            await self.publisher.publish(seq, kind, body)

    def hand_out(self, kind: str, snapshot: bytes) -> None:
        """Hand out another snapshot from now on."""
        self._snapshots[kind] = snapshot

    def pause(self) -> None:
        """Stop answering, as a process that hangs."""
        self._awake.clear()

    def resume(self) -> None:
        self._awake.set()

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self.publisher.close()

    async def _answer(self, kind: str, body: bytes) -> bytes:
        await self._awake.wait()
        if kind in self._snapshots:
            return self._snapshots[kind]
        command = wire.decode(body, Command)
        if command.id not in self._answers:
            self._answers[command.id] = wire.encode(await self._obey(command))
            self.commands.append(command)
        return self._answers[command.id]

    async def _obey(self, command: Command) -> CommandAnswer:
        if command.kind == CommandKind.TICKET_MOVE:
            raise CommandRefused(
                "不允许从待受理到已结案 (10 to 90 is not a move)",
                reason="illegal_move",
                allowed=("20", "91", "93"),
            )
        if command.kind in (CommandKind.MUTE, CommandKind.UNMUTE):
            return await self._mute(command)
        incident = await asyncio.to_thread(self._store.incident, command.target_id)
        if incident is None:
            return CommandAnswer(
                command_id=command.id, accepted=False, reason="unknown_target", message="没有这条告警 (unknown)"
            )
        await self.commit([_decided(incident, command)])
        return CommandAnswer(
            command_id=command.id,
            accepted=True,
            target_id=command.target_id,
            version=incident.version + 1,
            sequence=self._store.seq,
        )

    async def _mute(self, command: Command) -> CommandAnswer:
        """Give a mute, or end one: its change carries the time at which it ended."""
        if command.kind == CommandKind.UNMUTE:
            mute = msgspec.structs.replace(self._mutes.pop(command.target_id), expires_at=self._clock.now())
        else:
            assert command.matcher is not None
            assert command.until is not None
            mute = Mute(
                id=command.id,
                matcher=command.matcher,
                owner=command.principal.id,
                reason=command.reason,
                created_at=command.at,
                expires_at=command.until,
            )
            self._mutes[mute.id] = mute
        await self.commit([mute])
        return CommandAnswer(
            command_id=command.id, accepted=True, target_id=mute.id, version=None, sequence=self._store.seq
        )


def _decided(incident: Incident, command: Command) -> Incident:
    decision = Decision(
        at=command.at,
        action=Action.CONFIRM,
        reason=Reason.CONFIRMED_BY_PERSON,
        text=f"{command.principal.name} 研判属实",
    )
    changed = msgspec.structs.replace(
        incident, version=incident.version + 1, updated_at=command.at, decisions=(*incident.decisions, decision)
    )
    if command.kind == CommandKind.CONFIRM:
        return msgspec.structs.replace(changed, state=IncidentState.CONFIRMED, suspected=False)
    if command.kind == CommandKind.FALSE_ALARM:
        return msgspec.structs.replace(changed, state=IncidentState.FALSE_ALARM)
    return msgspec.structs.replace(changed, owner=command.principal.id)
