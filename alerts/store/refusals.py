"""Running totals of refused input by reason and source; bounded, since names of sources come from outside."""

from __future__ import annotations

from typing import Final, Self

import msgspec
from sqlalchemy import Connection, select

from alerts.store import tables
from alerts.store.upsert import upsert
from contracts.instant import Instant

_ROWS_MAX: Final = 10_000
_TEXT_MAX: Final = 500
_OTHERS: Final = "*"


class Refusal(msgspec.Struct, frozen=True):
    """Input that was not used, `n` times: a stable code, who sent it, and a sentence for people."""

    reason: str
    source_id: str
    text: str
    n: int = 1


class Refusals:
    """The totals, and which of them changed since the last `write`."""

    def __init__(self, totals: dict[tuple[str, str], int], *, rows_max: int = _ROWS_MAX) -> None:
        self._totals = totals
        self._rows_max = rows_max
        self._changed: dict[tuple[str, str], tuple[int, Instant, str]] = {}

    @classmethod
    def load(cls, connection: Connection) -> Self:
        """The totals as the database holds them."""
        table = tables.refusals
        return cls(
            {
                (row.reason, row.source_id): row.total
                for row in connection.execute(select(table.c.reason, table.c.source_id, table.c.total))
            }
        )

    def count(self, refusal: Refusal, now: Instant) -> None:
        """Add it; beyond `rows_max` distinct pairs, further sources are summed under `*`."""
        key = (refusal.reason, refusal.source_id)
        if key not in self._totals and len(self._totals) >= self._rows_max:
            key = (key[0], _OTHERS)
        already = self._changed[key][0] if key in self._changed else self._totals.get(key, 0)
        self._changed[key] = (already + refusal.n, now, refusal.text[:_TEXT_MAX])

    def write(self, connection: Connection) -> None:
        """Write the changed totals; `settle` after the commit."""
        if self._changed:
            connection.execute(
                upsert(tables.refusals, connection.dialect.name),
                [
                    {"reason": reason, "source_id": source, "total": total, "last_at": at, "last_text": text}
                    for (reason, source), (total, at, text) in self._changed.items()
                ],
            )

    def settle(self) -> None:
        """The transaction was committed: what changed is now what is."""
        for key, (total, _, _) in self._changed.items():
            self._totals[key] = total
        self._changed.clear()

    def forget(self) -> None:
        """The transaction did not come about."""
        self._changed.clear()
