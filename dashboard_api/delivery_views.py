"""Views of deliveries (送达) and mutes (静音)."""

from __future__ import annotations

import msgspec

from contracts.delivery import Delivery
from contracts.instant import Instant, to_rfc3339
from contracts.policy import Mute
from dashboard_api.directory import Directory
from dashboard_api.names import Name
from dashboard_api.views import optional_time


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
    """A silence with its matcher (and the names of what it names), owner, reason and end."""

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
    type_name: Name | None
    source_name: str | None
    grid_path: tuple[str, ...]


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


def mute_view(mute: Mute, seq: int, now: Instant, directory: Directory) -> MuteView:
    """A mute; `active` until its end."""
    matcher = mute.matcher
    return MuteView(
        id=mute.id,
        seq=seq,
        owner=mute.owner,
        reason=mute.reason,
        created_at=to_rfc3339(mute.created_at),
        expires_at=to_rfc3339(mute.expires_at),
        active=mute.expires_at > now,
        type=matcher.type,
        source_id=matcher.source_id,
        grid_prefix=matcher.grid_prefix,
        zone_id=matcher.zone_id,
        type_name=directory.type_name(matcher.type) if matcher.type else None,
        source_name=directory.source_name(matcher.source_id) if matcher.source_id else None,
        grid_path=directory.grid_path(matcher.grid_prefix),
    )
