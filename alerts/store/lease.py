"""The fenced lease: one engine writes. Each holder has an epoch, checked inside every transaction."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from sqlalchemy import Connection, insert, select, update

from alerts.store import tables
from alerts.store.database import Database
from contracts.errors import LeaseLost, StoreError
from contracts.instant import Instant, after, seconds


class HolderLock:
    """A lock of the operating system on a file beside the database; gone with its process, however that ends.

    It lets a new engine take the lease at once when the old one on this machine died, instead of waiting for the
    lease to expire.
    """

    def __init__(self, file: Path) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"锁文件 {file} 无法打开 (the lock file cannot be opened: {error.strerror}); "
                "set paths.state to a folder that this user may write"
            ) from None

    def acquire(self) -> bool:
        """True when this process holds the lock now; never waits."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Give the lock back."""
        os.close(self._descriptor)


class Lease:
    """The right to write, as `acquire` gave it. `epoch` names it; `commits` counts the transactions under it."""

    def __init__(self, epoch: int, commits: int, holder: str, duration_s: float) -> None:
        self.epoch = epoch
        self.commits = commits
        self.holder = holder
        self._duration_ns = seconds(duration_s)

    def fence(self, connection: Connection, now: Instant) -> bool:
        """Check the epoch and renew, as the first statement of a transaction.

        False when this very transaction is in the database already: its commit succeeded, though the caller was
        told otherwise. After a commit the caller sets `commits` to `commits + 1`. Raises LeaseLost.
        """
        number = self.commits + 1
        renewed = connection.execute(
            update(tables.lease)
            .where(tables.lease.c.epoch == self.epoch, tables.lease.c.commits == number - 1)
            .values(expires=after(now, self._duration_ns), commits=number)
        )
        if renewed.rowcount == 1:
            return True
        row = connection.execute(select(tables.lease)).one_or_none()
        if row is not None and row.epoch == self.epoch and row.commits == number:
            return False
        holder = f"{row.holder} (epoch {row.epoch})" if row is not None else "nobody"
        raise LeaseLost(
            f"写入权已被 {holder} 取得 (another engine took the lease; this one had epoch {self.epoch}); "
            "this process stops, start it again to stand by"
        )


def acquire(database: Database, now: Instant, *, duration_s: float, sole: bool, holder: str = "") -> Lease | None:
    """The lease under a new epoch, or None while another holder's has not expired.

    `sole`: this process holds the HolderLock of this database, so that an unexpired lease belongs to a dead one.
    """
    holder = holder or f"{socket.gethostname()}:{os.getpid()}"
    with database.write() as connection:
        row = connection.execute(select(tables.lease)).one_or_none()
        if row is None:
            epoch, commits = 1, 0
            connection.execute(
                insert(tables.lease).values(id=1, epoch=epoch, holder=holder, expires=now, commits=commits)
            )
        else:
            if row.expires > now and not sole:
                return None
            epoch, commits = row.epoch + 1, row.commits
        connection.execute(
            update(tables.lease).values(epoch=epoch, holder=holder, expires=after(now, seconds(duration_s)))
        )
    return Lease(epoch, commits, holder, duration_s)


def release(database: Database, lease: Lease, now: Instant) -> None:
    """Let the next engine start at once after an orderly end; a lost lease is left alone."""
    with database.write() as connection:
        connection.execute(update(tables.lease).where(tables.lease.c.epoch == lease.epoch).values(expires=now))
