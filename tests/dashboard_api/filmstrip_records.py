"""A filmstrip of a made-up camera: past from memory, a part that is missing, then live pictures."""

from __future__ import annotations

from pathlib import Path
from random import Random

from contracts.filmstrip import (
    Filmstrip,
    FilmstripGap,
    FilmstripOrigin,
    FilmstripPicture,
    FilmstripState,
    filmstrip_id,
)
from contracts.incident import Incident
from contracts.instant import SECOND, Instant
from tests.dashboard_api.county_records import draw_evidence


def make_filmstrip(
    incident: Incident, folder: Path, *, source_id: str = "cam", complete: bool = True
) -> Filmstrip:
    """30 s before to 30 s after; pictures every 3 s, none from -21 to -9 s; without `complete` the past alone."""
    at = incident.first_event_time
    offsets = [each for each in range(-30, 31 if complete else 1, 3) if not -21 < each < -9]
    random = Random(7)
    pictures = tuple(
        FilmstripPicture(
            evidence=draw_evidence(folder, random, Instant(at + offset * SECOND), source_id),
            origin=FilmstripOrigin.RING if offset <= 0 else FilmstripOrigin.LIVE,
        )
        for offset in offsets
    )
    gap = FilmstripGap(begin=Instant(at - 21 * SECOND), end=Instant(at - 9 * SECOND), reason="no_recording")
    return Filmstrip(
        id=filmstrip_id(incident.id, source_id),
        site=incident.site,
        incident_id=incident.id,
        source_id=source_id,
        begin=Instant(at - 30 * SECOND),
        at=at,
        end=Instant(at + 30 * SECOND),
        state=FilmstripState.COMPLETE if complete else FilmstripState.GATHERING,
        pictures=pictures,
        gaps=(gap,),
    )
