"""A ticket's change as a CloudEvents 1.0 structured JSON message (cloudevents/spec v1.0.2, JSON format)."""

from __future__ import annotations

from typing import Final

import msgspec

from alerts.core.effects import TicketChanged
from contracts import topics
from contracts.ids import derive_id
from contracts.instant import Instant, to_rfc3339
from contracts.ticket import Ticket

CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"

_TYPES: Final = {
    "opened": topics.EVENT_TICKET_OPENED,
    "updated": topics.EVENT_TICKET_UPDATED,
    "closed": topics.EVENT_TICKET_CLOSED,
}
_TIMES: Final = ("opened_at", "updated_at", "closed_at")


def event_id(ticket: Ticket, target: str) -> str:
    """The same for every attempt to hand this version of the ticket to this target."""
    return derive_id("evt", ticket.site, ticket.id, ticket.version, target)


def render(change: TicketChanged, id_: str, now: Instant) -> bytes:
    """The message: `data` is the ticket with RFC 3339 times in +08:00; a drill (演练) says so in `exercise`."""
    ticket = change.ticket
    event: dict[str, object] = {
        "specversion": "1.0",
        "id": id_,
        "source": topics.event_source(ticket.site),
        "type": _TYPES[change.cause],
        "subject": ticket.id,
        "time": to_rfc3339(now),
        "datacontenttype": "application/json",
        "partitionkey": ticket.grid_code or ticket.site,
        "exercise": ticket.exercise,
        "data": ticket_json(ticket),
    }
    return msgspec.json.encode(event)


def ticket_json(ticket: Ticket) -> dict[str, object]:
    """The ticket as plain JSON values, its Instants as RFC 3339 text."""
    data: dict[str, object] = msgspec.to_builtins(ticket)
    for name in _TIMES:
        at = getattr(ticket, name)
        data[name] = None if at is None else to_rfc3339(at)
    data["evidence"] = [
        {**msgspec.to_builtins(reference), "event_time": to_rfc3339(reference.event_time)}
        for reference in ticket.evidence
    ]
    return data
