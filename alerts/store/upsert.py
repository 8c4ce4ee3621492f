"""Insert-or-replace statements, built once per table for the dialect in use."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from sqlalchemy.sql.dml import Insert


@cache
def upsert(table: Table, dialect: str) -> Insert:
    """INSERT ... ON CONFLICT (primary key) DO UPDATE of every other column."""
    key = [column.name for column in table.primary_key]
    rest = [column.name for column in table.columns if column.name not in key]
    if dialect == "postgresql":
        in_postgresql = postgresql.insert(table)
        return in_postgresql.on_conflict_do_update(
            index_elements=key, set_={name: in_postgresql.excluded[name] for name in rest}
        )
    in_sqlite = sqlite.insert(table)
    return in_sqlite.on_conflict_do_update(
        index_elements=key, set_={name: in_sqlite.excluded[name] for name in rest}
    )
