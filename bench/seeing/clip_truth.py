"""What happens in the clips of the data folder (clips.json), and what of it was found. Pure.

A clip's events are by eye. For each incident type that we sense an event is to be found, may be found (neither
right nor wrong), or must not be: everything outside those is a false alarm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from contracts.observation import IncidentType

EXPECTED: Final[Mapping[str, IncidentType]] = {
    "fire": IncidentType.FLAME_SUSPECTED,
    "smoke": IncidentType.SMOKE_SUSPECTED,
    "medium_crowd_steady": IncidentType.CROWD_DENSITY,
    "stopped_vehicle": IncidentType.STOPPED_VEHICLE,
    "congestion": IncidentType.CONGESTION,
}
"""What is to be found while such an event goes on."""
ALLOWED: Final[Mapping[str, frozenset[IncidentType]]] = {
    # Every fire smokes, whether the clip's list says so or not.
    "fire": frozenset({IncidentType.SMOKE_SUSPECTED, IncidentType.FIRE_CONFIRMED}),
    "smoke": frozenset({IncidentType.FIRE_CONFIRMED}),
    "dense_flow": frozenset({IncidentType.CONGESTION}),
    "accident": frozenset({IncidentType.STOPPED_VEHICLE, IncidentType.CONGESTION}),
    # Vehicles of a jam stand.
    "congestion": frozenset({IncidentType.STOPPED_VEHICLE}),
    "stopped_vehicle": frozenset({IncidentType.CONGESTION}),
}
"""What may be found besides."""
JUDGED: Final = (
    IncidentType.FLAME_SUSPECTED,
    IncidentType.SMOKE_SUSPECTED,
    IncidentType.CROWD_DENSITY,
    IncidentType.STOPPED_VEHICLE,
    IncidentType.CONGESTION,
)
SLACK_S: Final = 1.0
"""Times by eye are so exact."""
SHORTEST_S: Final[Mapping[IncidentType, float]] = {
    IncidentType.FLAME_SUSPECTED: 3.0,
    IncidentType.SMOKE_SUSPECTED: 3.0,
}
"""Events shorter than this may be found, but need not."""


class Event(msgspec.Struct, frozen=True):
    """Something that happens in a clip, seconds from its beginning."""

    type: str
    start: float
    end: float


class ClipTruth(msgspec.Struct, frozen=True):
    """A clip of clips.json; `file` is relative to the data folder."""

    file: str
    category: str
    seconds: float
    events: tuple[Event, ...]
    description: str = ""

    def spans(self, type_: IncidentType) -> list[Event]:
        """Events of which an incident of this type is to be found."""
        least_s = SHORTEST_S.get(type_, 0.0)
        return [e for e in self.events if EXPECTED.get(e.type) is type_ and e.end - e.start >= least_s]

    def allowed(self, type_: IncidentType) -> list[Event]:
        """Events during which an incident of this type is no false alarm."""
        return [e for e in self.events if EXPECTED.get(e.type) is type_ or type_ in ALLOWED.get(e.type, ())]


@dataclass(frozen=True, slots=True)
class Found:
    """An incident that the engine came to, seconds from the clip's beginning."""

    type: IncidentType
    first_s: float
    last_s: float
    zone_id: str | None = None


class Score(msgspec.Struct, kw_only=True):
    """One type over all clips. `events` were to be found, `hits` of them were; `right` and `wrong` incidents;
    `free_h`: hours of footage in which none of it may be found."""

    events: int = 0
    hits: int = 0
    right: int = 0
    wrong: int = 0
    free_h: float = 0.0

    @property
    def precision(self) -> float | None:
        """Share of the incidents that were right; None without any."""
        told = self.right + self.wrong
        return round(self.right / told, 3) if told else None

    @property
    def recall(self) -> float | None:
        """Share of the events that were found; None without any."""
        return round(self.hits / self.events, 3) if self.events else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A clip judged for one type."""

    type: IncidentType
    hits: tuple[Event, ...]
    missed: tuple[Event, ...]
    right: tuple[Found, ...]
    wrong: tuple[Found, ...]
    free_s: float


def read_clips(data: Path) -> list[ClipTruth]:
    """The clips of the data folder. Raises OSError."""
    return msgspec.json.decode((data / "clips.json").read_bytes(), type=list[ClipTruth])


def judge(clip: ClipTruth, found: Iterable[Found], type_: IncidentType) -> Verdict:
    """An event is found when an incident of its type overlaps it; an incident that begins outside everything that
    it may belong to is wrong, and one that is only allowed counts for neither."""
    incidents = [each for each in found if each.type is type_]
    wanted, allowed = clip.spans(type_), clip.allowed(type_)
    hits = [event for event in wanted if any(_overlap(event, each) for each in incidents)]
    wrong = [each for each in incidents if not any(_begins_in(event, each) for event in allowed)]
    right = [each for each in incidents if any(_begins_in(event, each) for event in wanted)]
    return Verdict(
        type_,
        tuple(hits),
        tuple(event for event in wanted if event not in hits),
        tuple(right),
        tuple(wrong),
        clip.seconds - _covered_s(allowed),
    )


def add(score: Score, verdict: Verdict) -> None:
    """Count a clip."""
    score.events += len(verdict.hits) + len(verdict.missed)
    score.hits += len(verdict.hits)
    score.right += len(verdict.right)
    score.wrong += len(verdict.wrong)
    score.free_h += verdict.free_s / 3600


def _overlap(event: Event, each: Found) -> bool:
    return each.first_s <= event.end + SLACK_S and each.last_s >= event.start - SLACK_S


def _begins_in(event: Event, each: Found) -> bool:
    return event.start - SLACK_S <= each.first_s <= event.end + SLACK_S


def _covered_s(events: Sequence[Event]) -> float:
    """Seconds that the events cover together."""
    covered_s = reached_s = 0.0
    for event in sorted(events, key=lambda each: each.start):
        covered_s += max(0.0, event.end - max(event.start, reached_s))
        reached_s = max(reached_s, event.end)
    return covered_s
