"""The life cycle of a ticket as a table: T01 to T22 with their roles and guards.

States and transitions are those of the county practice (数字城管 seven stages, 12345 rules); every pair of
states is defined: what the table does not hold is refused with the list of what is allowed. Each move appends
one event to a chain of SHA-256 hashes. T23 (escalation by timers) and T24 (side records) change no state.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final

import msgspec

from alerts.tickets import chain
from contracts.errors import CommandRefused, RefusedInput
from contracts.ids import parse_grid_code
from contracts.instant import DAY, Instant
from contracts.principal import Principal, Role
from contracts.ticket import SlaClass, Ticket, TicketEvent, TicketState

S = TicketState

CLOSED_STATES: Final = frozenset({S.CLOSED, S.REJECTED, S.CANCELLED, S.MERGED, S.TRANSFERRED})
"""No work is left; only 90 can be reopened."""

OPEN_STATES: Final = frozenset(TicketState) - CLOSED_STATES

REOPEN_WITHIN_NS: Final = 30 * DAY

NAMES_ZH: Final = {
    S.REPORTED: "待受理",
    S.UNLOCATED: "待定位",
    S.ACCEPTED: "待立案",
    S.REGISTERED: "待派遣",
    S.DISPATCHED: "待接单",
    S.WHISTLED: "吹哨召集",
    S.IN_PROGRESS: "处置中",
    S.SUSPENDED: "挂起",
    S.RESOLVED: "待核查",
    S.VERIFIED: "待评价",
    S.CLOSED: "已结案",
    S.REJECTED: "不予立案",
    S.CANCELLED: "作废",
    S.MERGED: "已并案",
    S.TRANSFERRED: "已移交",
}


class TicketFile(msgspec.Struct, kw_only=True):
    """A ticket with what its guards must remember: the end of its chain, who handled it, what happened once.

    `next_seq` is the number of the next event. `cancel_asked_by` is the first of the two persons who must ask
    to cancel a P1 ticket.
    """

    ticket: Ticket
    county: str
    next_seq: int = 1
    last_hash: str = chain.ROOT
    handler: str = ""
    returns: int = 0
    designated: bool = False
    suspensions: int = 0
    reworks: int = 0
    second_handlings: int = 0
    reopens: int = 0
    cancel_asked_by: str = ""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants a move, when and why. `note` carries what the transition needs: the grid code, the proof, the
    units, the conclusion, the parent ticket or the receipt number."""

    by: Principal
    at: Instant
    reason: str = ""
    note: str = ""


Guard = Callable[[TicketFile, Ask], str | None]
"""None when the move may go on, else what is missing, as a sentence."""


def _reason(_file: TicketFile, ask: Ask) -> str | None:
    return None if ask.reason.strip() else "需要填写理由 (a reason is required)"


def _note(what: str) -> Guard:
    def guard(_file: TicketFile, ask: Ask) -> str | None:
        return None if ask.note.strip() else f"需要填写{what} (the note is required)"

    return guard


def _grid_code(file: TicketFile, ask: Ask) -> str | None:
    try:
        parse_grid_code(ask.note.strip(), frozenset({file.county}))
    except RefusedInput as error:
        return f"备注需为 15 位网格编码: {error}"
    return None


def _not_handler(file: TicketFile, ask: Ask) -> str | None:
    if file.handler and file.handler == ask.by.id:
        return "处置人不能核查自己的工单 (the handler may not check this ticket)"
    return None


def _never_returned(file: TicketFile, _ask: Ask) -> str | None:
    return "已退单一次, 只能由指挥中心指定派单 (returned once: designate)" if file.returns else None


def _returned(file: TicketFile, _ask: Ask) -> str | None:
    return None if file.returns else "未退单, 直接派单即可 (not returned: dispatch)"


def _may_return(file: TicketFile, _ask: Ask) -> str | None:
    if file.designated:
        return "指定派单不可退单 (a designated ticket cannot be returned)"
    return "只能退单一次 (a ticket is returned once at most)" if file.returns else None


def _may_suspend(file: TicketFile, _ask: Ask) -> str | None:
    if file.ticket.sla is SlaClass.P1:
        return "特急工单不可挂起 (P1 is never suspended)"
    return "最多挂起两次 (suspended twice already)" if file.suspensions >= 2 else None


def _first_dissatisfaction(file: TicketFile, _ask: Ask) -> str | None:
    return "二次办理只有一次, 转督办 (second handling happened already)" if file.second_handlings else None


def _within_reopening(file: TicketFile, ask: Ask) -> str | None:
    closed = file.ticket.closed_at
    if closed is not None and ask.at - closed <= REOPEN_WITHIN_NS:
        return None
    return "结案超过 30 天, 不可重开 (closed for more than 30 days)"


def _still_suspected(file: TicketFile, _ask: Ask) -> str | None:
    if file.ticket.unreviewed and file.ticket.suspected:
        return None
    return "已研判的工单立案后不可不予立案, 请作废 (reviewed and registered: cancel it instead)"


def _lead(file: TicketFile, _ask: Ask) -> str | None:
    return None if file.ticket.lead else "没有主办单位 (no lead unit)"


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table. `by_system`: the product may take it without a person."""

    number: str
    words: str
    source: TicketState
    target: TicketState
    roles: frozenset[Role]
    guards: tuple[Guard, ...] = ()
    by_system: bool = False


class _Row(enum.Enum):
    """Groups of roles; a county's profile maps its own words to these."""

    CENTRE = frozenset({Role.OPERATOR, Role.SHIFT_LEAD})
    LEAD = frozenset({Role.SHIFT_LEAD})
    ASSIGNEE = frozenset({Role.GRID_WORKER, Role.DEPARTMENT})
    WHISTLERS = frozenset({Role.OPERATOR, Role.SHIFT_LEAD, Role.GRID_WORKER, Role.DEPARTMENT})


def _row(
    number: str,
    words: str,
    sources: TicketState | frozenset[TicketState] | tuple[TicketState, ...],
    target: TicketState,
    roles: _Row,
    *guards: Guard,
    by_system: bool = False,
) -> list[Transition]:
    froms = (sources,) if isinstance(sources, TicketState) else sorted(sources)
    return [
        Transition(
            number=number,
            words=words,
            source=source,
            target=target,
            roles=roles.value,
            guards=guards,
            by_system=by_system,
        )
        for source in froms
    ]


TABLE: Final[tuple[Transition, ...]] = (
    *_row("T02", "待定位", S.REPORTED, S.UNLOCATED, _Row.CENTRE, by_system=True),
    *_row("T02", "定位", S.UNLOCATED, S.REPORTED, _Row.CENTRE, _grid_code),
    *_row("T03", "受理", S.REPORTED, S.ACCEPTED, _Row.CENTRE, by_system=True),
    # A false alarm is rejected by the person who reviews it, wherever the machine alone has moved the ticket.
    *_row("T04", "不予立案", (S.REPORTED, S.UNLOCATED, S.ACCEPTED), S.REJECTED, _Row.CENTRE, _reason),
    *_row("T04", "不予立案", S.REGISTERED, S.REJECTED, _Row.CENTRE, _reason, _still_suspected),
    *_row(
        "T05",
        "并案",
        (S.REPORTED, S.ACCEPTED, S.REGISTERED),
        S.MERGED,
        _Row.WHISTLERS,
        _note("主案编号"),
        by_system=True,
    ),
    *_row("T06", "立案", S.ACCEPTED, S.REGISTERED, _Row.LEAD, by_system=True),
    *_row("T07", "派单", S.REGISTERED, S.DISPATCHED, _Row.CENTRE, _lead, _never_returned, by_system=True),
    *_row("T08", "接单", S.DISPATCHED, S.IN_PROGRESS, _Row.ASSIGNEE),
    *_row("T09", "退单", S.DISPATCHED, S.REGISTERED, _Row.ASSIGNEE, _reason, _may_return),
    *_row("T10", "指定派单", S.REGISTERED, S.DISPATCHED, _Row.LEAD, _lead, _returned),
    *_row("T11", "吹哨", (S.REGISTERED, S.IN_PROGRESS), S.WHISTLED, _Row.WHISTLERS, _note("召集单位")),
    *_row("T12", "会商结论", S.WHISTLED, S.IN_PROGRESS, _Row.WHISTLERS, _note("会商结论与主办单位")),
    *_row("T13", "挂起", S.IN_PROGRESS, S.SUSPENDED, _Row.LEAD, _reason, _may_suspend),
    *_row("T14", "恢复", S.SUSPENDED, S.IN_PROGRESS, _Row.LEAD, by_system=True),
    *_row("T15", "处置反馈", S.IN_PROGRESS, S.RESOLVED, _Row.ASSIGNEE, _note("处置情况")),
    *_row("T16", "核查不通过", S.RESOLVED, S.IN_PROGRESS, _Row.CENTRE, _not_handler, _reason),
    *_row("T17", "核查通过", S.RESOLVED, S.VERIFIED, _Row.CENTRE, _not_handler),
    *_row("T18", "评单", S.VERIFIED, S.CLOSED, _Row.CENTRE, by_system=True),
    *_row("T19", "二次办理", S.VERIFIED, S.IN_PROGRESS, _Row.CENTRE, _reason, _first_dissatisfaction),
    *_row("T20", "重开", S.CLOSED, S.IN_PROGRESS, _Row.LEAD, _reason, _within_reopening),
    *_row("T21", "移交", OPEN_STATES, S.TRANSFERRED, _Row.CENTRE, _note("回执号")),
    *_row("T22", "作废", OPEN_STATES, S.CANCELLED, _Row.LEAD, _reason),
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
        sorted({row.target.value for row in TABLE if row.source is state and _role_may(row, role)}),
    )


def _role_may(row: Transition, role: Role) -> bool:
    return role in row.roles or (row.by_system and role is Role.SYSTEM)


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
    rows = tuple(row for row in rows if _role_may(row, ask.by.role))
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
