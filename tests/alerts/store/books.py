"""A database with a lease and a journal, opened as the service does it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sqlalchemy import select

from alerts.core.batch import Batch
from alerts.core.effects import Effect
from alerts.store import lease as leases
from alerts.store import tables
from alerts.store.database import Database
from alerts.store.journal import Journal, Step, Work
from alerts.store.lease import Lease
from contracts.instant import Instant
from tests.alerts.records import T0


@dataclass
class Books:
    database: Database
    lease: Lease
    journal: Journal

    @classmethod
    def open(
        cls, file: Path, *, targets: tuple[str, ...] = ("webhook",), now: Instant = T0, exercises: bool = False
    ) -> Self:
        database = Database(file, busy_timeout_s=0.05)
        lease = leases.acquire(database, now, duration_s=15.0, sole=True)
        assert lease is not None
        return cls(database, lease, Journal(database, lease, targets, exercises=exercises))

    def rows(self, name: str) -> list[dict[str, object]]:
        with self.database.read() as connection:
            return [dict(row._mapping) for row in connection.execute(select(tables.metadata.tables[name]))]

    def close(self) -> None:
        self.database.close()


def work(*effects: Effect, now: Instant = T0, batch: Batch | None = None) -> Work:
    """A commit with one step that answered `effects`."""
    return Work(now=now, step=Step(batch=batch or Batch(), now=now, policy_version=1, effects=effects))
