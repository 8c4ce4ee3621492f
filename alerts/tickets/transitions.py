"""Transitions T02 to T22 as a table: number, from, to, roles and guards. What it does not hold is illegal.

After the county practice of case handling (数字城管 seven stages, 12345 rules). T01 is the birth; T23
(escalation by timers) and T24 (side records) change no state.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from alerts.tickets import guards
from alerts.tickets.ticket_file import OPEN_STATES
from contracts.principal import Role
from contracts.ticket import TicketState

S = TicketState


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table. `by_system`: the product may take it without a person."""

    number: str
    source: TicketState
    target: TicketState
    roles: frozenset[Role]
    guards: tuple[guards.Guard, ...] = ()
    by_system: bool = False


class _Row(enum.Enum):
    """Groups of roles; a county's profile maps its own words to these."""

    CENTRE = frozenset({Role.OPERATOR, Role.SHIFT_LEAD})
    LEAD = frozenset({Role.SHIFT_LEAD})
    ASSIGNEE = frozenset({Role.GRID_WORKER, Role.DEPARTMENT})
    WHISTLERS = frozenset({Role.OPERATOR, Role.SHIFT_LEAD, Role.GRID_WORKER, Role.DEPARTMENT})


def _row(
    number: str,
    sources: TicketState | frozenset[TicketState] | tuple[TicketState, ...],
    target: TicketState,
    roles: _Row,
    *checks: guards.Guard,
    by_system: bool = False,
) -> list[Transition]:
    froms = (sources,) if isinstance(sources, TicketState) else sorted(sources)
    return [
        Transition(
            number=number,
            source=source,
            target=target,
            roles=roles.value,
            guards=checks,
            by_system=by_system,
        )
        for source in froms
    ]


TABLE: Final[tuple[Transition, ...]] = (
    *_row("T02", S.REPORTED, S.UNLOCATED, _Row.CENTRE, by_system=True),
    *_row("T02", S.UNLOCATED, S.REPORTED, _Row.CENTRE, guards.has_grid_code),
    *_row("T03", S.REPORTED, S.ACCEPTED, _Row.CENTRE, by_system=True),
    # A false alarm is rejected by the person who reviews it, wherever the machine alone has moved the ticket.
    *_row("T04", (S.REPORTED, S.UNLOCATED, S.ACCEPTED), S.REJECTED, _Row.CENTRE, guards.has_reason),
    *_row("T04", S.REGISTERED, S.REJECTED, _Row.CENTRE, guards.has_reason, guards.still_suspected),
    *_row(
        "T05",
        (S.REPORTED, S.ACCEPTED, S.REGISTERED),
        S.MERGED,
        _Row.WHISTLERS,
        guards.has_note("主案编号"),
        by_system=True,
    ),
    *_row("T06", S.ACCEPTED, S.REGISTERED, _Row.LEAD, by_system=True),
    *_row(
        "T07",
        S.REGISTERED,
        S.DISPATCHED,
        _Row.CENTRE,
        guards.has_lead,
        guards.never_returned,
        by_system=True,
    ),
    *_row("T08", S.DISPATCHED, S.IN_PROGRESS, _Row.ASSIGNEE),
    *_row("T09", S.DISPATCHED, S.REGISTERED, _Row.ASSIGNEE, guards.has_reason, guards.may_return),
    *_row("T10", S.REGISTERED, S.DISPATCHED, _Row.LEAD, guards.has_lead, guards.returned),
    *_row("T11", (S.REGISTERED, S.IN_PROGRESS), S.WHISTLED, _Row.WHISTLERS, guards.has_note("召集单位")),
    *_row("T12", S.WHISTLED, S.IN_PROGRESS, _Row.WHISTLERS, guards.has_note("会商结论与主办单位")),
    *_row("T13", S.IN_PROGRESS, S.SUSPENDED, _Row.LEAD, guards.has_reason, guards.may_suspend),
    *_row("T14", S.SUSPENDED, S.IN_PROGRESS, _Row.LEAD, by_system=True),
    *_row("T15", S.IN_PROGRESS, S.RESOLVED, _Row.ASSIGNEE, guards.has_note("处置情况")),
    *_row("T16", S.RESOLVED, S.IN_PROGRESS, _Row.CENTRE, guards.not_handler, guards.has_reason),
    *_row("T17", S.RESOLVED, S.VERIFIED, _Row.CENTRE, guards.not_handler),
    *_row("T18", S.VERIFIED, S.CLOSED, _Row.CENTRE, by_system=True),
    *_row("T19", S.VERIFIED, S.IN_PROGRESS, _Row.CENTRE, guards.has_reason, guards.first_dissatisfaction),
    *_row("T20", S.CLOSED, S.IN_PROGRESS, _Row.LEAD, guards.has_reason, guards.within_reopening),
    *_row("T21", OPEN_STATES, S.TRANSFERRED, _Row.CENTRE, guards.has_note("回执号")),
    *_row("T22", OPEN_STATES, S.CANCELLED, _Row.LEAD, guards.has_reason),
)
"""Every legal move but T01, the birth."""


def _by_pair() -> dict[tuple[TicketState, TicketState], tuple[Transition, ...]]:
    pairs: dict[tuple[TicketState, TicketState], tuple[Transition, ...]] = {
        (source, target): () for source in TicketState for target in TicketState
    }
    for transition in TABLE:
        pairs[transition.source, transition.target] += (transition,)
    return pairs


PAIRS: Final = _by_pair()
"""Every pair of states; an empty tuple is an illegal move."""


def allowed(state: TicketState, role: Role) -> tuple[str, ...]:
    """The codes of the states to which `role` may ask to move a ticket in `state`, ascending."""
    return tuple(
        sorted({row.target.value for row in TABLE if row.source is state and role_may(row, role)}),
    )


def role_may(row: Transition, role: Role) -> bool:
    """Whether a role may take the transition."""
    return role in row.roles or (row.by_system and role is Role.SYSTEM)
