"""Staged fires: the pictures of one quiet camera begin to burn at a random moment, one camera after another."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Final

import msgspec

from bench.load.progress import tell
from bench.seeing.books import Books, SuspectLines
from contracts.instant import SECOND
from contracts.observation import IncidentType

if TYPE_CHECKING:
    from bench.seeing.county import ListedCamera, RunningCounty
    from contracts.incident import Incident
    from contracts.ticket import Ticket

SUSPECTED_S_MAX: Final = 5.0
TICKETED_S_MAX: Final = 10.0
FIRE: Final = frozenset({IncidentType.FLAME_SUSPECTED, IncidentType.SMOKE_SUSPECTED, IncidentType.FIRE_CONFIRMED})
_GIVEN_UP_S: Final = 40.0
_POLL_S: Final = 0.05
_APART_S: Final = 3.0
"""Between the end of one fire and the next one, at least; up to twice as long, at random."""


class StagedFire(msgspec.Struct, frozen=True, kw_only=True):
    """One fire. Seconds from the moment at which it was staged (its first picture is the camera's next key
    picture, up to 2 s later) until the camera was suspected of a fire, and until a ticket of it was in the store;
    None: not within 40 s."""

    camera_id: str
    clip: str
    suspected_s: float | None
    ticketed_s: float | None


async def staged_fires(running: RunningCounty, count: int, random: Random) -> list[StagedFire]:
    """Stage so many fires one after another, each at another camera."""
    places = running.burning_places()
    chosen = random.sample(places, min(count, len(places)))
    books, lines = Books(running.stack.database), SuspectLines(running.stack.log_file)
    fires = []
    for number, each in enumerate(chosen, 1):
        await running.clock.asleep(_APART_S * (1 + random.random()))
        for _ in lines.new():
            pass
        fire = await _one(running, each, books, lines)
        said = f"起疑 suspected {fire.suspected_s} s, 工单 ticketed {fire.ticketed_s} s"
        tell(f"火情 (fire) {number}/{len(chosen)}: {said}")
        fires.append(fire)
    return fires


async def _one(running: RunningCounty, each: ListedCamera, books: Books, lines: SuspectLines) -> StagedFire:
    clock, camera = running.clock, each.camera.id
    await running.stage(each, wanted=True)
    began_ns = clock.monotonic_ns()
    suspected_s = ticketed_s = None
    while ticketed_s is None and (clock.monotonic_ns() - began_ns) / SECOND < _GIVEN_UP_S:
        suspects = set(lines.new())
        tickets = await asyncio.to_thread(tickets_of_fires, books, camera)
        elapsed_s = round((clock.monotonic_ns() - began_ns) / SECOND, 2)
        if suspected_s is None and ((camera, "fire") in suspects or tickets):
            suspected_s = elapsed_s
        ticketed_s = elapsed_s if tickets else None
        await clock.asleep(_POLL_S)
    await running.stage(each, wanted=False)
    return StagedFire(camera_id=camera, clip=each.clip.value, suspected_s=suspected_s, ticketed_s=ticketed_s)


def tickets_of_fires(books: Books, camera_id: str) -> list[Ticket]:
    """The tickets of fires that this camera saw."""
    tickets = books.tickets()
    if not tickets:
        return []
    fires = {each.id for each in books.incidents() if is_fire(each, camera_id)}
    return [each for each in tickets if each.incident_id in fires]


def is_fire(incident: Incident, camera_id: str) -> bool:
    """Whether this camera saw the incident, and it is a fire."""
    return incident.type in FIRE and camera_id in incident.source_ids
