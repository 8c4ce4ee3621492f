"""Storm: many sessions of one ingest process that ended within seconds, and what became of the cameras."""

from __future__ import annotations

import msgspec

from contracts.instant import Instant

Places = tuple[tuple[str, int], ...]
"""Cameras by platform or host, the largest few first; the others together under `*`."""


class StormReport(msgspec.Struct, frozen=True, kw_only=True, tag="storm", tag_field="record"):
    """A storm as it stands at `at`; told again while it changes, and about every 15 s while it does not.

    `cameras` were lost since `began_at`, `away` of them are not back (`places_away`: where). `reasons`: why the
    sessions ended, as codes. `ended_at`: all are back, or nothing changed for a minute; None = it goes on. A storm
    whose process fell silent or began anew is over, too, whatever became of it.
    """

    id: str
    site: str
    instance: str
    began_at: Instant
    at: Instant
    cameras: int
    away: int
    places: Places
    places_away: Places
    reasons: Places
    ended_at: Instant | None = None
    schema: int = 1
