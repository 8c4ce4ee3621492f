"""Records as rows of the tables that alerts publishes: columns for filters, `body` for the whole."""

from __future__ import annotations

from contracts import wire
from contracts.coverage import CoverageReport
from contracts.delivery import Delivery
from contracts.incident import Incident
from contracts.policy import Mute
from contracts.source import HealthReport, SourceChange
from contracts.storm import StormReport
from contracts.ticket import Ticket, TicketEvent

Row = dict[str, object]


def incident_row(incident: Incident, seq: int, body: bytes) -> Row:
    """A row of `incidents`."""
    return {
        "id": incident.id,
        "site": incident.site,
        "type": incident.type.value,
        "state": incident.state.value,
        "level": int(incident.level),
        "grid_code": incident.place.grid_code,
        "operations": incident.operations,
        "exercise": incident.exercise,
        "opened_at": incident.opened_at,
        "updated_at": incident.updated_at,
        "seq": seq,
        "body": body,
    }


def ticket_row(ticket: Ticket, seq: int, body: bytes) -> Row:
    """A row of `tickets`."""
    return {
        "id": ticket.id,
        "site": ticket.site,
        "case_number": ticket.case_number,
        "idempotency_key": ticket.idempotency_key,
        "incident_id": ticket.incident_id,
        "type": ticket.type,
        "state": ticket.state.value,
        "level": int(ticket.level),
        "grid_code": ticket.grid_code,
        "exercise": ticket.exercise,
        "opened_at": ticket.opened_at,
        "updated_at": ticket.updated_at,
        "seq": seq,
        "body": body,
    }


def ticket_event_row(event: TicketEvent) -> Row:
    """A row of `ticket_events`."""
    return {
        "ticket_id": event.ticket_id,
        "seq": event.seq,
        "at": event.at,
        "actor": event.actor,
        "transition": event.transition,
        "from_state": event.from_state,
        "to_state": event.to_state,
        "body": wire.encode(event),
    }


def source_row(change: SourceChange, seq: int, body: bytes) -> Row:
    """A row of `sources`."""
    return {
        "id": change.source_id,
        "kind": change.kind.value,
        "state": change.state.value,
        "reason": change.reason,
        "detail": change.detail,
        "at": change.at,
        "seq": seq,
        "body": body,
    }


def delivery_row(delivery: Delivery, seq: int, body: bytes) -> Row:
    """A row of `deliveries`."""
    return {
        "id": delivery.id,
        "target": delivery.target,
        "ticket_id": delivery.ticket_id,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "last_error": delivery.last_error,
        "updated_at": delivery.updated_at,
        "seq": seq,
        "body": body,
    }


def mute_row(mute: Mute, seq: int, body: bytes) -> Row:
    """A row of `mutes`."""
    return {
        "id": mute.id,
        "owner": mute.owner,
        "reason": mute.reason,
        "created_at": mute.created_at,
        "expires_at": mute.expires_at,
        "seq": seq,
        "body": body,
    }


def storm_row(storm: StormReport) -> Row:
    """A row of `storms`."""
    return {"id": storm.id, "began_at": storm.began_at, "at": storm.at, "body": wire.encode(storm)}


def report_row(report: HealthReport | CoverageReport) -> Row:
    """A row of `health` or `coverage`."""
    return {
        "service": report.service,
        "instance": report.instance,
        "at": report.at,
        "body": wire.encode(report),
    }
