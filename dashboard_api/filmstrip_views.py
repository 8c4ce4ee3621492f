"""Views of filmstrips (胶片): pictures from before to after the moment of an incident, and what is missing."""

from __future__ import annotations

import sqlite3

import msgspec

from contracts import wire
from contracts.filmstrip import Filmstrip
from contracts.incident import Incident
from contracts.instant import SECOND, to_rfc3339
from contracts.observation import EvidenceRef
from dashboard_api.directory import Directory
from dashboard_api.incident_views import SourceRef, source_ref
from dashboard_api.names import FILMSTRIP_ORIGINS, FILMSTRIP_STATES, REASONS, name_of
from dashboard_api.views import Coded, EvidenceView, coded, evidence_views


class FilmstripPictureView(msgspec.Struct, frozen=True, gc=False):
    """One picture. `offset_s`: seconds after the moment of the incident, negative before it."""

    offset_s: float
    origin: Coded
    evidence: EvidenceView


class FilmstripGapView(msgspec.Struct, frozen=True, gc=False):
    """A time of which nothing is shown (缺失), and why; `begin_s`, `end_s`: seconds after the moment."""

    begin_s: float
    end_s: float
    reason: Coded


class FilmstripView(msgspec.Struct, frozen=True, kw_only=True):
    """One camera's strip. `at` is the moment of the incident; `begin_s` and `end_s` count from it."""

    id: str
    incident_id: str
    seq: int
    source: SourceRef
    state: Coded
    at: str
    begin_s: float
    end_s: float
    pictures: tuple[FilmstripPictureView, ...]
    gaps: tuple[FilmstripGapView, ...]


class FilmstripList(msgspec.Struct, frozen=True):
    """The strips of an incident, by camera; none where no camera sees its place."""

    items: tuple[FilmstripView, ...]


def filmstrip_view(strip: Filmstrip, seq: int, directory: Directory) -> FilmstripView:
    """A strip with the names of its source, origins and reasons."""

    def after_s(at: int) -> float:
        return round((at - strip.at) / SECOND, 3)

    evidence = evidence_views("incidents", strip.incident_id, (each.evidence for each in strip.pictures))
    return FilmstripView(
        id=strip.id,
        incident_id=strip.incident_id,
        seq=seq,
        source=source_ref(strip.source_id, directory),
        state=coded(name_of(FILMSTRIP_STATES, strip.state), strip.state),
        at=to_rfc3339(strip.at),
        begin_s=after_s(strip.begin),
        end_s=after_s(strip.end),
        pictures=tuple(
            FilmstripPictureView(
                after_s(each.evidence.event_time),
                coded(name_of(FILMSTRIP_ORIGINS, each.origin), each.origin),
                shown,
            )
            for each, shown in zip(strip.pictures, evidence, strict=True)
        ),
        gaps=tuple(
            FilmstripGapView(after_s(gap.begin), after_s(gap.end), coded(name_of(REASONS, gap.reason), gap.reason))
            for gap in strip.gaps
        ),
    )


def read_filmstrips(connection: sqlite3.Connection, incident: Incident) -> list[tuple[Filmstrip, int]]:
    """The strips of an incident and of those that were merged into it, with their sequences."""
    ids = (incident.id, *incident.aliases)
    marks = ",".join("?" * len(ids))
    sql = f"SELECT body, seq FROM filmstrips WHERE incident_id IN ({marks}) ORDER BY source_id, id"
    rows = connection.execute(sql, ids)
    return [(wire.decode(row[0], Filmstrip), row[1]) for row in rows]


def filmstrip_evidence(connection: sqlite3.Connection, incident: Incident) -> list[EvidenceRef]:
    """Every picture of an incident's strips."""
    return [each.evidence for strip, _ in read_filmstrips(connection, incident) for each in strip.pictures]
