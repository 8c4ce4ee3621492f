"""The life of a ticket: moves by the table of transitions, each one an event of a chain of SHA-256 hashes.

Every pair of states is defined: what the table does not hold is refused with the list of what is allowed.
"""

from __future__ import annotations

import msgspec

from alerts.tickets import chain
from alerts.tickets.ticket_file import CLOSED_STATES, NAMES_ZH, Ask, TicketFile
from alerts.tickets.transitions import PAIRS, Transition, allowed, role_may
from contracts.errors import CommandRefused
from contracts.principal import Principal
from contracts.ticket import SlaClass, Ticket, TicketEvent, TicketState

S = TicketState


def find(file: TicketFile, to: TicketState, ask: Ask) -> Transition:
    """The transition that `ask` takes. Raises CommandRefused (`illegal_move`, `role`, `guard`) with `allowed`."""
    state = file.ticket.state
    here = f"工单 {file.ticket.case_number} 处于 {state.value} {NAMES_ZH[state]}"
    options = allowed(state, ask.by.role)
    rows = PAIRS[state, to]
    if not rows:
        raise CommandRefused(
            f"{here}, 不能转到 {to.value} {NAMES_ZH[to]} (illegal move)", reason="illegal_move", allowed=options
        )
    rows = tuple(row for row in rows if role_may(row, ask.by.role))
    if not rows:
        raise CommandRefused(
            f"{here}, 角色 {ask.by.role.value} 无权转到 {to.value} {NAMES_ZH[to]} (role may not)",
            reason="role",
            allowed=options,
        )
    missing = ""
    for row in rows:
        missing = next((sentence for guard in row.guards if (sentence := guard(file, ask))), "")
        if not missing:
            return row
    raise CommandRefused(f"{here}: {missing}", reason="guard", allowed=options)


def open_file(ticket: Ticket, county: str, by: Principal) -> tuple[TicketFile, TicketEvent]:
    """T01: a new ticket in state 10 and the first event of its chain."""
    file = TicketFile(ticket=ticket, county=county)
    return file, _append(file, "T01", "", Ask(by=by, at=ticket.opened_at))


def move(file: TicketFile, to: TicketState, ask: Ask) -> TicketEvent | None:
    """Move the ticket and return the event; None when a first person asked to cancel a P1 ticket.

    Raises CommandRefused and changes nothing when the table or a guard forbids it.
    """
    row = find(file, to, ask)
    if row.number == "T22" and file.ticket.sla is SlaClass.P1 and file.cancel_asked_by in ("", ask.by.id):
        file.cancel_asked_by = ask.by.id
        return None
    _remember(file, row, ask)
    before = file.ticket.state.value
    closed = ask.at if to in CLOSED_STATES else None
    file.ticket = msgspec.structs.replace(file.ticket, state=to, updated_at=ask.at, closed_at=closed)
    return _append(file, row.number, before, ask)


def note_level(file: TicketFile, ask: Ask) -> TicketEvent:
    """Append that the level or class of the ticket changed; its state stays."""
    return _append(file, "LEVEL", file.ticket.state.value, ask)


def _remember(file: TicketFile, row: Transition, ask: Ask) -> None:
    """Keep what later guards ask for."""
    replace = msgspec.structs.replace
    match row.number:
        case "T02" if row.target is S.REPORTED:
            code = ask.note.strip()
            place = replace(file.ticket.place, grid_code=code)
            file.ticket = replace(file.ticket, grid_code=code, place=place)
        case "T08":
            file.handler = ask.by.id
        case "T09":
            file.returns += 1
        case "T10":
            file.designated = True
        case "T13":
            file.suspensions += 1
        case "T16":
            file.reworks += 1
        case "T19":
            file.second_handlings += 1
        case "T20":
            file.reopens += 1
        case "T21":
            file.ticket = replace(file.ticket, receipt=ask.note.strip())
        case _:
            pass


def _append(file: TicketFile, transition: str, before: str, ask: Ask) -> TicketEvent:
    event = chain.link(
        file.last_hash,
        TicketEvent(
            ticket_id=file.ticket.id,
            seq=file.next_seq,
            prev_hash=file.last_hash,
            hash="",
            actor=ask.by.id,
            role=ask.by.role.value,
            transition=transition,
            from_state=before,
            to_state=file.ticket.state.value,
            at=ask.at,
            reason=" ".join(part for part in (ask.reason, ask.note) if part),
        ),
    )
    file.next_seq += 1
    file.last_hash = event.hash
    return event
