"""Records for the tests of alerts: one square, one camera, one smoke detector, and what they say."""

from __future__ import annotations

from contracts.ids import derive_id
from contracts.incident import Action, Decision, Incident, IncidentState, Level, Reason
from contracts.instant import SECOND, Instant
from contracts.observation import IncidentType, Observation, Phase, observation_id
from contracts.place import Place
from contracts.source import SourceKind
from contracts.ticket import Origin, SlaClass, Ticket, TicketEvent, TicketState

SITE = "152921"
COUNTY = "152921"
GRID = "152921001001001"
T0 = Instant(1_790_000_000 * SECOND)
SQUARE = Place(105.7, 38.8, GRID, None, "fz-1", "广场")


def at(seconds: float) -> Instant:
    return Instant(T0 + round(seconds * SECOND))


def smoke(
    number: int, when: Instant = T0, *, site: str = SITE, source: str | None = None, place: Place = SQUARE
) -> Observation:
    """Smoke detector number `number` in alarm, with the device's own alarm id."""
    source_id = source or f"S-{number:05d}"
    external = f"alarm-{number}"
    return Observation(
        id=observation_id(site, IncidentType.SMOKE_SENSOR, Phase.ACTIVE, source_id, None, when, external),
        site=site,
        type=IncidentType.SMOKE_SENSOR,
        phase=Phase.ACTIVE,
        source_id=source_id,
        source_kind=SourceKind.SENSOR,
        event_time=when,
        arrival_time=when,
        place=place,
        confidence=1.0,
        value=1.0,
        external_id=external,
    )


def incident(number: int = 1, *, version: int = 1, when: Instant = T0) -> Incident:
    return Incident(
        id=derive_id("inc", number),
        site=SITE,
        type=IncidentType.SMOKE_SENSOR,
        code="02-03",
        state=IncidentState.CONFIRMED,
        level=Level.ORANGE,
        place=SQUARE,
        first_event_time=when,
        last_event_time=when,
        opened_at=when,
        updated_at=when,
        version=version,
        title="烟感报警",
        source_ids=(f"S-{number:05d}",),
        external_ids=(f"alarm-{number}",),
        decisions=(Decision(at=when, action=Action.OPEN, reason=Reason.ACTS_ON_ARRIVAL, text="烟感报警"),),
        ticket_id=derive_id("tkt", number),
    )


def ticket(
    number: int = 1, *, version: int = 1, state: TicketState = TicketState.DISPATCHED, when: Instant = T0
) -> Ticket:
    return Ticket(
        id=derive_id("tkt", number),
        site=SITE,
        case_number=f"152921-20260921-{number:04d}",
        idempotency_key=derive_id("inc", number),
        type=IncidentType.SMOKE_SENSOR,
        code="02-03",
        title="烟感报警",
        state=state,
        level=Level.ORANGE,
        sla=SlaClass.P1,
        origin=Origin.PROACTIVE,
        place=SQUARE,
        grid_code=GRID,
        opened_at=when,
        updated_at=when,
        version=version,
        incident_id=derive_id("inc", number),
        closed_at=when if state is TicketState.CLOSED else None,
    )


def move(of: Ticket, seq: int = 1, *, to: TicketState = TicketState.DISPATCHED) -> TicketEvent:
    return TicketEvent(
        ticket_id=of.id,
        seq=seq,
        prev_hash="",
        hash=f"hash-{seq}",
        actor="system",
        role="system",
        transition="T01",
        from_state="",
        to_state=to.value,
        at=of.updated_at,
        reason="烟感报警",
    )
