"""Reading what alerts committed: read-only SQLite connections in threads, so that the event loop never waits."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from contracts.errors import StoreBusy, StoreCorrupt
from dashboard_api.problem import DatabaseAbsent

BUSY_TIMEOUT_S: Final = 2.0
IN_FLIGHT_MAX: Final = 400
"""Reads that may wait for a thread; beyond it the API says 503 at once."""

_ABSENT: Final = (
    "等待告警服务: 数据库尚未建立 (waiting for the alerts service; its database is not there yet: "
    "start `gridwhistle alerts` or `gridwhistle run`)"
)

T = TypeVar("T")
Read = Callable[[sqlite3.Connection], T]


class DatabaseReader:
    """Runs read functions on read-only connections, each inside one read transaction (one consistent picture).

    A file that is replaced (a new installation in the same folder) is opened again by itself.
    """

    def __init__(self, path: Path, readers: int) -> None:
        self._path = path
        self._pool = ThreadPoolExecutor(readers, thread_name_prefix="api-read")
        self._local = threading.local()
        self._in_flight = 0

    async def read(self, read: Read[T]) -> T:
        """The result of `read(connection)`.

        Raises DatabaseAbsent while there is no database, StoreBusy when too many wait, StoreCorrupt.
        """
        if self._in_flight >= IN_FLIGHT_MAX:
            raise StoreBusy(f"查询过多, 请稍后再试 (over {IN_FLIGHT_MAX} reads wait; try again)")
        self._in_flight += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._in_thread, read)
        finally:
            self._in_flight -= 1

    async def close(self) -> None:
        """Wait for the reads in work and give the threads back; connections close with their threads."""
        await asyncio.to_thread(self._pool.shutdown)

    def _in_thread(self, read: Read[T]) -> T:
        connection = self._connection()
        try:
            connection.execute("BEGIN")
            try:
                return read(connection)
            finally:
                connection.rollback()
        except sqlite3.OperationalError as error:
            text = str(error)
            if "no such table" in text or "no such column" in text or "unable to open" in text:
                self._forget()
                raise DatabaseAbsent(f"{_ABSENT} [{text}]") from None
            if "locked" in text or "busy" in text:
                raise StoreBusy(f"数据库忙 (the database is busy: {text}); try again") from None
            self._forget()
            raise StoreCorrupt(f"数据库 {self._path} 无法读取 (cannot be read: {text})") from None
        except sqlite3.DatabaseError as error:
            self._forget()
            raise StoreCorrupt(f"数据库 {self._path} 无法读取 (cannot be read: {error})") from None

    def _connection(self) -> sqlite3.Connection:
        try:
            found = self._path.stat()
        except OSError:
            self._forget()
            raise DatabaseAbsent(_ABSENT) from None
        identity = (found.st_dev, found.st_ino)
        if getattr(self._local, "identity", None) == identity:
            connection: sqlite3.Connection = self._local.connection
            return connection
        self._forget()
        try:
            connection = sqlite3.connect(
                f"{self._path.as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None
            )
        except sqlite3.OperationalError as error:
            raise DatabaseAbsent(f"{_ABSENT} [{error}]") from None
        connection.row_factory = sqlite3.Row
        self._local.connection, self._local.identity = connection, identity
        return connection

    def _forget(self) -> None:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        self._local.connection = self._local.identity = None
        if connection is not None:
            connection.close()
