"""Storms: the newest few hundred are kept, so that a county whose power flaps for years does not fill its disk."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, delete, select

from alerts.store import tables

KEPT: Final = 500


def prune(connection: Connection) -> None:
    """Forget all but the `KEPT` storms that began last."""
    table = tables.storms
    kept = select(table.c.id).order_by(table.c.began_at.desc(), table.c.id).limit(KEPT)
    connection.execute(delete(table).where(table.c.id.not_in(kept)))
