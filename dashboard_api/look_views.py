"""Views of looks (看一眼): what a camera shows now, "blind" and "no answer" included; counts, never persons."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from contracts.instant import SECOND, to_rfc3339
from contracts.place import Place, distance_m
from contracts.source import SourceKind
from dashboard_api.directory import Directory, SourceEntry
from dashboard_api.incident_views import SourceRef, source_ref
from dashboard_api.look_desk import Look, Looked
from dashboard_api.names import (
    CLASSES,
    LOOK_OUTCOMES,
    LOOK_REASONS,
    SOURCE_STATES,
    UNREPORTED,
    name_of,
)
from dashboard_api.source_views import SourceRow
from dashboard_api.views import Coded, EvidenceView, coded, evidence_views, optional_time


class CountView(msgspec.Struct, frozen=True, gc=False):
    """How many of a class were found; `name`: the class. `confidence`: the highest among them, 0..1."""

    name: Coded
    count: int
    confidence: float | None


class CameraLookView(msgspec.Struct, frozen=True, kw_only=True):
    """What one camera answered.

    `reason`: why it was blind or gave no answer, else null. `age_s`: seconds from the picture to the question,
    negative when the picture is younger than it; null without a picture. `state`: of the camera, as reported.
    `evidence`: the picture, persons and vehicles pixelated; none of a blind one. `shared`: this answer was given
    to another asker of the same moment, too.
    """

    source: SourceRef
    outcome: Coded
    reason: Coded | None
    state: Coded
    counts: tuple[CountView, ...]
    event_time: str | None
    age_s: float | None
    evidence: tuple[EvidenceView, ...]
    shared: bool


class LookView(msgspec.Struct, frozen=True, kw_only=True):
    """A look with the answer of every camera asked; `left_out`: cameras near the place beyond the bound."""

    id: str
    asked_at: str
    kind: str
    cameras: tuple[CameraLookView, ...]
    left_out: int


def look_view(looked: Looked, rows: Mapping[str, SourceRow], directory: Directory) -> LookView:
    """The answers with the names of outcomes, reasons and sources."""
    return LookView(
        id=looked.id,
        asked_at=to_rfc3339(looked.asked_at),
        kind=looked.kind,
        cameras=tuple(_camera_view(looked, look, rows, directory) for look in looked.looks),
        left_out=looked.left_out,
    )


def _camera_view(
    looked: Looked, look: Look, rows: Mapping[str, SourceRow], directory: Directory
) -> CameraLookView:
    answer = look.answer
    sure = dict(answer.confidence)
    row = rows.get(answer.source_id)
    state = row.state if row is not None else UNREPORTED
    at = answer.event_time
    return CameraLookView(
        source=source_ref(answer.source_id, directory),
        outcome=coded(name_of(LOOK_OUTCOMES, answer.outcome), answer.outcome),
        reason=coded(name_of(LOOK_REASONS, answer.reason), answer.reason) if answer.reason else None,
        state=coded(name_of(SOURCE_STATES, state), state),
        counts=tuple(
            CountView(coded(name_of(CLASSES, name), name), count, round(sure[name], 2) if name in sure else None)
            for name, count in answer.counts
        ),
        event_time=optional_time(at),
        age_s=None if at is None else round((looked.asked_at - at) / SECOND, 3),
        evidence=evidence_views("looks", looked.id, answer.evidence),
        shared=look.shared,
    )


def cameras_near(directory: Directory, place: Place, radius_m: float) -> list[SourceEntry]:
    """Cameras within a radius, nearest first; those that may not be shown are not among them."""
    found = [
        (distance_m(Place(lon=entry.lon, lat=entry.lat), place), entry.id, entry) for entry in _cameras(directory)
    ]
    return [entry for apart_m, _, entry in sorted(found, key=lambda each: each[:2]) if apart_m <= radius_m]


def cameras_in(directory: Directory, grid_prefix: str) -> list[SourceEntry]:
    """Cameras of a grid's subtree, by id."""
    return sorted(
        (entry for entry in _cameras(directory) if (entry.grid_code or "").startswith(grid_prefix)),
        key=lambda entry: entry.id,
    )


def _cameras(directory: Directory) -> list[SourceEntry]:
    return [entry for entry in directory.sources.values() if entry.kind is SourceKind.CAMERA]
