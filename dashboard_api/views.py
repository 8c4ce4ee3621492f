"""Views: records as JSON for people and programs. Times are RFC 3339 with +08:00, codes carry their names.

Every view is one struct; the OpenAPI document is generated from the same structs (see dashboard_api.openapi).
This module holds the parts that the views of several records share.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from contracts.incident import Level
from contracts.instant import Instant, to_rfc3339
from contracts.observation import EvidenceRef
from contracts.place import Place
from dashboard_api.directory import Directory
from dashboard_api.names import (
    Name,
    level_name,
)


class Coded(msgspec.Struct, frozen=True, gc=False):
    """A code with its name in both languages."""

    code: str
    zh: str
    en: str


class LevelView(msgspec.Struct, frozen=True, gc=False):
    """An internal alert level, 1 blue to 4 red. `label` holds the full words: 内部告警等级 is never left out."""

    value: int
    zh: str
    en: str
    label: Name


class PlaceView(msgspec.Struct, frozen=True, gc=False):
    """Where something is. `grid_path`: names from street to grid; `grid_code` null = 待定位."""

    lon: float
    lat: float
    name: str
    grid_code: str | None
    grid_path: tuple[str, ...]
    zone_id: str | None
    fire_zone: str | None


class EvidenceView(msgspec.Struct, frozen=True, gc=False):
    """A pixelated picture. `url` is relative to this server; each first view is entered in the register."""

    sha256: str
    url: str
    media_type: str
    width: int
    height: int
    event_time: str
    source_id: str


def optional_time(instant: Instant | None) -> str | None:
    """RFC 3339, or null."""
    return None if instant is None else to_rfc3339(instant)


def coded(table_name: Name, code: str) -> Coded:
    """A code with a name that was looked up."""
    return Coded(code, table_name.zh, table_name.en)


def level_view(level: Level) -> LevelView:
    """The level with the words that must stand with it."""
    name = level_name(level)
    label = Name(f"内部告警等级 {name.zh}", f"Internal alert level {name.en}")
    return LevelView(int(level), name.zh, name.en, label)


def place_view(place: Place, directory: Directory) -> PlaceView:
    """The place with the names of its grids."""
    return PlaceView(
        lon=place.lon,
        lat=place.lat,
        name=place.name,
        grid_code=place.grid_code,
        grid_path=directory.grid_path(place.grid_code),
        zone_id=place.zone_id,
        fire_zone=place.fire_zone,
    )


def evidence_views(owner: str, owner_id: str, evidence: Iterable[EvidenceRef]) -> tuple[EvidenceView, ...]:
    """Pictures under the address of the incident or ticket that refers to them (`owner`: its plural noun)."""
    return tuple(
        EvidenceView(
            sha256=ref.sha256,
            url=f"/api/v1/{owner}/{owner_id}/evidence/{ref.sha256}",
            media_type=ref.media_type,
            width=ref.width,
            height=ref.height,
            event_time=to_rfc3339(ref.event_time),
            source_id=ref.source_id,
        )
        for ref in evidence
    )
