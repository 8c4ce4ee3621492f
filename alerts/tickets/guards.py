"""Guards: what must hold before a ticket may move; each says in a sentence what is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from alerts.tickets.ticket_file import Ask, TicketFile
from contracts.errors import RefusedInput
from contracts.ids import parse_grid_code
from contracts.instant import DAY
from contracts.ticket import SlaClass

REOPEN_WITHIN_NS: Final = 30 * DAY

Guard = Callable[[TicketFile, Ask], str | None]
"""None when the move may go on, else what is missing, as a sentence."""


def has_reason(_file: TicketFile, ask: Ask) -> str | None:
    """A reason is given."""
    return None if ask.reason.strip() else "需要填写理由 (a reason is required)"


def has_note(what: str) -> Guard:
    """The note holds what the transition needs."""

    def guard(_file: TicketFile, ask: Ask) -> str | None:
        return None if ask.note.strip() else f"需要填写{what} (the note is required)"

    return guard


def has_grid_code(file: TicketFile, ask: Ask) -> str | None:
    """The note is a grid code of this county."""
    try:
        parse_grid_code(ask.note.strip(), frozenset({file.county}))
    except RefusedInput as error:
        return f"备注需为 15 位网格编码: {error}"
    return None


def not_handler(file: TicketFile, ask: Ask) -> str | None:
    """Who checks is not who handled."""
    if file.handler and file.handler == ask.by.id:
        return "处置人不能核查自己的工单 (the handler may not check this ticket)"
    return None


def never_returned(file: TicketFile, _ask: Ask) -> str | None:
    """Dispatch by the table, before any return."""
    return "已退单一次, 只能由指挥中心指定派单 (returned once: designate)" if file.returns else None


def returned(file: TicketFile, _ask: Ask) -> str | None:
    """Designation, after a return."""
    return None if file.returns else "未退单, 直接派单即可 (not returned: dispatch)"


def may_return(file: TicketFile, _ask: Ask) -> str | None:
    """Returned once at most, never after designation."""
    if file.designated:
        return "指定派单不可退单 (a designated ticket cannot be returned)"
    return "只能退单一次 (a ticket is returned once at most)" if file.returns else None


def may_suspend(file: TicketFile, _ask: Ask) -> str | None:
    """Twice at most, never P1."""
    if file.ticket.sla is SlaClass.P1:
        return "特急工单不可挂起 (P1 is never suspended)"
    return "最多挂起两次 (suspended twice already)" if file.suspensions >= 2 else None


def first_dissatisfaction(file: TicketFile, _ask: Ask) -> str | None:
    """A second handling happens once."""
    return "二次办理只有一次, 转督办 (second handling happened already)" if file.second_handlings else None


def within_reopening(file: TicketFile, ask: Ask) -> str | None:
    """Closed for at most 30 days."""
    closed = file.ticket.closed_at
    if closed is not None and ask.at - closed <= REOPEN_WITHIN_NS:
        return None
    return "结案超过 30 天, 不可重开 (closed for more than 30 days)"


def still_suspected(file: TicketFile, _ask: Ask) -> str | None:
    """The machine alone has moved the ticket; no person judged it."""
    if file.ticket.unreviewed and file.ticket.suspected:
        return None
    return "已研判的工单立案后不可不予立案, 请作废 (reviewed and registered: cancel it instead)"


def has_lead(file: TicketFile, _ask: Ask) -> str | None:
    """A lead unit is known."""
    return None if file.ticket.lead else "没有主办单位 (no lead unit)"
