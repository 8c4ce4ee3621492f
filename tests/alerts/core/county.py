"""A small language for scenarios: a county at a time, in which cameras see, sensors alarm and people judge.

    county = County()
    county.at(0).detector("S-1").alarms()
    county.at(60)
    county.incident().state is CONFIRMED

Time moves through every moment at which the engine wants to be called. After each step checkers look at what
must always hold, whatever the scenario.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import msgspec

from alerts.core.batch import Batch
from alerts.core.effects import (
    Answered,
    Effect,
    IncidentChanged,
    MuteChanged,
    Refused,
    SourceChanged,
    TicketChanged,
)
from alerts.core.engine import Engine
from alerts.core.limits import SEEN_NS
from alerts.core.policy import parse
from alerts.tickets import chain
from contracts.command import Command, CommandAnswer, CommandKind, MuteMatcher
from contracts.ids import derive_id
from contracts.incident import Incident, Reason
from contracts.instant import SECOND, Instant
from contracts.observation import IncidentType, Observation, Phase, observation_id
from contracts.place import Place
from contracts.policy import Mute, Policy
from contracts.principal import Principal, Role
from contracts.source import SEEING, SourceChange, SourceKind, SourceState
from contracts.ticket import Ticket, TicketEvent

SITE = "bayan"
COUNTY = "152921"
T0 = Instant(1_790_000_000 * SECOND)
DEFAULT = Path(__file__).resolve().parents[3] / "alerts" / "policy" / "default.toml"
SQUARE = Place(105.7, 38.8, "152921001001001", "square", None, "中心广场")
HALL = Place(105.72, 38.82, "152921001001002", None, "FZ-1", "商场")


def default_policy() -> Policy:
    with DEFAULT.open("rb") as file:
        return parse(tomllib.load(file))


POLICY = default_policy()


def instant(at_s: float) -> Instant:
    return Instant(T0 + round(at_s * SECOND))


def moved(place: Place, east_m: float = 0.0, **changes: object) -> Place:
    """A place `east_m` metres further east (at 38.8 degrees north)."""
    lon = place.lon + east_m / (111_320 * 0.7793)
    return msgspec.structs.replace(place, lon=lon, **changes)


def observe(
    source_id: str,
    type_: IncidentType,
    at: Instant,
    *,
    phase: Phase = Phase.ACTIVE,
    kind: SourceKind = SourceKind.SENSOR,
    place: Place = HALL,
    external_id: str | None = None,
    value: float | None = None,
    count: int | None = None,
    density: float | None = None,
    detail: tuple[tuple[str, str], ...] = (),
    confidence: float = 0.9,
    arrival: Instant | None = None,
    exercise: bool = False,
    site: str = SITE,
    zone_version: int = 0,
) -> Observation:
    return Observation(
        id=observation_id(site, type_, phase, source_id, place.zone_id, at, external_id),
        site=site,
        type=type_,
        phase=phase,
        source_id=source_id,
        source_kind=kind,
        event_time=at,
        arrival_time=at if arrival is None else arrival,
        place=place,
        confidence=confidence,
        value=value,
        count=count,
        density=density,
        external_id=external_id,
        detail=detail,
        exercise=exercise,
        zone_version=zone_version,
    )


def crowd(
    source_id: str,
    at: Instant,
    density: float | None,
    *,
    people: int = 60,
    place: Place = SQUARE,
    zone_kind: str = "standing",
    area_m2: float = 100.0,
    phase: Phase = Phase.SAMPLE,
    exercise: bool = False,
) -> Observation:
    return observe(
        source_id,
        IncidentType.CROWD_DENSITY,
        at,
        phase=phase,
        kind=SourceKind.CAMERA,
        place=place,
        count=people,
        density=density,
        detail=(("zone_kind", zone_kind), ("area_m2", f"{area_m2:g}")),
        exercise=exercise,
    )


OPERATOR = Principal(id="op-1", name="值班员一", role=Role.OPERATOR)
LEAD = Principal(id="lead-1", name="值班长一", role=Role.SHIFT_LEAD)
OTHER_LEAD = Principal(id="lead-2", name="值班长二", role=Role.SHIFT_LEAD)
WORKER = Principal(id="grid-1", name="网格员一", role=Role.GRID_WORKER)


class Voice:
    """A source, or a person, speaking at the county's present moment."""

    def __init__(self, county: County, who: str | Principal, place: Place) -> None:
        self._county, self._who, self._place = county, who, place

    # -- cameras and sensors -----------------------------------------------------------------------------------

    def sees_crowd(self, density: float | None, **more: object) -> None:
        county = self._county
        county.step(crowd(str(self._who), county.now, density, place=self._place, **more))  # type: ignore[arg-type]

    def says(self, type_: IncidentType, phase: Phase = Phase.ACTIVE, **more: object) -> None:
        county = self._county
        more.setdefault("place", self._place)
        more.setdefault("kind", SourceKind.CAMERA)
        county.step(observe(str(self._who), type_, county.now, phase=phase, **more))  # type: ignore[arg-type]

    def alarms(self, external_id: str | None = None, type_: IncidentType = IncidentType.SMOKE_SENSOR) -> None:
        self.says(type_, kind=SourceKind.SENSOR, external_id=external_id)

    def resets(self, type_: IncidentType = IncidentType.SMOKE_SENSOR) -> None:
        self.says(type_, Phase.CLEAR, kind=SourceKind.SENSOR)

    def sees_again(self) -> None:
        self.goes(SourceState.LIVE, reason=SEEING)

    def goes(
        self, state: SourceState, kind: SourceKind = SourceKind.CAMERA, *, reason: str = "", at_s: float = 0.0
    ) -> None:
        """The source's state changed `at_s` seconds from now, as whoever tells it believes."""
        county = self._county
        at = Instant(county.now + round(at_s * SECOND))
        change = SourceChange(
            id=derive_id("chg", str(self._who), state, reason, at),
            site=SITE,
            source_id=str(self._who),
            kind=kind,
            state=state,
            at=at,
            reason=reason,
            place=self._place,
        )
        county.take(Batch(source_changes=(change,)))

    # -- people ------------------------------------------------------------------------------------------------

    def asks(self, kind: CommandKind, target: str = "", **more: object) -> CommandAnswer:
        assert isinstance(self._who, Principal)
        county = self._county
        county.asked += 1
        more.setdefault("id", f"cmd-{county.asked}")
        command = Command(
            site=SITE,
            kind=kind,
            principal=self._who,
            at=county.now,
            target_id=target,
            **more,  # type: ignore[arg-type]
        )
        county.take(Batch(commands=(command,)))
        return county.answers[-1]

    def moves(self, ticket: Ticket, code: str, *, reason: str = "", note: str = "") -> CommandAnswer:
        return self.asks(CommandKind.TICKET_MOVE, ticket.id, argument=code, reason=reason, note=note)

    def mutes(self, until_s: float, reason: str = "检修", **matcher: str) -> CommandAnswer:
        return self.asks(CommandKind.MUTE, matcher=MuteMatcher(**matcher), until=instant(until_s), reason=reason)


class County:
    """One engine, its time, and everything that it has said so far."""

    def __init__(self, policy: Policy = POLICY) -> None:
        self.policy = policy
        self.engine = Engine(SITE, COUNTY, policy)
        self.now = T0
        self.asked = 0
        self.incidents: dict[str, Incident] = {}
        self.tickets: dict[str, Ticket] = {}
        self.events: dict[str, list[TicketEvent]] = {}
        self.refused: list[Refused] = []
        self.answers: list[CommandAnswer] = []
        self.mutes: dict[str, Mute] = {}
        self.sources: list[SourceChange] = []

    # -- time and input ------------------------------------------------------------------------------------------

    def at(self, at_s: float) -> County:
        """Let time pass until `at_s` after the beginning, through every moment that the engine asked for."""
        target = instant(at_s)
        while (due := self.engine.next_due()) is not None and due < target:
            self.now = max(self.now, due)
            self.take(Batch())
        self.now = target
        self.take(Batch())
        return self

    def step(self, *observations: Observation) -> list[Effect]:
        return self.take(Batch(observations=observations))

    def take(self, batch: Batch) -> list[Effect]:
        effects = self.engine.step(batch, self.now)
        for effect in effects:
            self._keep(effect)
        check(self)
        return effects

    def _keep(self, effect: Effect) -> None:
        match effect:
            case IncidentChanged(incident):
                before = self.incidents.get(incident.id)
                assert incident.version == (before.version + 1 if before else 1)
                self.incidents[incident.id] = incident
            case TicketChanged(ticket, events, _):
                old = self.tickets.get(ticket.id)
                assert ticket.version == (old.version + 1 if old else 1)
                assert old is None or ticket.sla <= old.sla
                self.tickets[ticket.id] = ticket
                self.events.setdefault(ticket.id, []).extend(events)
            case Refused():
                self.refused.append(effect)
            case Answered(answer):
                self.answers.append(answer)
            case MuteChanged(mute, removed):
                self.mutes[mute.id] = mute
                if removed:
                    del self.mutes[mute.id]
            case SourceChanged(change):
                self.sources.append(change)

    # -- who is there ------------------------------------------------------------------------------------------

    def camera(self, source_id: str = "C-1", place: Place = SQUARE) -> Voice:
        return Voice(self, source_id, place)

    def detector(self, source_id: str = "S-1", place: Place = HALL) -> Voice:
        return Voice(self, source_id, place)

    def person(self, principal: Principal = OPERATOR) -> Voice:
        return Voice(self, principal, SQUARE)

    # -- what the wall shows -------------------------------------------------------------------------------------

    def incident(self) -> Incident:
        """The only incident."""
        [incident] = self.incidents.values()
        return incident

    def ticket(self) -> Ticket:
        """The only ticket."""
        [ticket] = self.tickets.values()
        return ticket

    def reasons(self) -> list[Reason]:
        """Why observations were refused, in order."""
        return [refusal.reason for refusal in self.refused]

    def transitions(self, ticket: Ticket | None = None) -> list[str]:
        return [event.transition for event in self.events[(ticket or self.ticket()).id]]


def check(county: County) -> None:
    """What holds after every step: evidence behind every incident, one ticket per key, whole chains, no mixing."""
    claimed: dict[str, list[Instant]] = {}
    for incident in county.incidents.values():
        assert incident.observation_ids, "an incident without evidence"
        assert incident.decisions, "an incident without a reason"
        assert all(decision.text for decision in incident.decisions)
        if not incident.operations:
            for id_ in incident.external_ids:
                claimed.setdefault(id_, []).append(incident.opened_at)
        else:
            assert incident.ticket_id is None, "a device fault with a grid ticket"
    for opened in claimed.values():
        # A device may use an id again; within the day it is the same alarm.
        apart = (later - sooner for sooner, later in pairwise(sorted(opened)))
        assert all(each >= SEEN_NS for each in apart), "an alarm behind two incidents"
    keys = [ticket.idempotency_key for ticket in county.tickets.values()]
    assert len(keys) == len(set(keys)), "two tickets of one key"
    for ticket in county.tickets.values():
        incident = county.incidents[ticket.incident_id or ""]
        assert incident.ticket_id == ticket.id
        assert incident.exercise is ticket.exercise
        assert chain.first_broken(county.events[ticket.id]) is None
        assert county.events[ticket.id][-1].to_state == ticket.state


def run(policy: Policy, steps: Iterable[tuple[Batch, Instant]]) -> tuple[Engine, list[list[Effect]]]:
    """A bare run, for comparing two of them."""
    engine = Engine(SITE, COUNTY, policy)
    return engine, [engine.step(batch, now) for batch, now in steps]
