"""Ticket (工单): a case for a grid, made from an incident, a resident's report or a person."""

from __future__ import annotations

import enum

import msgspec

from contracts.incident import Level
from contracts.instant import Instant
from contracts.observation import EvidenceRef
from contracts.place import Place


class TicketState(enum.StrEnum):
    """The 15 states of a ticket; the value is the code that people and platforms use."""

    REPORTED = "10"
    UNLOCATED = "15"
    ACCEPTED = "20"
    REGISTERED = "30"
    DISPATCHED = "40"
    WHISTLED = "45"
    IN_PROGRESS = "50"
    SUSPENDED = "55"
    RESOLVED = "60"
    VERIFIED = "70"
    CLOSED = "90"
    REJECTED = "91"
    CANCELLED = "92"
    MERGED = "93"
    TRANSFERRED = "94"


class Origin(enum.StrEnum):
    """Where a ticket was born."""

    PROACTIVE = "proactive"
    """Sensed by machine or found on patrol (未诉先办)."""
    CITIZEN = "citizen"
    HOTLINE = "hotline"
    OPERATOR = "operator"


class SlaClass(enum.StrEnum):
    """P1 特急, P2 紧急, P3 较急, P4 一般."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    P4 = "P4"


class TicketEvent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One move of a ticket. `hash` = SHA-256 over the previous hash and this event without it."""

    ticket_id: str
    seq: int
    prev_hash: str
    hash: str
    actor: str
    role: str
    transition: str
    from_state: str
    to_state: str
    at: Instant
    reason: str = ""


class Ticket(msgspec.Struct, frozen=True, kw_only=True, tag="ticket", tag_field="record"):
    """A ticket as stored, shown and sent.

    `idempotency_key` is the incident's id (or the outside number): one key, one ticket. `case_number` is for
    people: county + date + sequence. `suspected` is 疑似. `lead` is 主办, `co` are 协办. `models`: see Incident.
    """

    id: str
    site: str
    case_number: str
    idempotency_key: str
    type: str
    code: str
    title: str
    state: TicketState
    level: Level
    sla: SlaClass
    origin: Origin
    place: Place
    grid_code: str | None
    opened_at: Instant
    updated_at: Instant
    version: int
    incident_id: str | None = None
    lead: str = ""
    co: tuple[str, ...] = ()
    suspected: bool = False
    unreviewed: bool = False
    description: str = ""
    evidence: tuple[EvidenceRef, ...] = ()
    external_ids: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    closed_at: Instant | None = None
    receipt: str | None = None
    exercise: bool = False
    schema: int = 1
