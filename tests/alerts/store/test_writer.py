from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from alerts.core.effects import IncidentChanged
from alerts.store.reserve import Reserve
from alerts.store.snapshot import Snapshot
from alerts.store.writer import Writer
from contracts.errors import LeaseLost, StoreBusy, StoreFull
from runtime.clock import SystemClock
from runtime.metrics import StageCounters
from tests.alerts.records import at, incident
from tests.alerts.store.books import Books, work

CLOCK = SystemClock()


@dataclass
class Desk:
    books: Books
    writer: Writer
    reserve: Reserve
    counters: StageCounters
    stop: asyncio.Event

    def limit_pages(self, more: int) -> None:
        """Let the database file grow by `more` pages at most, as a full disk would."""
        with self.books.database.write() as connection:
            used = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {used + more}")

    async def until_failed(self, times: int) -> None:
        async with asyncio.timeout(20):
            while self.counters.total("commits_failed", "disk_full") < times:
                await CLOCK.asleep(0.01)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    books = Books.open(tmp_path / "a.sqlite")
    reserve = Reserve(tmp_path / "reserve.bin", 1024 * 1024)
    counters, stop = StageCounters("alerts"), asyncio.Event()
    writer = Writer(books.database, books.lease, books.journal, reserve, CLOCK, counters, stop)
    yield Desk(books, writer, reserve, counters, stop)
    writer.close()
    books.close()


def large(number: int) -> IncidentChanged:
    return IncidentChanged(incident(number, when=at(number)))


async def test_full_disk_is_waited_out_and_the_commit_is_then_made_once(desk: Desk) -> None:
    await desk.writer.hold_reserve()
    assert desk.counters.value("store_reserve_bytes") == 1024 * 1024
    desk.limit_pages(0)
    commits = asyncio.create_task(desk.writer.commit(work(*(large(number) for number in range(200)))))
    await desk.until_failed(2)
    assert not commits.done()
    assert not desk.reserve.held
    assert desk.counters.total("reserve_released") == 1
    assert desk.counters.value("store_full") == 1.0
    assert desk.counters.value("store_reserve_bytes") == 0.0
    assert desk.books.rows("incidents") == []
    desk.limit_pages(10_000)
    committed = await asyncio.wait_for(commits, 20)
    assert len(committed.changes) == len(desk.books.rows("incidents")) == 200
    assert desk.counters.value("store_full") == 0.0


async def test_stop_while_the_disk_is_full_ends_the_wait(desk: Desk) -> None:
    desk.limit_pages(0)
    commits = asyncio.create_task(desk.writer.commit(work(*(large(number) for number in range(200)))))
    await desk.until_failed(1)
    desk.stop.set()
    with pytest.raises(StoreFull):
        await asyncio.wait_for(commits, 20)


async def test_snapshot_that_does_not_fit_is_left_out_and_the_journal_stays(desk: Desk) -> None:
    await desk.writer.commit(work(large(1)))
    desk.limit_pages(0)
    snapshot = Snapshot(step=1, now=at(1), policy_version=1, state=b"s" * 1_000_000)
    assert not await desk.writer.save_snapshot(snapshot, changes_kept=100)
    assert desk.counters.total("snapshots_failed", "disk_full") == 1
    assert desk.books.rows("snapshots") == []
    assert len(desk.books.rows("journal")) == 1
    desk.limit_pages(10_000)
    assert await desk.writer.save_snapshot(snapshot, changes_kept=100)


async def test_database_locked_by_another_process_is_waited_out(desk: Desk, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "a.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    commits = asyncio.create_task(desk.writer.commit(work(large(1))))
    async with asyncio.timeout(30):
        while desk.counters.total("commits_failed", StoreBusy.reason) < 1:
            await CLOCK.asleep(0.01)
    other.execute("ROLLBACK")
    other.close()
    await asyncio.wait_for(commits, 20)
    assert len(desk.books.rows("incidents")) == 1


async def test_lost_lease_is_not_retried(desk: Desk, tmp_path: Path) -> None:
    thief = Books.open(tmp_path / "a.sqlite", now=at(1))
    with pytest.raises(LeaseLost):
        await desk.writer.commit(work(large(1)))
    thief.close()
