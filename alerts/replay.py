"""Replay: stored input through a fresh engine, the same function that judges live; nothing is written.

From the journal of a database (under the rules of then, or under others), or from observations that
`gridwhistle reanalyse` stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import pyarrow.parquet as pq
from sqlalchemy import Connection, Table, func, select

from alerts.core.batch import EMPTY, Batch
from alerts.core.effects import Effect, IncidentChanged, TicketChanged
from alerts.core.engine import Engine
from alerts.store import policies, snapshot, tables
from alerts.store.database import Reader
from alerts.store.digest import effects_digest
from alerts.store.recovery import journal_rows, under
from contracts import wire
from contracts.errors import MalformedMessage
from contracts.incident import Incident
from contracts.instant import HOUR, Instant, after
from contracts.observation import Observation
from contracts.policy import Policy
from contracts.source import SourceChange
from contracts.ticket import Ticket

DRAIN_NS: Final = HOUR
"""How far time passes behind the last record, so that reviews and holds come to their end."""

Record = Observation | SourceChange


class Outcome(msgspec.Struct, kw_only=True):
    """What the engine came to: the last version of every incident and ticket that changed."""

    incidents: dict[str, Incident] = {}
    tickets: dict[str, Ticket] = {}

    def take(self, effects: Sequence[Effect]) -> None:
        """Keep what changed."""
        for effect in effects:
            match effect:
                case IncidentChanged(incident=incident):
                    self.incidents[incident.id] = incident
                case TicketChanged(ticket=ticket):
                    self.tickets[ticket.id] = ticket
                case _:
                    pass


class Report(msgspec.Struct, kw_only=True):
    """A journal replayed. `missing`: tickets of the store that the replay does not open; `fresh`: the reverse;
    `different`: incidents and tickets that both have, with another content."""

    steps: int
    differing: int
    outcome: Outcome
    missing: tuple[str, ...]
    fresh: tuple[str, ...]
    different: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """True when the replay came to exactly what is stored."""
        return not (self.differing or self.missing or self.fresh or self.different)

    def text(self) -> str:
        """For people."""
        lines = [
            f"重放 {self.steps} 步, 其中 {self.differing} 步结果不同 (steps, answered otherwise)",
            f"告警 {len(self.outcome.incidents)}, 工单 {len(self.outcome.tickets)} (incidents, tickets)",
        ]
        lines += [f"不再生成的工单 (would go): {id_}" for id_ in self.missing]
        lines += [f"新增的工单 (would come): {id_}" for id_ in self.fresh]
        lines += [f"内容不同 (different): {id_}" for id_ in self.different]
        return "\n".join([*lines, "与库中一致 (equal to what is stored)"] if self.equal else lines)


def replay_journal(file: Path, site: str, county: str, policy: Policy | None = None) -> Report:
    """Replay what the journal still holds, from the oldest snapshot on; under `policy` if given, else as recorded.

    Raises StoreError and StoreCorrupt.
    """
    reader = Reader(file)
    try:
        with reader.read() as connection:
            return _replay(connection, site, county, policy)
    finally:
        reader.close()


def would_be_tickets(records: Iterable[Record], site: str, county: str, policy: Policy) -> list[Ticket]:
    """The tickets that these records would open if nobody acted, as they stand an hour after the last record."""
    outcome = Outcome()
    for effects in drive(Engine(site, county, policy), records):
        outcome.take(effects)
    return sorted(outcome.tickets.values(), key=lambda ticket: (ticket.opened_at, ticket.id))


def drive(engine: Engine, records: Iterable[Record], *, drain_ns: int = DRAIN_NS) -> Iterator[list[Effect]]:
    """Step through records at the times at which they arrived, serving every timer on its way."""
    now = Instant(0)
    for record in records:
        arrived = record.arrival_time if isinstance(record, Observation) else record.at
        yield from _pass_time(engine, now, arrived)
        now = max(now, arrived)
        batch = Batch((record,)) if isinstance(record, Observation) else Batch((), (record,))
        yield engine.step(batch, now)
    yield from _pass_time(engine, now, after(now, drain_ns))


def stored_records(file: Path) -> Iterator[Record]:
    """The records of an observations file (Parquet, column `record`: contracts.wire), in order.

    Raises MalformedMessage.
    """
    with pq.ParquetFile(file) as parquet:
        for rows in parquet.iter_batches(columns=["record"]):
            for data in rows.column("record").to_pylist():
                record = wire.decode_log_record(data)
                if not isinstance(record, Observation | SourceChange):
                    raise MalformedMessage(f"{file}: {type(record).__name__} 不是观测 (no observation)")
                yield record


def _pass_time(engine: Engine, now: Instant, until: Instant) -> Iterator[list[Effect]]:
    while (due := engine.next_due()) is not None and due <= until:
        now = max(now, due)
        yield engine.step(EMPTY, now)


def _replay(connection: Connection, site: str, county: str, policy: Policy | None) -> Report:
    engine, version, step = _oldest(connection, site, county, policy)
    outcome, steps, differing = Outcome(), 0, 0
    for row in journal_rows(connection, step):
        if policy is None and row.policy_version != version:
            version = row.policy_version
            engine = under(engine, policies.load(connection, version), fresh=steps == 0 and step == 0)
        effects = engine.step(row.batch, row.now)
        differing += effects_digest(effects) != row.effects_digest
        outcome.take(effects)
        steps += 1
    return _compare(connection, outcome, steps, differing)


def _oldest(
    connection: Connection, site: str, county: str, policy: Policy | None
) -> tuple[Engine, int | None, int]:
    """(engine, policy version, step) to begin with: the oldest snapshot, or nothing at all."""
    first = connection.execute(select(tables.journal.c.step).order_by(tables.journal.c.step).limit(1)).scalar()
    kept = [found for found in snapshot.readable(connection) if first is None or found.step >= first - 1]
    if first == 1 or not kept:
        rules = policy or policies.newest(connection)
        return Engine(site, county, rules), None, 0
    oldest = kept[-1]
    rules = policy or policies.load(connection, oldest.policy_version)
    return Engine.restore(site, county, rules, oldest.state), oldest.policy_version, oldest.step


def _compare(connection: Connection, outcome: Outcome, steps: int, differing: int) -> Report:
    incidents = _stored(connection, tables.incidents, list(outcome.incidents))
    stored = _stored(connection, tables.tickets, list(outcome.tickets))
    different = [
        id_
        for id_, incident in outcome.incidents.items()
        if id_ in incidents and wire.decode(incidents[id_], Incident) != incident
    ]
    different += [
        id_
        for id_, ticket in outcome.tickets.items()
        if id_ in stored and wire.decode(stored[id_], Ticket) != ticket
    ]
    since = connection.execute(select(func.min(tables.journal.c.now))).scalar()
    recorded: set[str] = set()
    if since is not None:
        newer = select(tables.tickets.c.id).where(tables.tickets.c.opened_at >= since)
        recorded.update(connection.execute(newer).scalars())
    return Report(
        steps=steps,
        differing=differing,
        outcome=outcome,
        missing=tuple(sorted(recorded - set(outcome.tickets))),
        fresh=tuple(sorted(set(outcome.tickets) - set(stored))),
        different=tuple(different),
    )


def _stored(connection: Connection, table: Table, ids: Sequence[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for start in range(0, len(ids), 500):
        rows = connection.execute(select(table.c.id, table.c.body).where(table.c.id.in_(ids[start : start + 500])))
        found.update({row.id: row.body for row in rows})
    return found
