from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from alerts.store import policies
from alerts.store.database import Database
from contracts.errors import ConfigError, StoreCorrupt
from contracts.policy import Policy
from tests.alerts.records import T0

POLICY = Policy(version=3, rules=())


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "a.sqlite")
    with opened.write() as connection:
        policies.record(connection, POLICY, T0, "policy.toml")
    yield opened
    opened.close()


def test_same_policy_again_is_fine_and_is_found_by_its_version(database: Database) -> None:
    with database.write() as connection:
        policies.record(connection, POLICY, T0, "policy.toml")
        assert policies.load(connection, 3) == POLICY


def test_changed_rules_under_the_same_version_are_refused_with_the_next_free_version(database: Database) -> None:
    changed = msgspec.structs.replace(POLICY, lateness_s=9.0)
    with database.write() as connection, pytest.raises(ConfigError, match=r"policy\.toml.*set version = 4"):
        policies.record(connection, changed, T0, "policy.toml")


def test_older_policy_than_the_one_in_use_is_refused(database: Database) -> None:
    older = msgspec.structs.replace(POLICY, version=2)
    with database.write() as connection, pytest.raises(ConfigError, match="set version = 4"):
        policies.record(connection, older, T0, "policy.toml")


def test_unknown_version_in_the_journal_is_a_damaged_store(database: Database) -> None:
    with database.read() as connection, pytest.raises(StoreCorrupt, match="policy 9"):
        policies.load(connection, 9)
