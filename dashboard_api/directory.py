"""The directory: what ids in records stand for (sources, zones, grids, rules), built from alerts' snapshots."""

from __future__ import annotations

from typing import Final

import msgspec

from contracts.grid import GridTree
from contracts.permission import withheld
from contracts.policy import Policy, TypeRule
from contracts.source import Catalogue, SourceKind
from dashboard_api.names import TYPES, Name, name_of


class SourceEntry(msgspec.Struct, frozen=True, gc=False):
    """What the catalogue says of one source. `expected`: the site asked for it to be watched.

    `calibrated`: at least one zone of the camera has a measured area, `key_interval_s`: time between its key
    pictures; both None for sensors.
    """

    id: str
    name: str
    kind: SourceKind
    grid_code: str | None
    place_name: str
    lon: float
    lat: float
    owner: str
    expected: bool
    exercise: bool
    calibrated: bool | None
    key_interval_s: float | None = None


class Directory:
    """Immutable look-ups. Everything unknown is answered with the bare id, never with an error."""

    def __init__(self, catalogue: Catalogue | None, grids: GridTree | None, policy: Policy | None) -> None:
        self.catalogue_version = catalogue.version if catalogue else None
        self.grids_version = grids.version if grids else None
        self.policy_version = policy.version if policy else None
        self.catalogue: Final = catalogue
        self.withheld: Final = (
            frozenset(camera.id for camera in catalogue.cameras if withheld(camera)) if catalogue else frozenset()
        )
        """Cameras that are never shown: Secrecy=1, forbidden places. Only their number may be told."""
        self.sources: Final = _sources(catalogue)
        self._zone_kinds = (
            {zone.id: zone.kind for camera in catalogue.cameras for zone in camera.zones} if catalogue else {}
        )
        self._grids = {grid.code: grid for grid in grids.grids} if grids else {}
        self._rules: dict[str, list[TypeRule]] = {}
        for rule in policy.rules if policy else ():
            self._rules.setdefault(rule.type, []).append(rule)
        firsts = (rules[0] for rules in self._rules.values())
        self._codes = {rule.code: Name(rule.name_zh, rule.name_en) for rule in firsts}

    def source_name(self, source_id: str) -> str:
        """The source's name, or its id."""
        entry = self.sources.get(source_id)
        return entry.name if entry else source_id

    def type_name(self, type_: str) -> Name:
        """The policy's words for an incident type, else ours."""
        rules = self._rules.get(type_)
        return Name(rules[0].name_zh, rules[0].name_en) if rules else name_of(TYPES, type_)

    def code_name(self, code: str, type_: str) -> Name:
        """The policy's words for a code of the taxonomy; those of the type where the policy does not hold it."""
        return self._codes.get(code) or self.type_name(type_)

    def rule(self, type_: str, zone_id: str | None) -> TypeRule | None:
        """The rule for a type in a zone: one that names the zone's kind before one that holds everywhere."""
        kind = self._zone_kinds.get(zone_id or "")
        everywhere: TypeRule | None = None
        for rule in self._rules.get(type_, ()):
            if kind is not None and kind in rule.zone_kinds:
                return rule
            if not rule.zone_kinds:
                everywhere = everywhere or rule
        return everywhere

    def grid_path(self, code: str | None) -> tuple[str, ...]:
        """Names from the street down to the grid (the county is left out); () when unknown."""
        names: list[str] = []
        seen: set[str] = set()
        grid = self._grids.get(code or "")
        while grid is not None and grid.parent is not None and grid.code not in seen:
            seen.add(grid.code)
            names.append(grid.name)
            grid = self._grids.get(grid.parent)
        return tuple(reversed(names))


def _sources(catalogue: Catalogue | None) -> dict[str, SourceEntry]:
    if catalogue is None:
        return {}
    entries: dict[str, SourceEntry] = {}
    for camera in catalogue.cameras:
        if withheld(camera):
            continue
        entries[camera.id] = SourceEntry(
            id=camera.id,
            name=camera.name,
            kind=SourceKind.CAMERA,
            grid_code=camera.place.grid_code,
            place_name=camera.place.name,
            lon=camera.place.lon,
            lat=camera.place.lat,
            owner=camera.owner,
            expected=camera.live,
            exercise=camera.exercise,
            calibrated=any(zone.area_m2 is not None for zone in camera.zones),
            key_interval_s=camera.key_interval_s,
        )
    for sensor in catalogue.sensors:
        entries[sensor.id] = SourceEntry(
            id=sensor.id,
            name=sensor.name,
            kind=SourceKind.SENSOR,
            grid_code=sensor.place.grid_code,
            place_name=sensor.place.name,
            lon=sensor.place.lon,
            lat=sensor.place.lat,
            owner=sensor.owner,
            expected=True,
            exercise=sensor.exercise,
            calibrated=None,
        )
    return entries


EMPTY: Final = Directory(None, None, None)
"""Before the first snapshot: ids stand for themselves."""
