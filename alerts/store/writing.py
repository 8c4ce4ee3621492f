"""The rows of one commit: effects of the engine and the shell's own news, numbered as changes in order."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, Table, delete, insert

from alerts.core.effects import (
    Answered,
    Effect,
    IncidentChanged,
    MuteChanged,
    Refused,
    SourceChanged,
    TicketChanged,
)
from alerts.delivery import outbox
from alerts.delivery.outbox import Outcome
from alerts.store import filmstrips, rows, storms, tables
from alerts.store.refusals import Refusal
from alerts.store.upsert import upsert
from contracts import wire
from contracts.command import Command, CommandAnswer
from contracts.coverage import CoverageReport
from contracts.delivery import Delivery
from contracts.filmstrip import Filmstrip
from contracts.instant import Instant
from contracts.read_schema import ChangeKind
from contracts.source import HealthReport
from contracts.storm import StormReport
from runtime.log_link import Position

Report = HealthReport | CoverageReport | StormReport
"""What a service says of itself: no fact of the county, never replayed."""


class Change(msgspec.Struct, frozen=True):
    """One committed change: a row of `changes`."""

    seq: int
    kind: str
    id: str
    body: bytes


class Writing:
    """Collects rows, so that one statement writes each table; of a record that changed twice the last counts."""

    def __init__(
        self, connection: Connection, seq: int, now: Instant, targets: Sequence[str], *, exercises: bool = False
    ) -> None:
        self._connection = connection
        self._seq = seq
        self._now = now
        self._targets = targets
        self._exercises = exercises
        self._latest: dict[Table, dict[object, rows.Row]] = {}
        self._new: dict[Table, list[rows.Row]] = {}
        self._removed_mutes: list[str] = []
        self._commands: list[CommandAnswer] = []
        self.changes: list[Change] = []
        self.refusals: list[Refusal] = []

    @property
    def answers(self) -> list[CommandAnswer]:
        """The answers, each with the number of the last change of this commit."""
        seq = self._seq + len(self.changes)
        return [msgspec.structs.replace(answer, sequence=seq) for answer in self._commands]

    def effects(self, effects: Sequence[Effect]) -> None:
        """What the engine answered."""
        for effect in effects:
            match effect:
                case IncidentChanged(incident=incident):
                    body = wire.encode(incident)
                    seq = self._change(ChangeKind.INCIDENT, incident.id, body)
                    self._keep(tables.incidents, incident.id, rows.incident_row(incident, seq, body))
                case TicketChanged():
                    self._ticket(effect)
                case SourceChanged(change=change):
                    body = wire.encode(change)
                    seq = self._change(ChangeKind.SOURCE, change.source_id, body)
                    self._keep(tables.sources, change.source_id, rows.source_row(change, seq, body))
                case MuteChanged():
                    self._mute(effect)
                case Refused(source_id=source, reason=reason, text=text):
                    self.refusals.append(Refusal(reason.value, source, text))
                case Answered(answer=answer):
                    self._commands.append(answer)

    def outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """What attempts of delivery came to."""
        for delivery in outbox.record(self._connection, outcomes):
            self._delivery(delivery)

    def resends(self, commands: Sequence[Command]) -> None:
        """Dead deliveries that a person sends again."""
        for command in commands:
            answer, delivery = outbox.resend(self._connection, command, self._now)
            self._commands.append(answer)
            if delivery is not None:
                self._delivery(delivery)

    def filmstrips(self, wanted: Sequence[Filmstrip], told: Sequence[Filmstrip]) -> None:
        """New strips, and news of known ones; what says no more than is known already changes nothing."""
        if not wanted and not told:
            return
        known = filmstrips.find(self._connection, [strip.id for strip in (*wanted, *told)])
        fresh = {strip.id for strip in wanted}
        for strip in (*wanted, *told):
            old = known.get(strip.id)
            if old is None and strip.id not in fresh:
                text = f"告警 {strip.incident_id} 未要求胶片 (nobody asked for this filmstrip)"
                self.refusals.append(Refusal("unknown_filmstrip", strip.source_id, text))
            elif filmstrips.supersedes(strip, old):
                known[strip.id] = strip
                body = wire.encode(strip)
                seq = self._change(ChangeKind.FILMSTRIP, strip.id, body)
                self._keep(tables.filmstrips, strip.id, filmstrips.filmstrip_row(strip, self._now, seq, body))

    def reports(self, reports: Sequence[Report]) -> None:
        """What services say of themselves; only the newest of each service, and of each storm, is kept."""
        for report in reports:
            match report:
                case StormReport():
                    self._keep(tables.storms, report.id, rows.storm_row(report))
                case CoverageReport():
                    self._keep(tables.coverage, (report.service, report.instance), rows.report_row(report))
                case HealthReport():
                    self._keep(tables.health, (report.service, report.instance), rows.report_row(report))

    def positions(self, positions: Sequence[Position]) -> None:
        """How far each producer's log is in."""
        for position in positions:
            row: rows.Row = {
                "producer": position.producer,
                "incarnation": position.incarnation,
                "sequence": position.sequence,
            }
            self._keep(tables.positions, position.producer, row)

    def flush(self) -> None:
        """Write everything."""
        self._new[tables.changes] = [
            {"seq": change.seq, "at": self._now, "kind": change.kind, "id": change.id, "body": change.body}
            for change in self.changes
        ]
        for answer in self.answers:
            row: rows.Row = {"command_id": answer.command_id, "at": self._now, "body": wire.encode(answer)}
            self._keep(tables.answers, answer.command_id, row)
        for table, latest in self._latest.items():
            self._connection.execute(upsert(table, self._connection.dialect.name), list(latest.values()))
        for table, new in self._new.items():
            if new:
                self._connection.execute(insert(table), new)
        if tables.storms in self._latest:
            storms.prune(self._connection)
        if self._removed_mutes:
            self._connection.execute(delete(tables.mutes).where(tables.mutes.c.id.in_(self._removed_mutes)))

    def _ticket(self, effect: TicketChanged) -> None:
        ticket = effect.ticket
        body = wire.encode(ticket)
        seq = self._change(ChangeKind.TICKET, ticket.id, body)
        self._keep(tables.tickets, ticket.id, rows.ticket_row(ticket, seq, body))
        self._new.setdefault(tables.ticket_events, []).extend(rows.ticket_event_row(e) for e in effect.events)
        targets = self._targets if self._exercises or not ticket.exercise else ()
        for delivery in outbox.enqueue(self._connection, effect, seq, targets, self._now):
            self._delivery(delivery)

    def _mute(self, effect: MuteChanged) -> None:
        mute = effect.mute
        if effect.removed:
            # Whoever hears of the change sees that it no longer holds.
            mute = msgspec.structs.replace(mute, expires_at=min(mute.expires_at, self._now))
        body = wire.encode(mute)
        seq = self._change(ChangeKind.MUTE, mute.id, body)
        self._keep(tables.mutes, mute.id, rows.mute_row(mute, seq, body))
        if effect.removed:
            self._removed_mutes.append(mute.id)
        elif mute.id in self._removed_mutes:
            self._removed_mutes.remove(mute.id)

    def _delivery(self, delivery: Delivery) -> None:
        body = wire.encode(delivery)
        seq = self._change(ChangeKind.DELIVERY, delivery.id, body)
        self._keep(tables.deliveries, delivery.id, rows.delivery_row(delivery, seq, body))

    def _change(self, kind: str, id_: str, body: bytes) -> int:
        seq = self._seq + len(self.changes) + 1
        self.changes.append(Change(seq, kind, id_, body))
        return seq

    def _keep(self, table: Table, key: object, row: rows.Row) -> None:
        self._latest.setdefault(table, {})[key] = row
