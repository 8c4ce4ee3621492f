"""The database file: opened the one right way, with its errors in our own words."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from alerts.store.schema import upgrade
from contracts.errors import StoreBusy, StoreCorrupt, StoreError, StoreFull

_NO_SPACE_BYTES: Final = 1024 * 1024
"""Below this much free space an I/O error of SQLite is taken for what it is: a full disk."""


class Reader:
    """Reads a SQLite file while others write it; never writes.

    Raises StoreError when there is no such file; otherwise as Database.
    """

    def __init__(self, file: Path, *, busy_timeout_s: float = 5.0) -> None:
        if not file.exists():
            raise StoreError(f"没有数据库 {file} (no such database); start alerts first, or set paths.state")
        self.file = file
        self._readers = _open(file, busy_timeout_s, pool_size=4, begin="BEGIN", read_only=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view for reading; any thread."""
        with _words(self.file), self._readers.begin() as connection:
            yield connection

    def close(self) -> None:
        """Give all connections back."""
        self._readers.dispose()


class Database(Reader):
    """One SQLite file with one writing connection and a few reading ones, made and migrated if need be.

    WAL, so that readers never wait for the writer; synchronous=FULL, so that a committed ticket survives a power
    cut; foreign keys on. Writing transactions begin IMMEDIATE: the write lock is taken before anything is read.

    Raises StoreCorrupt when the file is no database, StoreFull and StoreBusy as they say, StoreError otherwise.
    """

    def __init__(self, file: Path, *, busy_timeout_s: float = 5.0) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
        except OSError as error:
            raise StoreError(
                f"数据库 {file} 无法建立 (the database cannot be made: {error.strerror}); "
                "set paths.state to a folder that this user may write"
            ) from None
        super().__init__(file, busy_timeout_s=busy_timeout_s)
        self.engine = _open(file, busy_timeout_s, pool_size=1, begin="BEGIN IMMEDIATE", read_only=False)
        with self.write() as connection:
            upgrade(connection)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction of the writer; commits at the end, rolls back on any error."""
        with _words(self.file), self.engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Give all connections back."""
        super().close()
        self.engine.dispose()


def _open(file: Path, busy_timeout_s: float, *, pool_size: int, begin: str, read_only: bool) -> Engine:
    engine = create_engine(
        f"sqlite+pysqlite:///{file}",
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=0,
        connect_args={"timeout": busy_timeout_s, "check_same_thread": False},
    )

    def connect(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys=ON")
        if read_only:
            connection.execute("PRAGMA query_only=ON")
            return
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA journal_size_limit=16777216")

    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", connect)
    event.listen(engine, "begin", start)
    return engine


@contextmanager
def _words(file: Path) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise store_error(error.orig or error, file) from error
    except sqlite3.Error as error:
        raise store_error(error, file) from error
    except PoolTimeout as error:
        raise StoreBusy(f"数据库 {file} 的连接用尽 (all connections in use); try again") from error


def store_error(error: BaseException, file: Path) -> StoreError:
    """SQLite's error in the words of contracts.errors."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary == sqlite3.SQLITE_FULL or (
        primary in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and _full(file)
    ):
        return StoreFull(
            f"磁盘已满, {file} 无法写入 (no space left for the database: {error}); free space on its disk"
        )
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy(
            f"数据库 {file} 被其他进程锁定 (locked by another process: {error}); end the process that holds it"
        )
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreCorrupt(
            f"数据库 {file} 已损坏 (the file is damaged: {error}); restore it from a backup, or move it away"
        )
    return StoreError(f"数据库 {file} 出错 (database error: {error})")


def _full(file: Path) -> bool:
    try:
        status = os.statvfs(file.parent)
    except OSError:
        return False
    return status.f_bavail * status.f_frsize < _NO_SPACE_BYTES
