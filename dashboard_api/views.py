"""Views: records as JSON for people and programs. Times are RFC 3339 with +08:00, codes carry their names.

Every view is one struct; the OpenAPI document is generated from the same structs (see dashboard_api.openapi).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from contracts.delivery import Delivery
from contracts.incident import OPEN_STATES, Decision, Incident, IncidentState, Level
from contracts.instant import Instant, to_rfc3339
from contracts.observation import EvidenceRef
from contracts.place import Place
from contracts.policy import Mute, TypeRule
from contracts.ticket import Ticket, TicketEvent, TicketState
from dashboard_api.directory import Directory
from dashboard_api.names import (
    INCIDENT_STATES,
    REASONS,
    TICKET_STATES,
    Name,
    level_name,
    name_of,
)

ENDED_TICKET_STATES: Final = frozenset(
    {
        TicketState.CLOSED,
        TicketState.REJECTED,
        TicketState.CANCELLED,
        TicketState.MERGED,
        TicketState.TRANSFERRED,
    }
)
"""States in which nobody has to do anything with a ticket any more."""


class Coded(msgspec.Struct, frozen=True, gc=False):
    """A code with its name in both languages."""

    code: str
    zh: str
    en: str


class LevelView(msgspec.Struct, frozen=True, gc=False):
    """An internal alert level, 1 blue to 4 red. `label` holds the full words: 内部告警等级 is never left out."""

    value: int
    zh: str
    en: str
    label: Name


class PlaceView(msgspec.Struct, frozen=True, gc=False):
    """Where something is. `grid_path`: names from street to grid; `grid_code` null = 待定位."""

    lon: float
    lat: float
    name: str
    grid_code: str | None
    grid_path: tuple[str, ...]
    zone_id: str | None
    fire_zone: str | None


class SourceRef(msgspec.Struct, frozen=True, gc=False):
    """A source that stands behind an incident."""

    id: str
    name: str
    kind: str | None


class EvidenceView(msgspec.Struct, frozen=True, gc=False):
    """A pixelated picture. `url` is relative to this server; each first view is entered in the register."""

    sha256: str
    url: str
    media_type: str
    width: int
    height: int
    event_time: str
    source_id: str


class Measured(msgspec.Struct, frozen=True, gc=False):
    """What was measured. `density` (1/m2) is null where the ground is not calibrated (未标定)."""

    value: float | None
    unit: str
    count: int | None
    count_error: float | None
    density: float | None
    peak_count: int | None
    peak_density: float | None


class Demanded(msgspec.Struct, frozen=True, gc=False):
    """What the rule asks for the incident's level: `measure` >= `raise_at`, held for `hold_s` seconds."""

    measure: str
    raise_at: float
    hold_s: float


class DecisionView(msgspec.Struct, frozen=True, gc=False):
    """One decision with its reason; `text` is the sentence with the measured and the demanded value."""

    at: str
    action: str
    reason: Coded
    text: str
    observation_id: str | None


class IncidentView(msgspec.Struct, frozen=True, kw_only=True):
    """An incident (告警) as lists and the live link show it. `decision` is the latest one.

    `belief` is the rule's: `arrival` acts on arrival, `sampled` by thresholds and holds, `operations` is for the
    operations queue; null while the policy is not known here.
    """

    id: str
    site: str
    seq: int
    version: int
    type: Coded
    code: str
    state: Coded
    open: bool
    level: LevelView
    title: str
    place: PlaceView
    exercise: bool
    suspected: bool
    unreviewed: bool
    unknown: bool
    operations: bool
    first_event_time: str
    last_event_time: str
    opened_at: str
    updated_at: str
    measured: Measured
    demanded: Demanded | None
    belief: str | None
    decision: DecisionView | None
    sources: tuple[SourceRef, ...]
    observation_total: int
    evidence: tuple[EvidenceView, ...]
    ticket_id: str | None
    muted_by: str | None
    owner: str | None
    review_due_at: str | None
    aliases: tuple[str, ...]


class IncidentDetail(IncidentView, frozen=True, kw_only=True):
    """One incident with every decision, oldest first."""

    decisions: tuple[DecisionView, ...]
    observation_ids: tuple[str, ...]
    external_ids: tuple[str, ...]
    policy_version: int


class TicketView(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket (工单) as lists and the live link show it."""

    id: str
    site: str
    seq: int
    version: int
    case_number: str
    incident_id: str | None
    type: Coded
    code: str
    title: str
    state: Coded
    open: bool
    level: LevelView
    sla: str
    origin: str
    place: PlaceView
    lead: str
    co: tuple[str, ...]
    suspected: bool
    unreviewed: bool
    description: str
    evidence: tuple[EvidenceView, ...]
    external_ids: tuple[str, ...]
    receipt: str | None
    exercise: bool
    opened_at: str
    updated_at: str
    closed_at: str | None


class TicketEventView(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One move of a ticket; `hash` chains it to the one before."""

    seq: int
    at: str
    transition: str
    actor: str
    role: str
    from_state: Coded
    to_state: Coded
    reason: str
    hash: str


class TicketDetail(TicketView, frozen=True, kw_only=True):
    """One ticket with its moves, oldest first."""

    events: tuple[TicketEventView, ...]


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """How a ticket change fared on its way to an outside system; `dead` waits for a person."""

    id: str
    seq: int
    target: str
    ticket_id: str
    ticket_version: int
    state: str
    attempts: int
    updated_at: str
    next_attempt_at: str | None
    last_error: str
    exercise: bool


class MuteView(msgspec.Struct, frozen=True, kw_only=True):
    """A silence with its matcher, owner, reason and end."""

    id: str
    seq: int
    owner: str
    reason: str
    created_at: str
    expires_at: str
    active: bool
    type: str | None
    source_id: str | None
    grid_prefix: str | None
    zone_id: str | None


def optional_time(instant: Instant | None) -> str | None:
    """RFC 3339, or null."""
    return None if instant is None else to_rfc3339(instant)


def coded(table_name: Name, code: str) -> Coded:
    """A code with a name that was looked up."""
    return Coded(code, table_name.zh, table_name.en)


def level_view(level: Level) -> LevelView:
    """The level with the words that must stand with it."""
    name = level_name(level)
    label = Name(f"内部告警等级 {name.zh}", f"Internal alert level {name.en}")
    return LevelView(int(level), name.zh, name.en, label)


def place_view(place: Place, directory: Directory) -> PlaceView:
    """The place with the names of its grids."""
    return PlaceView(
        lon=place.lon,
        lat=place.lat,
        name=place.name,
        grid_code=place.grid_code,
        grid_path=directory.grid_path(place.grid_code),
        zone_id=place.zone_id,
        fire_zone=place.fire_zone,
    )


def evidence_views(owner: str, owner_id: str, evidence: Iterable[EvidenceRef]) -> tuple[EvidenceView, ...]:
    """Pictures under the address of the incident or ticket that refers to them (`owner`: its plural noun)."""
    return tuple(
        EvidenceView(
            sha256=ref.sha256,
            url=f"/api/v1/{owner}/{owner_id}/evidence/{ref.sha256}",
            media_type=ref.media_type,
            width=ref.width,
            height=ref.height,
            event_time=to_rfc3339(ref.event_time),
            source_id=ref.source_id,
        )
        for ref in evidence
    )


def decision_view(decision: Decision) -> DecisionView:
    """A decision with the name of its reason."""
    return DecisionView(
        at=to_rfc3339(decision.at),
        action=decision.action,
        reason=coded(name_of(REASONS, decision.reason), decision.reason),
        text=decision.text,
        observation_id=decision.observation_id,
    )


def demanded(incident: Incident, rule: TypeRule | None) -> Demanded | None:
    """What the rule in force asks for this level, None where no threshold decides (alarms act on arrival)."""
    if rule is None or rule.measure is None or not rule.levels:
        return None
    exact = [step for step in rule.levels if step.level == incident.level]
    step = exact[0] if exact else min(rule.levels, key=lambda step: step.level)
    return Demanded(rule.measure, step.raise_at, step.hold_s)


def incident_view(incident: Incident, seq: int, directory: Directory) -> IncidentView:
    """The incident as lists show it."""
    return IncidentView(**_incident_fields(incident, seq, directory))  # type: ignore[arg-type]


def incident_detail(incident: Incident, seq: int, directory: Directory) -> IncidentDetail:
    """The incident with all its decisions."""
    return IncidentDetail(
        **_incident_fields(incident, seq, directory),  # type: ignore[arg-type]
        decisions=tuple(decision_view(decision) for decision in incident.decisions),
        observation_ids=incident.observation_ids,
        external_ids=incident.external_ids,
        policy_version=incident.policy_version,
    )


def _incident_fields(incident: Incident, seq: int, directory: Directory) -> dict[str, object]:
    rule = directory.rule(incident.type, incident.place.zone_id)
    spoken = [decision for decision in incident.decisions if decision.text] or list(incident.decisions)
    return {
        "id": incident.id,
        "site": incident.site,
        "seq": seq,
        "version": incident.version,
        "type": coded(directory.type_name(incident.type), incident.type),
        "code": incident.code,
        "state": coded(name_of(INCIDENT_STATES, incident.state), incident.state),
        "open": incident.state in OPEN_STATES,
        "level": level_view(incident.level),
        "title": incident.title,
        "place": place_view(incident.place, directory),
        "exercise": incident.exercise,
        "suspected": incident.suspected,
        "unreviewed": incident.unreviewed,
        "unknown": incident.unknown,
        "operations": incident.operations,
        "first_event_time": to_rfc3339(incident.first_event_time),
        "last_event_time": to_rfc3339(incident.last_event_time),
        "opened_at": to_rfc3339(incident.opened_at),
        "updated_at": to_rfc3339(incident.updated_at),
        "measured": Measured(
            value=incident.value,
            unit=incident.unit,
            count=incident.count,
            count_error=incident.count_error,
            density=incident.density,
            peak_count=incident.peak_count,
            peak_density=incident.peak_density,
        ),
        "demanded": demanded(incident, rule),
        "belief": rule.belief if rule else None,
        "decision": decision_view(spoken[-1]) if spoken else None,
        "sources": tuple(source_ref(source_id, directory) for source_id in incident.source_ids),
        "observation_total": incident.observation_total,
        "evidence": evidence_views("incidents", incident.id, incident.evidence),
        "ticket_id": incident.ticket_id,
        "muted_by": incident.muted_by,
        "owner": incident.owner,
        "review_due_at": (
            optional_time(incident.review_due_at) if incident.state == IncidentState.PENDING_REVIEW else None
        ),
        "aliases": incident.aliases,
    }


def source_ref(source_id: str, directory: Directory) -> SourceRef:
    """A source's id, name and kind."""
    entry = directory.sources.get(source_id)
    return SourceRef(source_id, entry.name, entry.kind) if entry else SourceRef(source_id, source_id, None)


def ticket_view(ticket: Ticket, seq: int, directory: Directory) -> TicketView:
    """The ticket as lists show it."""
    return TicketView(**_ticket_fields(ticket, seq, directory))  # type: ignore[arg-type]


def ticket_detail(ticket: Ticket, seq: int, events: Iterable[TicketEvent], directory: Directory) -> TicketDetail:
    """The ticket with its moves."""
    return TicketDetail(
        **_ticket_fields(ticket, seq, directory),  # type: ignore[arg-type]
        events=tuple(_event_view(event) for event in events),
    )


def _ticket_fields(ticket: Ticket, seq: int, directory: Directory) -> dict[str, object]:
    return {
        "id": ticket.id,
        "site": ticket.site,
        "seq": seq,
        "version": ticket.version,
        "case_number": ticket.case_number,
        "incident_id": ticket.incident_id,
        "type": coded(directory.type_name(ticket.type), ticket.type),
        "code": ticket.code,
        "title": ticket.title,
        "state": coded(name_of(TICKET_STATES, ticket.state), ticket.state),
        "open": ticket.state not in ENDED_TICKET_STATES,
        "level": level_view(ticket.level),
        "sla": ticket.sla,
        "origin": ticket.origin,
        "place": place_view(ticket.place, directory),
        "lead": ticket.lead,
        "co": ticket.co,
        "suspected": ticket.suspected,
        "unreviewed": ticket.unreviewed,
        "description": ticket.description,
        "evidence": evidence_views("tickets", ticket.id, ticket.evidence),
        "external_ids": ticket.external_ids,
        "receipt": ticket.receipt,
        "exercise": ticket.exercise,
        "opened_at": to_rfc3339(ticket.opened_at),
        "updated_at": to_rfc3339(ticket.updated_at),
        "closed_at": optional_time(ticket.closed_at),
    }


def _event_view(event: TicketEvent) -> TicketEventView:
    return TicketEventView(
        seq=event.seq,
        at=to_rfc3339(event.at),
        transition=event.transition,
        actor=event.actor,
        role=event.role,
        from_state=coded(name_of(TICKET_STATES, event.from_state), event.from_state),
        to_state=coded(name_of(TICKET_STATES, event.to_state), event.to_state),
        reason=event.reason,
        hash=event.hash,
    )


def delivery_view(delivery: Delivery, seq: int) -> DeliveryView:
    """A delivery as the wall shows it."""
    return DeliveryView(
        id=delivery.id,
        seq=seq,
        target=delivery.target,
        ticket_id=delivery.ticket_id,
        ticket_version=delivery.ticket_version,
        state=delivery.state,
        attempts=delivery.attempts,
        updated_at=to_rfc3339(delivery.updated_at),
        next_attempt_at=optional_time(delivery.next_attempt_at),
        last_error=delivery.last_error,
        exercise=delivery.exercise,
    )


def mute_view(mute: Mute, seq: int, now: Instant) -> MuteView:
    """A mute; `active` until its end."""
    return MuteView(
        id=mute.id,
        seq=seq,
        owner=mute.owner,
        reason=mute.reason,
        created_at=to_rfc3339(mute.created_at),
        expires_at=to_rfc3339(mute.expires_at),
        active=mute.expires_at > now,
        type=mute.matcher.type,
        source_id=mute.matcher.source_id,
        grid_prefix=mute.matcher.grid_prefix,
        zone_id=mute.matcher.zone_id,
    )
