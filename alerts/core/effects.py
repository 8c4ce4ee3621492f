"""Effects: everything that a step of the engine wants done; the shell commits them in one transaction."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from contracts.command import CommandAnswer
from contracts.incident import Incident, Reason
from contracts.policy import Mute
from contracts.source import SourceChange
from contracts.ticket import Ticket, TicketEvent

TicketCause: TypeAlias = Literal["opened", "updated", "closed"]
"""What happened to a ticket; selects the type of the message that is delivered outside."""

OPENED: Final = "opened"
UPDATED: Final = "updated"
CLOSED: Final = "closed"


class IncidentChanged(msgspec.Struct, frozen=True, tag="incident_changed"):
    """An incident was born or changed; at most once per step and incident, its version one higher each time."""

    incident: Incident


class TicketChanged(msgspec.Struct, frozen=True, tag="ticket_changed"):
    """A ticket was opened or changed; at most once per step and ticket. `events` are its new moves, in order."""

    ticket: Ticket
    events: tuple[TicketEvent, ...]
    cause: TicketCause


class SourceChanged(msgspec.Struct, frozen=True, tag="source_changed"):
    """A source changed its state; `change` is what to store as its latest."""

    change: SourceChange


class MuteChanged(msgspec.Struct, frozen=True, tag="mute_changed"):
    """A mute was given, or ended (`removed`: by a person or by its expiry)."""

    mute: Mute
    removed: bool


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """An observation or source change that was not used, with a stable reason and a sentence for people."""

    observation_id: str
    source_id: str
    reason: Reason
    text: str


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """The answer to a command of this batch; to be sent after the commit. `sequence` is the shell's to fill."""

    answer: CommandAnswer


Effect: TypeAlias = IncidentChanged | TicketChanged | SourceChanged | MuteChanged | Refused | Answered
