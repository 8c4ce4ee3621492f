"""Index: finds the incidents that an observation may belong to without looking at the others.

Three ways lead to an incident: its sources, its zones by name, and a grid of square cells on the ground. The
index is derived from the incidents; the order in which they were added does not change what it finds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TypeVar

from alerts.core.state import LiveIncident
from contracts.place import METRES_PER_DEGREE, Place

Cell = tuple[int, int]
K = TypeVar("K")


class Index:
    """Incidents by name and by cell. `reach_m`: no join reaches further, so nine cells hold every candidate."""

    def __init__(self, reach_m: float) -> None:
        self._cell_deg = max(reach_m, 1.0) / METRES_PER_DEGREE
        self._names: dict[str, list[str]] = {}
        self._cells: dict[tuple[str, Cell], list[str]] = {}

    def add(self, live: LiveIncident) -> None:
        """Make an incident findable by its place and by every name that it has."""
        cell = self._cell(live.place)
        if cell is not None and not live.operations and not live.is_full:
            self._cells.setdefault((kin(live.family, live.exercise), cell), []).append(live.id)
        self.learn(live)

    def learn(self, live: LiveIncident) -> None:
        """Make an incident findable by names that it has learned since."""
        names = [*_source_names(live)] if live.is_full else [*_source_names(live), *_place_names(live)]
        for name in names:
            ids = self._names.setdefault(name, [])
            if live.id not in ids:
                ids.append(live.id)

    def remove(self, live: LiveIncident) -> None:
        """Forget an incident."""
        for name in _source_names(live):
            _drop(self._names, name, live.id)
        self.close(live)

    def close(self, live: LiveIncident) -> None:
        """A full incident is found by its own sources only, so that a storm in one place stays cheap."""
        for name in _place_names(live):
            _drop(self._names, name, live.id)
        cell = self._cell(live.place)
        if cell is not None:
            _drop(self._cells, (kin(live.family, live.exercise), cell), live.id)

    def named(self, name: str) -> Iterable[str]:
        """Ids of the incidents known under a name of `source_name`, `zone_name` or `fire_zone_name`."""
        return self._names.get(name, ())

    def near(self, family: str, exercise: bool, place: Place) -> Iterator[str]:
        """Ids of the incidents in the nine cells around a place; each once, some further away than the reach."""
        centre = self._cell(place)
        if centre is None:
            return
        key = kin(family, exercise)
        for row in range(centre[0] - 1, centre[0] + 2):
            column = self._column(row, place.lon)
            for step in (-1, 0, 1):
                yield from self._cells.get((key, (row, column + step)), ())

    def _cell(self, place: Place) -> Cell | None:
        if not (math.isfinite(place.lon) and math.isfinite(place.lat)):
            return None
        row = math.floor(place.lat / self._cell_deg)
        return row, self._column(row, place.lon)

    def _column(self, row: int, lon: float) -> int:
        """Cells are as wide as they are high in the middle of their row."""
        width = math.cos(math.radians(max(-89.0, min(89.0, (row + 0.5) * self._cell_deg))))
        return math.floor(lon * width / self._cell_deg)


def kin(family: str, exercise: bool) -> str:
    """The prefix that keeps families apart, and exercises (演练) apart from real happenings."""
    return f"{family}!" if exercise else family


def source_name(family: str, exercise: bool, source_id: str) -> str:
    """How an incident is found by a source."""
    return f"{kin(family, exercise)}|source|{source_id}"


def zone_name(family: str, exercise: bool, zone_id: str) -> str:
    """How an incident is found by a zone."""
    return f"{kin(family, exercise)}|zone|{zone_id}"


def fire_zone_name(family: str, exercise: bool, fire_zone: str) -> str:
    """How an incident is found by a fire zone."""
    return f"{kin(family, exercise)}|fire_zone|{fire_zone}"


def _source_names(live: LiveIncident) -> Iterator[str]:
    for source_id in live.source_ids:
        yield source_name(live.family, live.exercise, source_id)


def _place_names(live: LiveIncident) -> Iterator[str]:
    """Names of its zones; device faults are found by their source alone."""
    if live.operations:
        return
    for zone_id in live.zone_ids:
        yield zone_name(live.family, live.exercise, zone_id)
    for fire_zone in live.fire_zones:
        yield fire_zone_name(live.family, live.exercise, fire_zone)


def _drop(table: dict[K, list[str]], key: K, id_: str) -> None:
    ids = table.get(key)
    if ids is not None and id_ in ids:
        ids.remove(id_)
        if not ids:
            del table[key]
