from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select

from alerts.store.database import Database
from alerts.store.tables import metadata, sources
from contracts.errors import StoreCorrupt, StoreError
from contracts.read_schema import READ_TABLES
from contracts.source import SourceState


def test_migrated_database_has_every_column_that_the_api_reads(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.sqlite")
    with database.read() as connection:
        schema = inspect(connection)
        for table, columns in READ_TABLES.items():
            present = {column["name"] for column in schema.get_columns(table)}
            assert set(columns) <= present, table
    database.close()


def test_migrations_end_at_the_tables_of_the_code(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.sqlite")
    with database.write() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()


def test_states_that_an_older_release_stored_have_their_names_of_today(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.sqlite")
    stored = ["idle", "stalled", "backoff", "refused", "quarantined", "live", "connecting"]
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0002'")
        for later in ("filmstrips", "coverage", "storms"):
            connection.exec_driver_sql(f"DROP TABLE {later}")
        for number, state in enumerate(stored):
            row = {"id": f"c{number}", "kind": "camera", "state": state, "reason": "", "detail": ""}
            connection.execute(sources.insert().values(**row, at=1, seq=1, body=b""))
    database.close()
    database = Database(tmp_path / "a.sqlite")
    with database.read() as connection:
        found = connection.execute(select(sources.c.state).order_by(sources.c.id)).scalars().all()
    assert found == ["off", "stale", "faulted", "faulted", "blind", "live", "connecting"]
    assert found == [SourceState(state).value for state in stored]
    database.close()


def test_database_is_opened_durably_and_readers_cannot_write(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.sqlite")
    with database.write() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    with pytest.raises(StoreError, match="readonly"), database.read() as connection:
        connection.exec_driver_sql("DELETE FROM meta")
    database.close()


def test_file_that_is_no_database_is_refused_with_the_way_out(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    file.write_bytes(b"this is no database at all" * 100)
    with pytest.raises(StoreCorrupt, match="restore it from a backup"):
        Database(file)


def test_database_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.sqlite")
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    with pytest.raises(StoreCorrupt, match="newer release"):
        Database(tmp_path / "a.sqlite")


def test_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"paths\.state"):
        Database(tmp_path / "file" / "a.sqlite")


def test_oldest_of_a_long_outbox_are_found_without_sorting_it(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.sqlite")
    with database.write() as connection:
        plan = connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT id FROM outbox WHERE target = 'webhook' "
            "AND state IN ('pending', 'retrying') AND next_attempt_at <= 9 ORDER BY ordinal LIMIT 8"
        )
        steps = [str(row[-1]) for row in plan]
    database.close()
    assert not [step for step in steps if "ORDER BY" in step], steps
