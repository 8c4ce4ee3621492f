"""Views of sources: the catalogue joined with the states that alerts stored, and what is *not* being watched."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from contracts.instant import Instant, to_rfc3339
from contracts.source import SourceKind, SourceState
from dashboard_api.directory import Directory, SourceEntry
from dashboard_api.names import REASONS, SOURCE_STATES, UNREPORTED, name_of
from dashboard_api.views import Coded, coded

_MUTE: Final = frozenset({SourceState.STALE, SourceState.BLIND, SourceState.FAULTED})


def is_unseeing(kind: str, state: str) -> bool:
    """Whether a source that should tell us something does not.

    A suspect camera is received and looked at; what a suspect sensor says is not to be relied on.
    """
    return state in _MUTE or (state == SourceState.SUSPECT and kind == SourceKind.SENSOR)


def is_heard(kind: str, state: str) -> bool:
    """Whether a source tells what it should, within its bound: it counts for the coverage."""
    return state == SourceState.LIVE or (state == SourceState.SUSPECT and kind == SourceKind.CAMERA)


class SourceView(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One camera or sensor with its state. `state.code` is `unreported` while nothing was heard of it."""

    id: str
    kind: str
    name: str
    state: Coded
    reason: Coded | None
    detail: str
    at: str | None
    seq: int
    grid_code: str | None
    grid_path: tuple[str, ...]
    place_name: str
    lon: float | None
    lat: float | None
    owner: str
    expected: bool
    exercise: bool
    calibrated: bool | None
    in_catalogue: bool


class StateCount(msgspec.Struct, frozen=True, gc=False):
    """How many sources are in a state."""

    state: Coded
    count: int


class KindSummary(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Coverage of one kind. `expected`: asked to be watched; `live`: heard within its bound, suspect cameras
    included; `unseeing`: not.

    `unheard`: expected, and nothing was heard of it yet. `coverage` = live / expected, null when nothing is
    expected.
    """

    kind: str
    total: int
    expected: int
    live: int
    unseeing: int
    unheard: int
    coverage: float | None
    states: tuple[StateCount, ...]


class SourceSummary(msgspec.Struct, frozen=True, gc=False):
    """Counts by state of cameras and sensors."""

    cameras: KindSummary
    sensors: KindSummary


class SourceRow(msgspec.Struct, frozen=True, gc=False):
    """A row of the `sources` table."""

    id: str
    kind: str
    state: str
    reason: str
    detail: str
    at: Instant
    seq: int


def read_rows(connection: sqlite3.Connection) -> dict[str, SourceRow]:
    """All stored states by source id (some thousand rows)."""
    rows = connection.execute("SELECT id, kind, state, reason, detail, at, seq FROM sources")
    return {row[0]: SourceRow(row[0], row[1], row[2], row[3] or "", row[4] or "", row[5], row[6]) for row in rows}


def source_view(entry: SourceEntry | None, row: SourceRow | None, directory: Directory) -> SourceView:
    """A source from what the catalogue and the database say of it (at least one of the two)."""
    if entry is None and row is None:
        raise ValueError("a source is in the catalogue, in the database, or in both")
    known = row.id if row else entry.id if entry else ""
    state = row.state if row else UNREPORTED
    grid_code = entry.grid_code if entry else None
    return SourceView(
        id=known,
        kind=entry.kind if entry else row.kind if row else "",
        name=entry.name if entry else known,
        state=coded(name_of(SOURCE_STATES, state), state),
        reason=coded(name_of(REASONS, row.reason), row.reason) if row and row.reason else None,
        detail=row.detail if row else "",
        at=to_rfc3339(row.at) if row else None,
        seq=row.seq if row else 0,
        grid_code=grid_code,
        grid_path=directory.grid_path(grid_code),
        place_name=entry.place_name if entry else "",
        lon=entry.lon if entry else None,
        lat=entry.lat if entry else None,
        owner=entry.owner if entry else "",
        expected=is_expected(entry, state),
        exercise=entry.exercise if entry else False,
        calibrated=entry.calibrated if entry else None,
        in_catalogue=entry is not None,
    )


def is_expected(entry: SourceEntry | None, state: str) -> bool:
    """Whether somebody asked for this source: the catalogue, or a worker that reports on it."""
    if entry is not None and entry.expected:
        return True
    return state not in (UNREPORTED, SourceState.OFF)


def summary(rows: Mapping[str, SourceRow], directory: Directory) -> SourceSummary:
    """Counts over the catalogue and everything that reports without being in it."""
    ids: Iterable[str] = (directory.sources.keys() | rows.keys()) - directory.withheld
    states: dict[str, Counter[str]] = {kind: Counter() for kind in SourceKind}
    expected: Counter[str] = Counter()
    unheard: Counter[str] = Counter()
    for source_id in ids:
        entry, row = directory.sources.get(source_id), rows.get(source_id)
        kind = entry.kind if entry else row.kind if row else ""
        state = row.state if row else UNREPORTED
        states.setdefault(kind, Counter())[state] += 1
        asked = is_expected(entry, state)
        expected[kind] += asked
        unheard[kind] += asked and state == UNREPORTED
    cameras, sensors = (
        _kind_summary(kind, states[kind], expected[kind], unheard[kind])
        for kind in (SourceKind.CAMERA, SourceKind.SENSOR)
    )
    return SourceSummary(cameras, sensors)


def _kind_summary(kind: str, states: Counter[str], expected: int, unheard: int) -> KindSummary:
    live = sum(count for state, count in states.items() if is_heard(kind, state))
    return KindSummary(
        kind=kind,
        total=states.total(),
        expected=expected,
        live=live,
        unseeing=sum(count for state, count in states.items() if is_unseeing(kind, state)),
        unheard=unheard,
        coverage=live / expected if expected else None,
        states=tuple(
            StateCount(coded(name_of(SOURCE_STATES, code), code), states[code])
            for code in SOURCE_STATES
            if states[code]
        ),
    )
