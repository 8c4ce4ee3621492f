"""The access register: every command and every view of evidence leaves a row; rows are only ever added.

One SQLite file of the API's own. Triggers refuse changes and deletions, so that a bug cannot rewrite history;
retention beyond its legal minimum is a later, separate job.
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from contracts.errors import StoreFull
from contracts.instant import Instant
from contracts.principal import Principal

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS access (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    principal_id TEXT NOT NULL,
    principal_name TEXT NOT NULL,
    unit TEXT NOT NULL,
    role TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    reason TEXT NOT NULL,
    outcome TEXT NOT NULL,
    peer TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS access_at ON access (at);
CREATE TRIGGER IF NOT EXISTS access_no_update BEFORE UPDATE ON access
    BEGIN SELECT RAISE(ABORT, 'the access register is append-only'); END;
CREATE TRIGGER IF NOT EXISTS access_no_delete BEFORE DELETE ON access
    BEGIN SELECT RAISE(ABORT, 'the access register is append-only'); END;
"""
_INSERT: Final = (
    "INSERT INTO access (at, principal_id, principal_name, unit, role, action, target, reason, outcome, peer) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class AccessRegister:
    """Appends rows in one thread of its own, in the order in which they were asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="api-register")
        self._connection: sqlite3.Connection | None = None

    async def append(
        self,
        *,
        at: Instant,
        principal: Principal,
        action: str,
        target: str,
        reason: str,
        outcome: str,
        peer: str,
    ) -> None:
        """Add one row: who (with unit and role), what, when, why, how it ended, from which address.

        Raises StoreFull when it cannot be written: the caller decides whether the act may go on without it.
        """
        row = (
            int(at),
            principal.id,
            principal.name,
            principal.unit,
            str(principal.role),
            action,
            target,
            reason,
            outcome,
            peer,
        )
        await asyncio.get_running_loop().run_in_executor(self._thread, self._insert, row)

    async def close(self) -> None:
        """Write what waits and close the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        await asyncio.to_thread(self._thread.shutdown)

    def _insert(self, row: tuple[int | str, ...]) -> None:
        try:
            if self._connection is None:
                self._connection = self._open()
            with self._connection:
                self._connection.execute(_INSERT, row)
        except (sqlite3.Error, OSError) as error:
            self._close()
            raise StoreFull(
                f"查阅登记簿 {self._path} 无法写入 (the access register cannot be written: {error}); "
                "free space or repair the file",
                reason="register_unavailable",
            ) from None

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not self._path.exists():
            self._path.touch(mode=0o600)
        connection = sqlite3.connect(self._path, timeout=5.0, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(_SCHEMA)
        return connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
