"""Rows of filmstrips: which of two tellings of one strip stands, and what is not complete yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, select

from alerts.store import rows, tables
from contracts import wire
from contracts.filmstrip import Filmstrip, FilmstripState
from contracts.instant import Instant

_ORDER: Final = (FilmstripState.WANTED, FilmstripState.GATHERING, FilmstripState.COMPLETE)


def supersedes(new: Filmstrip, old: Filmstrip | None) -> bool:
    """Whether `new` is written over `old`: it must know more, so that what is told twice changes nothing."""
    if old is None:
        return True
    step = _ORDER.index(new.state) - _ORDER.index(old.state)
    return step > 0 or (step == 0 and len(new.pictures) > len(old.pictures))


def find(connection: Connection, ids: Sequence[str]) -> dict[str, Filmstrip]:
    """Those of these strips that are stored."""
    table = tables.filmstrips
    found = connection.execute(select(table.c.body).where(table.c.id.in_(ids)))
    return {strip.id: strip for strip in (wire.decode(body, Filmstrip) for body in found.scalars())}


def incomplete(connection: Connection, limit: int) -> list[Filmstrip]:
    """Strips that are not complete, those first that were changed last."""
    table = tables.filmstrips
    states = [state.value for state in _ORDER if state is not FilmstripState.COMPLETE]
    query = select(table.c.body).where(table.c.state.in_(states)).order_by(table.c.updated_at.desc()).limit(limit)
    return [wire.decode(body, Filmstrip) for body in connection.execute(query).scalars()]


def filmstrip_row(strip: Filmstrip, now: Instant, seq: int, body: bytes) -> rows.Row:
    """A row of `filmstrips`."""
    return {
        "id": strip.id,
        "incident_id": strip.incident_id,
        "source_id": strip.source_id,
        "state": strip.state.value,
        "updated_at": now,
        "seq": seq,
        "body": body,
    }
