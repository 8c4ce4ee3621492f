"""Delivery: the outcome of handing a ticket change to an outside system."""

from __future__ import annotations

import enum

import msgspec

from contracts.instant import Instant


class DeliveryState(enum.StrEnum):
    """Where a change stands on its way out."""

    PENDING = "pending"
    DELIVERED = "delivered"
    RETRYING = "retrying"
    DEAD = "dead"
    """Rejected for good; a person sees it and may send it again."""


class Delivery(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="delivery", tag_field="record"):
    """One change on its way to one target. `id` is the CloudEvents id; source + id is the dedup key outside."""

    id: str
    target: str
    ticket_id: str
    ticket_version: int
    state: DeliveryState
    attempts: int
    updated_at: Instant
    next_attempt_at: Instant | None = None
    last_error: str = ""
    exercise: bool = False
    schema: int = 1
