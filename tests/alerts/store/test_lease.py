from __future__ import annotations

from pathlib import Path

import pytest

from alerts.core.effects import IncidentChanged
from alerts.store import lease as leases
from alerts.store.lease import HolderLock
from contracts.errors import LeaseLost
from tests.alerts.records import T0, at, incident
from tests.alerts.store.books import Books, work


def test_engine_whose_lease_was_taken_cannot_write_a_row(tmp_path: Path) -> None:
    old = Books.open(tmp_path / "a.sqlite")
    old.journal.commit(work(IncidentChanged(incident(1))))
    new = Books.open(tmp_path / "a.sqlite", now=at(1))
    with pytest.raises(LeaseLost, match="epoch 1"):
        old.journal.commit(work(IncidentChanged(incident(2)), now=at(2)))
    assert [row["id"] for row in new.rows("incidents")] == [incident(1).id]
    new.journal.commit(work(IncidentChanged(incident(3)), now=at(3)))
    assert len(new.rows("incidents")) == 2
    old.close()
    new.close()


def test_lease_of_a_living_engine_is_not_given_away_before_it_expires(tmp_path: Path) -> None:
    books = Books.open(tmp_path / "a.sqlite")
    assert leases.acquire(books.database, at(14.9), duration_s=15, sole=False) is None
    books.journal.commit(work(now=at(10)))
    assert leases.acquire(books.database, at(24.9), duration_s=15, sole=False) is None
    taken = leases.acquire(books.database, at(25), duration_s=15, sole=False)
    assert taken is not None
    assert taken.epoch == 2
    books.close()


def test_lease_given_back_is_free_at_once(tmp_path: Path) -> None:
    books = Books.open(tmp_path / "a.sqlite")
    leases.release(books.database, books.lease, at(1))
    assert leases.acquire(books.database, at(1), duration_s=15, sole=False) is not None
    books.close()


def test_sole_process_of_the_machine_takes_a_dead_ones_lease_at_once(tmp_path: Path) -> None:
    books = Books.open(tmp_path / "a.sqlite")
    taken = leases.acquire(books.database, T0, duration_s=15, sole=True)
    assert taken is not None
    assert taken.epoch == books.lease.epoch + 1
    books.close()


def test_only_one_holds_the_lock_until_it_is_closed(tmp_path: Path) -> None:
    first, second = HolderLock(tmp_path / "lock"), HolderLock(tmp_path / "lock")
    assert first.acquire()
    assert not second.acquire()
    first.close()
    assert second.acquire()
    second.close()
