"""Views of tickets (工单) and their moves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from contracts.incident import Level
from contracts.instant import to_rfc3339
from contracts.ticket import Ticket, TicketEvent, TicketState
from dashboard_api.directory import Directory
from dashboard_api.names import (
    LEVELS,
    TICKET_STATES,
    TRANSITIONS,
    Name,
    name_of,
)
from dashboard_api.views import (
    Coded,
    EvidenceView,
    LevelView,
    PlaceView,
    coded,
    evidence_views,
    level_view,
    optional_time,
    place_view,
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

_LEVEL_REASON: Final = re.compile(r"([A-Z]+)/(P\d) -> ([A-Z]+)/(P\d)")


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
    """One move of a ticket; `hash` chains it to the one before. `reason` as recorded, `words` for people."""

    seq: int
    at: str
    transition: str
    name: Name
    actor: str
    role: str
    from_state: Coded
    to_state: Coded
    reason: str
    words: Name
    hash: str


class TicketDetail(TicketView, frozen=True, kw_only=True):
    """One ticket with its moves, oldest first."""

    events: tuple[TicketEventView, ...]


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
        name=name_of(TRANSITIONS, event.transition),
        actor=event.actor,
        role=event.role,
        from_state=coded(name_of(TICKET_STATES, event.from_state), event.from_state),
        to_state=coded(name_of(TICKET_STATES, event.to_state), event.to_state),
        reason=event.reason,
        words=_reason_words(event),
        hash=event.hash,
    )


def _reason_words(event: TicketEvent) -> Name:
    """The reason, with levels by their names: `ORANGE/P2 -> RED/P1` is 内部告警等级 橙/P2 → 红/P1."""
    found = _LEVEL_REASON.fullmatch(event.reason) if event.transition == "LEVEL" else None
    if found is None or not {found[1], found[3]} <= Level.__members__.keys():
        return Name(event.reason, event.reason)
    (zh, en), (zh_now, en_now) = LEVELS[Level[found[1]]], LEVELS[Level[found[3]]]
    return Name(
        f"内部告警等级 {zh}/{found[2]} → {zh_now}/{found[4]}",
        f"Internal alert level {en}/{found[2]} → {en_now}/{found[4]}",
    )
