"""Snapshots of the engine's state, and what they let go: journal, old changes, old answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import Connection, delete, func, insert, select

from alerts.store import tables
from contracts.instant import DAY, Instant, after

if TYPE_CHECKING:
    from alerts.store.database import Database
    from alerts.store.lease import Lease

_KEPT: Final = 2
"""So that one unreadable snapshot costs nothing but a longer replay."""
ANSWERS_KEPT_NS: Final = 7 * DAY
"""A command asked again within this time is answered the same; later it counts as new."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The engine's state after `step`, judged last under policy `policy_version`, as of `now`."""

    step: int
    now: Instant
    policy_version: int
    state: bytes


def save(database: Database, lease: Lease, snapshot: Snapshot, *, changes_kept: int) -> None:
    """Keep `snapshot` and prune what is behind the newest two, in one transaction under the lease.

    Raises StoreFull, StoreBusy, LeaseLost, StoreError; nothing is changed then.
    """
    with database.write() as connection:
        if not lease.fence(connection, snapshot.now):
            lease.commits += 1
            return
        connection.execute(delete(tables.snapshots).where(tables.snapshots.c.step >= snapshot.step))
        connection.execute(
            insert(tables.snapshots),
            {
                "step": snapshot.step,
                "now": snapshot.now,
                "policy_version": snapshot.policy_version,
                "digest": hashlib.sha256(snapshot.state).digest(),
                "state": snapshot.state,
            },
        )
        _prune(connection, snapshot.now, changes_kept)
    lease.commits += 1


def _prune(connection: Connection, now: Instant, changes_kept: int) -> None:
    steps = list(
        connection.execute(
            select(tables.snapshots.c.step).order_by(tables.snapshots.c.step.desc()).limit(_KEPT)
        ).scalars()
    )
    connection.execute(delete(tables.snapshots).where(tables.snapshots.c.step < steps[-1]))
    if len(steps) == _KEPT:
        connection.execute(delete(tables.journal).where(tables.journal.c.step <= steps[-1]))
    newest = connection.execute(select(func.max(tables.changes.c.seq))).scalar_one() or 0
    connection.execute(delete(tables.changes).where(tables.changes.c.seq <= newest - changes_kept))
    connection.execute(delete(tables.answers).where(tables.answers.c.at < after(now, -ANSWERS_KEPT_NS)))


def readable(connection: Connection) -> Iterator[Snapshot]:
    """The snapshots whose bytes are whole, newest first."""
    for row in connection.execute(select(tables.snapshots).order_by(tables.snapshots.c.step.desc())):
        if hashlib.sha256(row.state).digest() == row.digest:
            yield Snapshot(step=row.step, now=Instant(row.now), policy_version=row.policy_version, state=row.state)
