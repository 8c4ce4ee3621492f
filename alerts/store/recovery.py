"""Recovery: the newest readable snapshot, and the journal behind it replayed with the recorded `now`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import Connection, select

from alerts.core.batch import Batch
from alerts.core.engine import Engine
from alerts.store import policies, snapshot, tables
from alerts.store.digest import effects_digest
from contracts import wire
from contracts.errors import MalformedMessage, StoreCorrupt
from contracts.instant import Instant

if TYPE_CHECKING:
    from alerts.store.database import Database
    from contracts.policy import Policy

_ROWS_AT_ONCE: Final = 500


class JournalRow(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded step."""

    step: int
    now: Instant
    policy_version: int
    effects_digest: bytes
    batch: Batch


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """The engine as it stood after the last committed step `step` at `now`.

    `replayed` journal rows were needed; `differing` of them answered otherwise than recorded (the rules' code
    changed in between): the engine then goes by what it would answer today, the store keeps what was answered.
    """

    engine: Engine
    step: int
    now: Instant
    replayed: int
    differing: int
    snapshots_unreadable: int


def recover(database: Database, site: str, county: str, policy: Policy) -> Recovered:
    """The engine, to go on under `policy`. Effects of the replay are compared and dropped: the store has them.

    Raises StoreCorrupt when neither a snapshot nor the whole journal can be read.
    """
    with database.read() as connection:
        base, unreadable = _newest_usable(connection, site, county)
        if base is None:
            engine, version, step, now = Engine(site, county, policy), None, 0, Instant(0)
        else:
            engine, version, step, now = base
        replayed = differing = 0
        for row in journal_rows(connection, step):
            if row.step != step + 1:
                raise StoreCorrupt(
                    f"日志缺少第 {step + 1} 步 (the journal goes on with step {row.step}); restore the database "
                    "from a backup, or move it away to begin anew"
                )
            if row.policy_version != version:
                version = row.policy_version
                engine = under(engine, policies.load(connection, version), fresh=step == 0)
            effects = engine.step(row.batch, row.now)
            differing += effects_digest(effects) != row.effects_digest
            step, now, replayed = row.step, row.now, replayed + 1
    return Recovered(
        engine=under(engine, policy, fresh=step == 0) if version != policy.version else engine,
        step=step,
        now=now,
        replayed=replayed,
        differing=differing,
        snapshots_unreadable=unreadable,
    )


def under(engine: Engine, policy: Policy, *, fresh: bool = False) -> Engine:
    """The same engine under other rules."""
    if fresh:
        return Engine(engine.site, engine.county, policy)
    return Engine.restore(engine.site, engine.county, policy, engine.snapshot())


def journal_rows(connection: Connection, after_step: int) -> Iterator[JournalRow]:
    """The recorded steps behind `after_step`, in order, a few hundred in memory at once. Raises StoreCorrupt."""
    table = tables.journal
    while True:
        rows = connection.execute(
            select(table).where(table.c.step > after_step).order_by(table.c.step).limit(_ROWS_AT_ONCE)
        ).all()
        for row in rows:
            try:
                batch = wire.decode(row.input, Batch)
            except MalformedMessage as error:
                raise StoreCorrupt(
                    f"日志第 {row.step} 步无法读取 (journal row {row.step} cannot be read: {error}); restore the "
                    "database from a backup, or start the release that wrote it"
                ) from error
            yield JournalRow(
                step=row.step,
                now=Instant(row.now),
                policy_version=row.policy_version,
                effects_digest=row.effects_digest,
                batch=batch,
            )
        if len(rows) < _ROWS_AT_ONCE:
            return
        after_step = rows[-1].step


def _newest_usable(
    connection: Connection, site: str, county: str
) -> tuple[tuple[Engine, int, int, Instant] | None, int]:
    """(engine, policy version, step, now) of the newest snapshot that can be restored, and how many could not."""
    steps = list(connection.execute(select(tables.snapshots.c.step)).scalars())
    for found in snapshot.readable(connection):
        try:
            engine = Engine.restore(site, county, policies.load(connection, found.policy_version), found.state)
        except StoreCorrupt:
            continue
        newer = sum(step > found.step for step in steps)
        return (engine, found.policy_version, found.step, found.now), newer
    return None, len(steps)
