"""Filmstrip (胶片): what a camera showed from before to after the moment of an incident, and what it did not.

Alerts asks inference for it when an incident comes onto the wall (`FilmstripRequest`, `FilmstripAnswer`: control);
inference tells what it has by `Filmstrip` records on the log link, a first one as soon as the past is gathered and
a last one when the time after is over; alerts commits each and shows the newest. Every picture is evidence:
whole persons and vehicles pixelated. What is not shown is named, with the reason, and never filled.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from contracts.ids import derive_id
from contracts.instant import Instant
from contracts.observation import EvidenceRef

PICTURES_MAX: Final = 64
"""Pictures of one strip."""


class FilmstripState(enum.StrEnum):
    """How far a filmstrip is."""

    WANTED = "wanted"
    """Written down by alerts with the incident; inference has said nothing yet."""
    GATHERING = "gathering"
    """The past is in, the time after the moment is not over."""
    COMPLETE = "complete"
    """Nothing more will come; what is not there is missing."""


class FilmstripOrigin(enum.StrEnum):
    """Where a picture of a filmstrip came from."""

    RING = "ring"
    """Memory of ingest (a suspect, or a camera with `keep_ring`)."""
    RECORDING = "recording"
    """Played back by the platform or recorder (`Range: clock=`)."""
    LIVE = "live"
    """Looked at as it came."""


class FilmstripPicture(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One picture; when it was taken is its `evidence.event_time`."""

    evidence: EvidenceRef
    origin: FilmstripOrigin


class FilmstripGap(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """No picture is shown of this time. `reason`: a stable code.

    `no_recording`, `recording_empty`, `recording_cut`, `recording_slow`, `recording_untimed`,
    `recording_elsewhere`, `no_session`, `unknown_source` and codes of errors as ingest gives them; `no_link`
    (ingest or inference did not answer); `no_picture` (none came); `dark`, `covered`, `undecodable` (nobody could
    be seen and hidden in it, so it is not shown); `evidence_full`; `busy` (too many filmstrips at once);
    `unanswered`.
    """

    begin: Instant
    end: Instant
    reason: str


class Filmstrip(msgspec.Struct, frozen=True, kw_only=True, tag="filmstrip", tag_field="record"):
    """One camera's strip for one incident; `begin` <= `at` <= `end`, `at` the moment of the incident.

    `pictures` oldest first; `gaps` in order, without overlap. `id` by `filmstrip_id`.
    """

    id: str
    site: str
    incident_id: str
    source_id: str
    begin: Instant
    at: Instant
    end: Instant
    state: FilmstripState
    pictures: tuple[FilmstripPicture, ...] = ()
    gaps: tuple[FilmstripGap, ...] = ()
    exercise: bool = False
    schema: int = 1

    def __post_init__(self) -> None:
        if not self.begin <= self.at <= self.end or len(self.pictures) > PICTURES_MAX:
            raise ValueError(f"a filmstrip spans begin <= at <= end and has at most {PICTURES_MAX} pictures")


def filmstrip_id(incident_id: str, source_id: str) -> str:
    """One strip per incident and camera, however often it is asked for."""
    return derive_id("strip", incident_id, source_id)
