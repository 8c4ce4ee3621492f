"""Casework: keeps an incident's ticket in step with it. One incident, one ticket; its class never falls alone."""

from __future__ import annotations

import msgspec

from alerts.core import limits
from alerts.core.effects import TicketCause
from alerts.core.policy import Rule
from alerts.core.state import EngineState, LiveIncident
from alerts.core.turn import Turn
from alerts.tickets import workflow
from alerts.tickets.routing import is_located, route
from alerts.tickets.sla import URGENT, more_urgent
from alerts.tickets.ticket_file import CLOSED_STATES, Ask, TicketFile
from contracts.ids import derive_id
from contracts.incident import Action, IncidentState, Reason
from contracts.instant import Instant, beijing_date
from contracts.principal import SYSTEM, Principal
from contracts.ticket import Origin, Ticket, TicketEvent, TicketState

_BEFORE_DISPATCH = frozenset(
    {TicketState.REPORTED, TicketState.UNLOCATED, TicketState.ACCEPTED, TicketState.REGISTERED}
)


def open_ticket(live: LiveIncident, rule: Rule, turn: Turn) -> TicketFile:
    """T01, and T02 when no grid holds the place. The key is the incident's id: asked twice, opened once."""
    path = route(rule.of, live.level)
    ticket = Ticket(
        id=derive_id("tkt", live.id),
        site=turn.site,
        case_number=_next_case_number(turn.state, turn.county, live.exercise, turn.now),
        idempotency_key=live.id,
        type=live.known_as.value,
        code=live.code,
        title=live.title,
        state=TicketState.REPORTED,
        level=live.level,
        sla=live.sla,
        origin=Origin.PROACTIVE,
        place=live.place,
        grid_code=live.place.grid_code,
        opened_at=turn.now,
        updated_at=turn.now,
        version=0,
        incident_id=live.id,
        lead=path.lead,
        co=path.co,
        suspected=live.suspected,
        unreviewed=live.unreviewed,
        description=_describe(live),
        evidence=tuple(live.evidence),
        external_ids=tuple(live.external_ids),
        models=tuple(live.models),
        exercise=live.exercise,
    )
    file, event = workflow.open_file(ticket, turn.county, SYSTEM)
    turn.state.tickets[ticket.id] = file
    live.ticket_id = ticket.id
    _keep(file, turn, "opened", event)
    turn.count("tickets_opened")
    if not is_located(live.place):
        step(file, TicketState.UNLOCATED, turn)
    return file


def reflect(live: LiveIncident, turn: Turn, by: Principal = SYSTEM) -> None:
    """Bring an open ticket up to date with its incident; a raised level or class is an event of its chain."""
    file = turn.state.tickets.get(live.ticket_id) if live.ticket_id is not None else None
    rule = turn.rule_of(live.known_as)
    if file is None or rule is None or file.ticket.state in CLOSED_STATES:
        return
    old = file.ticket
    new = msgspec.structs.replace(
        old,
        type=live.known_as.value,
        code=live.code,
        title=live.title,
        level=max(old.level, live.level),
        sla=more_urgent(old.sla, live.sla),
        suspected=live.suspected,
        unreviewed=live.unreviewed,
        external_ids=tuple(live.external_ids),
        models=tuple(live.models),
    )
    if new != old or len(old.evidence) < limits.EVIDENCE_MAX:
        # Further pictures of the same thing are no news to those who work on it.
        new = msgspec.structs.replace(new, evidence=tuple(live.evidence))
    if new.code != old.code:
        lead, co = _lead_after(old, rule)
        new = msgspec.structs.replace(new, lead=lead, co=co)
    if new == old:
        return
    raised = (new.level, new.sla) != (old.level, old.sla)
    file.ticket = msgspec.structs.replace(new, description=_describe(live)) if raised else new
    events: tuple[TicketEvent, ...] = ()
    if raised:
        why = f"{old.level.name}/{old.sla.value} -> {new.level.name}/{new.sla.value}"
        events = (workflow.note_level(file, Ask(by=SYSTEM, at=turn.now, reason=why)),)
    _keep(file, turn, "updated", *events)
    if live.state is IncidentState.CONFIRMED:
        go_on(file, turn, by)


def go_on(file: TicketFile, turn: Turn, by: Principal = SYSTEM) -> None:
    """After A3: accepted (T03), and registered (T06) without a person for P1 and P2."""
    if file.ticket.state is TicketState.REPORTED:
        step(file, TicketState.ACCEPTED, turn, Ask(by=by, at=turn.now))
    if file.ticket.state is TicketState.ACCEPTED and file.ticket.sla in URGENT:
        step(file, TicketState.REGISTERED, turn)


def step(file: TicketFile, to: TicketState, turn: Turn, ask: Ask | None = None) -> bool:
    """Move a ticket and publish it. False when a first person asked to cancel P1 and a second one must follow.

    Raises CommandRefused when the table or a guard forbids the move.
    """
    event = workflow.move(file, to, ask or Ask(by=SYSTEM, at=turn.now))
    if event is None:
        return False
    closed = to in CLOSED_STATES
    if closed:
        _shelve(file, turn)
    else:
        turn.state.closed.pop(file.ticket.id, None)
    _keep(file, turn, "closed" if closed else "updated", event)
    return True


def _keep(file: TicketFile, turn: Turn, cause: TicketCause, *events: TicketEvent) -> None:
    """The next version, once per step, and the news of it."""
    ticket = file.ticket
    version = ticket.version if turn.is_ticket_touched(ticket.id) else ticket.version + 1
    file.ticket = msgspec.structs.replace(ticket, version=version, updated_at=turn.now)
    turn.touch_ticket(file, cause, *events)


def _shelve(file: TicketFile, turn: Turn) -> None:
    """Keep a closed ticket for reopening, within the limit; the one closed first is forgotten."""
    closed = turn.state.closed
    closed[file.ticket.id] = turn.now
    if len(closed) > limits.CLOSED_TICKETS_MAX:
        oldest = next(id_ for id_ in closed if not turn.is_ticket_touched(id_))
        del closed[oldest]
        turn.state.tickets.pop(oldest, None)


def _lead_after(old: Ticket, rule: Rule) -> tuple[str, tuple[str, ...]]:
    """Who leads when a ticket has become something worse: the table's unit; after dispatch those who work on it
    keep the lead and the table's units come to help."""
    if old.state in _BEFORE_DISPATCH:
        return rule.of.lead, rule.of.co
    helpers = (*old.co, *(unit for unit in (rule.of.lead, *rule.of.co) if unit not in old.co and unit != old.lead))
    return old.lead, helpers


def _next_case_number(state: EngineState, county: str, exercise: bool, now: Instant) -> str:
    """County + date + 5-digit sequence of the day; exercises have their own sequence and the prefix 演练 `YL`."""
    day = beijing_date(now).replace("-", "")
    if day != state.case_day:
        state.case_day, state.case_count, state.exercise_case_count = day, 0, 0
    if exercise:
        state.exercise_case_count += 1
        return f"YL{county}{day}{state.exercise_case_count:05d}"
    state.case_count += 1
    return f"{county}{day}{state.case_count:05d}"


def _describe(live: LiveIncident) -> str:
    """What is known, in one sentence: the latest decision that says more than that the ticket opened, or that a
    confirmed fire is red."""
    for decision in reversed(live.decisions):
        follows = live.confirmed_fire and decision.action is Action.RAISE
        if decision.reason is not Reason.TICKET_OPENED and not follows:
            return decision.text
    return live.title
