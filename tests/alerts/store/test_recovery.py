from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from alerts.core.batch import Batch
from alerts.core.engine import Engine
from alerts.given import load_policy
from alerts.store import policies, snapshot, tables
from alerts.store.journal import Step, Work
from alerts.store.recovery import Recovered, recover
from alerts.store.snapshot import Snapshot
from contracts.errors import StoreCorrupt
from contracts.instant import Instant
from contracts.policy import Policy
from tests.alerts.records import COUNTY, SITE, at, smoke
from tests.alerts.store.books import Books

POLICY_FILE = Path(__file__).resolve().parents[3] / "alerts" / "policy" / "default.toml"


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(POLICY_FILE)


class Life:
    """An engine whose steps are journalled, as the step loop does it."""

    def __init__(self, file: Path, policy: Policy) -> None:
        self.books = Books.open(file)
        self.policy = policy
        self.engine = Engine(SITE, COUNTY, policy)
        with self.books.database.write() as connection:
            policies.record(connection, policy, at(0), "test")

    def step(self, batch: Batch, now: Instant) -> None:
        effects = self.engine.step(batch, now)
        version = self.engine.policy.version
        step = Step(batch=batch, now=now, policy_version=version, effects=effects)
        self.books.journal.commit(Work(now=now, step=step))

    def alarms(self, *numbers: int) -> None:
        for number in numbers:
            self.step(Batch(observations=(smoke(number, at(number)),)), at(number))

    def save(self, now: Instant) -> None:
        snapshot.save(
            self.books.database,
            self.books.lease,
            Snapshot(
                step=self.books.journal.step,
                now=now,
                policy_version=self.engine.policy.version,
                state=self.engine.snapshot(),
            ),
            changes_kept=1000,
        )

    def recover(self, policy: Policy | None = None) -> Recovered:
        return recover(self.books.database, SITE, COUNTY, policy or self.policy)

    def damage(self, table: str, step: int, **values: object) -> None:
        target = tables.metadata.tables[table]
        with self.books.database.write() as connection:
            connection.execute(update(target).where(target.c.step == step).values(**values))


@pytest.fixture
def life(tmp_path: Path, policy: Policy) -> Iterator[Life]:
    opened = Life(tmp_path / "a.sqlite", policy)
    yield opened
    opened.books.close()


def test_empty_store_gives_a_fresh_engine(life: Life) -> None:
    recovered = life.recover()
    assert (recovered.step, recovered.replayed, recovered.differing) == (0, 0, 0)
    assert recovered.engine.snapshot() == life.engine.snapshot()


def test_journal_alone_gives_the_same_state(life: Life) -> None:
    life.alarms(1, 2, 3)
    recovered = life.recover()
    assert (recovered.step, recovered.now, recovered.replayed) == (3, at(3), 3)
    assert recovered.differing == 0
    assert recovered.engine.snapshot() == life.engine.snapshot()


def test_snapshot_and_the_journal_behind_it_give_the_same_state(life: Life) -> None:
    life.alarms(1, 2)
    life.save(at(2))
    life.alarms(3)
    recovered = life.recover()
    assert (recovered.step, recovered.replayed, recovered.differing) == (3, 1, 0)
    assert recovered.engine.snapshot() == life.engine.snapshot()


def test_unreadable_snapshot_falls_back_to_the_older_one(life: Life) -> None:
    life.alarms(1)
    life.save(at(1))
    life.alarms(2)
    life.save(at(2))
    life.alarms(3)
    life.damage("snapshots", 2, state=b"rubbish")
    recovered = life.recover()
    assert (recovered.step, recovered.replayed, recovered.snapshots_unreadable) == (3, 2, 1)
    assert recovered.engine.snapshot() == life.engine.snapshot()


def test_all_snapshots_unreadable_and_the_journal_pruned_is_a_damaged_store(life: Life) -> None:
    for number in (1, 2, 3):
        life.alarms(number)
        life.save(at(number))
    assert [row["step"] for row in life.books.rows("snapshots")] == [2, 3]
    assert [row["step"] for row in life.books.rows("journal")] == [3]
    for step in (2, 3):
        life.damage("snapshots", step, state=b"rubbish")
    with pytest.raises(StoreCorrupt, match="step 3"):
        life.recover()


def test_journal_row_that_cannot_be_read_names_its_step(life: Life) -> None:
    life.alarms(1, 2)
    life.damage("journal", 2, input=b"\x01rubbish")
    with pytest.raises(StoreCorrupt, match="row 2"):
        life.recover()


def test_answers_that_differ_from_what_was_recorded_are_counted(life: Life) -> None:
    life.alarms(1, 2)
    life.damage("journal", 2, effects_digest=b"something else")
    assert life.recover().differing == 1


def test_old_rows_replay_under_the_policy_they_were_judged_by(life: Life) -> None:
    life.alarms(1, 2)
    newer = msgspec.structs.replace(life.policy, version=life.policy.version + 1, lateness_s=3.0)
    with life.books.database.write() as connection:
        policies.record(connection, newer, at(3), "test")
    life.engine = Engine.restore(SITE, COUNTY, newer, life.engine.snapshot())
    life.alarms(3)
    recovered = life.recover(newer)
    assert (recovered.replayed, recovered.differing) == (3, 0)
    assert recovered.engine.policy == newer
    assert recovered.engine.snapshot() == life.engine.snapshot()


def test_snapshots_prune_old_changes_but_never_the_newest(life: Life) -> None:
    life.alarms(1, 2, 3)
    newest = life.books.journal.seq
    snapshot.save(
        life.books.database,
        life.books.lease,
        Snapshot(step=3, now=at(3), policy_version=1, state=life.engine.snapshot()),
        changes_kept=1,
    )
    assert [row["seq"] for row in life.books.rows("changes")] == [newest]


@settings(max_examples=20)
@given(cuts=st.sets(st.integers(1, 12)), saves=st.sets(st.integers(1, 12)), repeats=st.lists(st.integers(1, 12)))
def test_any_restarts_and_snapshots_end_in_the_state_of_an_uninterrupted_life(
    tmp_path_factory: pytest.TempPathFactory,
    policy: Policy,
    cuts: set[int],
    saves: set[int],
    repeats: list[int],
) -> None:
    whole = Engine(SITE, COUNTY, policy)
    life = Life(tmp_path_factory.mktemp("life") / "a.sqlite", policy)
    for number in range(1, 13):
        observations = tuple(smoke(each, at(each)) for each in (number, *repeats) if each <= number)
        batch = Batch(observations=observations)
        whole.step(batch, at(number))
        life.step(batch, at(number))
        if number in saves:
            life.save(at(number))
        if number in cuts:
            life.engine = life.recover().engine
    assert life.engine.snapshot() == whole.snapshot()
    assert life.recover().engine.snapshot() == whole.snapshot()
    life.books.close()
