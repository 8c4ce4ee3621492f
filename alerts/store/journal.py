"""The journal: one transaction holds a step's input and everything that came of it, or nothing at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import Column, Connection, func, insert, select

from alerts.core.batch import Batch
from alerts.core.effects import Answered, Effect
from alerts.delivery.outbox import Outcome
from alerts.store import tables
from alerts.store.digest import effects_digest
from alerts.store.refusals import Refusal, Refusals
from alerts.store.writing import Change, Report, Writing
from contracts import wire
from contracts.command import Command, CommandAnswer
from contracts.filmstrip import Filmstrip
from contracts.instant import Instant
from contracts.read_schema import ChangeKind
from runtime.log_link import Position

if TYPE_CHECKING:
    from alerts.store.database import Database
    from alerts.store.lease import Lease


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One call of Engine.step and what it answered."""

    batch: Batch
    now: Instant
    policy_version: int
    effects: Sequence[Effect]


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What one transaction holds. Everything but the step is the shell's own and is not replayed."""

    now: Instant
    step: Step | None = None
    positions: Sequence[Position] = ()
    reports: Sequence[Report] = ()
    refusals: Sequence[Refusal] = ()
    outcomes: Sequence[Outcome] = ()
    filmstrips_wanted: Sequence[Filmstrip] = ()
    """New ones, with the incidents of the step."""
    filmstrips: Sequence[Filmstrip] = ()
    """What inference told of those that are wanted, or that they are given up."""
    resends: Sequence[Command] = ()


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """What may be told to others, now that it is on the disk."""

    changes: Sequence[Change]
    answers: Sequence[CommandAnswer]

    @property
    def deliveries_changed(self) -> bool:
        """True when the sender has something new to look at."""
        return any(change.kind == ChangeKind.DELIVERY for change in self.changes)


class Journal:
    """The one writer's books. Not thread-safe: calls come one after the other.

    `seq` is the number of the last committed change, `step` of the last committed step. Tickets go to every one of
    `targets`, those of exercises only with `exercises`.
    """

    def __init__(
        self, database: Database, lease: Lease, targets: Sequence[str], *, exercises: bool = False
    ) -> None:
        self._database = database
        self._lease = lease
        self._targets = tuple(targets)
        self._exercises = exercises
        with database.read() as connection:
            self.seq = _newest(connection, tables.changes.c.seq)
            self.step = max(
                _newest(connection, tables.journal.c.step), _newest(connection, tables.snapshots.c.step)
            )
            self._refusals = Refusals.load(connection)

    def commit(self, work: Work) -> Committed:
        """Write `work` in one transaction; afterwards it is on the disk, or the error says that it is not.

        Repeating a commit that failed is safe: none is applied twice. Raises StoreFull, StoreBusy, LeaseLost,
        StoreError.
        """
        self._refusals.forget()
        with self._database.write() as connection:
            if self._lease.fence(connection, work.now):
                committed = self._write(connection, work)
            else:
                committed = self._read_back(connection, work)
        self._lease.commits += 1
        self._refusals.settle()
        self.step += work.step is not None
        self.seq += len(committed.changes)
        return committed

    def _write(self, connection: Connection, work: Work) -> Committed:
        writing = Writing(connection, self.seq, work.now, self._targets, exercises=self._exercises)
        if work.step is not None:
            connection.execute(
                insert(tables.journal),
                {
                    "step": self.step + 1,
                    "now": work.step.now,
                    "policy_version": work.step.policy_version,
                    "effects_digest": effects_digest(work.step.effects),
                    "input": wire.encode(work.step.batch),
                },
            )
            writing.effects(work.step.effects)
        writing.outcomes(work.outcomes)
        writing.resends(work.resends)
        writing.filmstrips(work.filmstrips_wanted, work.filmstrips)
        writing.reports(work.reports)
        writing.positions(work.positions)
        writing.flush()
        for refusal in (*writing.refusals, *work.refusals):
            self._refusals.count(refusal, work.now)
        self._refusals.write(connection)
        return Committed(changes=writing.changes, answers=writing.answers)

    def _read_back(self, connection: Connection, work: Work) -> Committed:
        """The result of this very commit, which reached the disk though the caller was told otherwise."""
        self._refusals = Refusals.load(connection)
        table = tables.changes
        changes = [
            Change(row.seq, row.kind, row.id, row.body)
            for row in connection.execute(select(table).where(table.c.seq > self.seq).order_by(table.c.seq))
        ]
        asked = [command.id for command in work.resends]
        if work.step is not None:
            asked.extend(each.answer.command_id for each in work.step.effects if isinstance(each, Answered))
        found = connection.execute(select(tables.answers.c.body).where(tables.answers.c.command_id.in_(asked)))
        return Committed(changes=changes, answers=[wire.decode(body, CommandAnswer) for body in found.scalars()])


def restore_positions(connection: Connection) -> dict[str, Position]:
    """How far each producer's log is committed."""
    return {
        row.producer: Position(row.producer, row.incarnation, row.sequence)
        for row in connection.execute(select(tables.positions))
    }


def answer_given(connection: Connection, command_id: str) -> CommandAnswer | None:
    """The answer that this command got before, if it was asked before."""
    body = connection.execute(
        select(tables.answers.c.body).where(tables.answers.c.command_id == command_id)
    ).scalar_one_or_none()
    return None if body is None else wire.decode(body, CommandAnswer)


def _newest(connection: Connection, column: Column[int]) -> int:
    newest: int | None = connection.execute(select(func.max(column))).scalar_one()
    return newest or 0
