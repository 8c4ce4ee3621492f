"""TicketFile: a ticket with what its guards must remember, and Ask: who wants a move."""

from __future__ import annotations

from typing import Final

import msgspec

from alerts.tickets import chain
from contracts.instant import Instant
from contracts.principal import Principal
from contracts.ticket import Ticket, TicketState

S = TicketState

CLOSED_STATES: Final = frozenset({S.CLOSED, S.REJECTED, S.CANCELLED, S.MERGED, S.TRANSFERRED})
"""No work is left; only 90 can be reopened."""

OPEN_STATES: Final = frozenset(TicketState) - CLOSED_STATES

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
