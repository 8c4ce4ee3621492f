"""The chain of a ticket's events: each event's hash covers the one before it, so a changed event is found."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

from contracts.ticket import TicketEvent

ROOT: Final = "0" * 64
"""What the first event of a ticket has for its previous hash."""

_encoder: Final = msgspec.json.Encoder(order="sorted")


def digest(prev_hash: str, event: TicketEvent) -> str:
    """SHA-256 (hex) over the previous hash and the event's JSON with sorted keys and an empty `hash`."""
    bare = msgspec.structs.replace(event, prev_hash=prev_hash, hash="")
    return hashlib.sha256(prev_hash.encode() + _encoder.encode(bare)).hexdigest()


def link(prev_hash: str, event: TicketEvent) -> TicketEvent:
    """`event` bound to the one before it."""
    return msgspec.structs.replace(event, prev_hash=prev_hash, hash=digest(prev_hash, event))


def first_broken(events: Sequence[TicketEvent]) -> int | None:
    """The `seq` of the first event that was changed, removed or put in between; None when the chain holds.

    `events` are all events of one ticket in order of `seq`, from 1 on.
    """
    last = ROOT
    for position, event in enumerate(events, start=1):
        if event.seq != position or event.prev_hash != last or event.hash != digest(last, event):
            return event.seq
        last = event.hash
    return None
