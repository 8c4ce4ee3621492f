"""Rematch: the incidents of re-analysed footage beside those that the county believed at the time.

Re-analysed footage opens no ticket: what it finds is matched to live incidents by type, zone and overlap in time
(rule 6 of the design). One that matches none is news for a person, who may ask for a ticket. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import select

from alerts.core.engine import Engine
from alerts.replay import Outcome, Record, drive
from alerts.store import tables
from alerts.store.database import Reader
from contracts import wire
from contracts.incident import Incident
from contracts.instant import SECOND, to_rfc3339
from contracts.policy import Policy

SLACK_NS: Final = SECOND
"""Times of both may differ by so much, though they saw the same pictures: live ones are anchored to arrival."""


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """An incident of the footage, and the live one that it is; None: nobody saw it at the time.

    `apart_s`: how much later (negative: earlier) the footage shows its beginning.
    """

    found: Incident
    live: Incident | None = None
    apart_s: float | None = None

    def text(self) -> str:
        """For people."""
        what = f"{to_rfc3339(self.found.first_event_time)}  {self.found.code} {self.found.title}"
        if self.live is None:
            return f"{what}  当时无此告警 (no live incident)"
        ticket = f", 工单 {self.live.ticket_id}" if self.live.ticket_id is not None else ""
        return f"{what}  即 {self.live.id} ({self.apart_s:+.1f} s){ticket}"


def believed(records: Iterable[Record], site: str, county: str, policy: Policy) -> list[Incident]:
    """The incidents that these records come to if nobody acts, oldest first; those of operations are left out."""
    outcome = Outcome()
    for effects in drive(Engine(site, county, policy), records):
        outcome.take(effects)
    incidents = [each for each in outcome.incidents.values() if not each.operations]
    return sorted(incidents, key=lambda each: (each.first_event_time, each.id))


def live_incidents(file: Path, like: Sequence[Incident]) -> list[Incident]:
    """The stored incidents of the same types. Raises StoreError."""
    types = sorted({each.type.value for each in like})
    if not types:
        return []
    reader = Reader(file)
    try:
        with reader.read() as connection:
            query = select(tables.incidents.c.body).where(tables.incidents.c.type.in_(types))
            return [wire.decode(body, Incident) for body in connection.execute(query).scalars()]
    finally:
        reader.close()


def match(found: Iterable[Incident], live: Sequence[Incident], *, slack_ns: int = SLACK_NS) -> list[Match]:
    """For each incident of the footage the live one of its type and zone that it overlaps, nearest in beginning.

    Where neither has a zone, a camera that both have stands for it.
    """
    matches = []
    for each in found:
        candidates = [other for other in live if _same(each, other, slack_ns)]
        if not candidates:
            matches.append(Match(found=each))
            continue
        nearest = min(candidates, key=lambda o: (abs(o.first_event_time - each.first_event_time), o.id))
        apart_s = (each.first_event_time - nearest.first_event_time) / SECOND
        matches.append(Match(found=each, live=nearest, apart_s=apart_s))
    return matches


def _same(one: Incident, other: Incident, slack_ns: int) -> bool:
    if one.type is not other.type or one.place.zone_id != other.place.zone_id:
        return False
    if one.place.zone_id is None and not set(one.source_ids) & set(other.source_ids):
        return False
    return (
        one.first_event_time <= other.last_event_time + slack_ns
        and other.first_event_time <= one.last_event_time + slack_ns
    )
