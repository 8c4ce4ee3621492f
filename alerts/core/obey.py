"""Obey: what people ask. Each command is done once; asked again, it is answered the same.

An incident may be judged against its `expected_version`: refused when it changed materially since the asker
looked (state, level, ticket, owner), not when only its latest count did.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from alerts.core import casework, lifecycle, limits, silence, weigh
from alerts.core.decide import Verdict
from alerts.core.effects import Answered
from alerts.core.state import LiveIncident
from alerts.core.turn import Turn
from alerts.tickets.ticket_file import CLOSED_STATES, NAMES_ZH, Ask, TicketFile
from alerts.tickets.transitions import PAIRS, allowed
from contracts.command import FALSE_ALARM_REASONS, Command, CommandAnswer, CommandKind
from contracts.errors import CommandRefused
from contracts.incident import Action, IncidentState, Reason
from contracts.principal import Role
from contracts.ticket import TicketState

_CENTRE: Final = frozenset({Role.OPERATOR, Role.SHIFT_LEAD})
_OURSELVES: Final = frozenset({Role.SYSTEM})


def obey(command: Command, turn: Turn) -> None:
    """Do what is asked, or refuse it with a reason and what is allowed; the answer is an effect either way."""
    known = turn.state.answers.get(command.id)
    if known is None:
        known = _answer(command, turn)
        turn.state.answers[command.id] = known
        if len(turn.state.answers) > limits.ANSWERS_MAX:
            del turn.state.answers[next(iter(turn.state.answers))]
    else:
        turn.count("commands_repeated")
    turn.effects.append(Answered(known))


def _answer(command: Command, turn: Turn) -> CommandAnswer:
    try:
        if command.site != turn.site:
            raise CommandRefused(f"站点 {command.site} 不是本站 {turn.site} (wrong site)", reason="wrong_site")
        answer = _HANDLERS[command.kind](command, turn)
    except CommandRefused as refusal:
        turn.count(f"commands_refused:{refusal.reason}")
        return CommandAnswer(
            command_id=command.id,
            accepted=False,
            message=str(refusal),
            reason=refusal.reason,
            allowed=refusal.allowed,
            target_id=command.target_id,
            version=_version_of(command.target_id, turn),
        )
    turn.count(f"commands_done:{command.kind.value}")
    return answer


def _confirm(command: Command, turn: Turn) -> CommandAnswer:
    """研判属实: A3; a fire that a person confirms is a confirmed fire."""
    live = _incident(command, turn)
    if live.state is not IncidentState.PENDING_REVIEW and not (
        live.state is IncidentState.CONFIRMED and live.unreviewed
    ):
        raise CommandRefused(
            f"事件处于 {live.state.value}, 不待研判 (not waiting for review)",
            reason="illegal_move",
            allowed=_asks_allowed(live),
        )
    text = f"{command.principal.name} 研判属实 {command.note}".rstrip()
    lifecycle.confirm(live, Reason.CONFIRMED_BY_PERSON, text, turn, command.principal)
    return _done(command, live, "已确认 (confirmed)")


def _false_alarm(command: Command, turn: Turn) -> CommandAnswer:
    """误报: A4, and its ticket goes to 91, or to 92 when people work on it already."""
    live = _incident(command, turn)
    if not live.is_open:
        raise CommandRefused(
            f"事件处于 {live.state.value}, 已结束 (ended already)", reason="illegal_move", allowed=()
        )
    if not command.reason.strip():
        raise CommandRefused("误报需要填写原因 (a reason is required)", reason="reason_required")
    file = turn.state.tickets.get(live.ticket_id) if live.ticket_id is not None else None
    if file is not None and file.ticket.state not in CLOSED_STATES:
        ask = _ask(command, turn)
        rejectable = bool(PAIRS[file.ticket.state, TicketState.REJECTED])
        unheld = file.ticket.state is not TicketState.REGISTERED or live.unreviewed
        to = TicketState.REJECTED if rejectable and unheld else TicketState.CANCELLED
        if not casework.step(file, to, turn, ask):
            return _done(command, live, "特急工单作废需第二人确认 (a second person must ask too)")
    text = f"{command.principal.name} 判为误报: {_reason_zh(command)} {command.note}".rstrip()
    lifecycle.end(live, Verdict(Action.DROP, Reason.FALSE_ALARM_BY_PERSON, text), turn)
    weigh.detach(live, turn, quiet=True)
    return _done(command, live, "已判为误报 (false alarm)")


def _acknowledge(command: Command, turn: Turn) -> CommandAnswer:
    live = _incident(command, turn)
    if not live.is_open:
        raise CommandRefused(f"事件处于 {live.state.value}, 已结束 (ended already)", reason="illegal_move")
    if live.owner == command.principal.id:
        turn.touch(live)
    else:
        live.owner = command.principal.id
        text = f"{command.principal.name} 认领 {command.note}".rstrip()
        turn.decide(live, Action.UPDATE, Reason.CLAIMED_BY_PERSON, text)
    return _done(command, live, f"由 {command.principal.name} 认领 (acknowledged)")


def _ticket_move(command: Command, turn: Turn) -> CommandAnswer:
    """A row of the workflow's table; a ticket that ends takes its incident along."""
    file = turn.state.tickets.get(command.target_id)
    if file is None:
        raise CommandRefused(f"没有工单 {command.target_id} (no such ticket)", reason="unknown_target")
    _area(command, file.ticket.grid_code)
    if command.expected_version is not None and command.expected_version != file.ticket.version:
        raise CommandRefused(
            f"工单已被他人更新到第 {file.ticket.version} 版 (changed since you looked)",
            reason="version_conflict",
            allowed=allowed(file.ticket.state, command.principal.role),
        )
    try:
        to = TicketState(command.argument)
    except ValueError:
        raise CommandRefused(
            f"{command.argument!r} 不是工单状态 (not a state code)",
            reason="illegal_move",
            allowed=allowed(file.ticket.state, command.principal.role),
        ) from None
    moved = casework.step(file, to, turn, _ask(command, turn))
    if moved:
        _incident_follows(file, to, command, turn)
    message = f"工单转到 {to.value} {NAMES_ZH[to]}" if moved else "特急工单作废需第二人确认 (second person)"
    return CommandAnswer(
        command_id=command.id,
        accepted=True,
        message=message,
        target_id=file.ticket.id,
        version=file.ticket.version,
        allowed=allowed(file.ticket.state, command.principal.role),
    )


def _incident_follows(file: TicketFile, to: TicketState, command: Command, turn: Turn) -> None:
    """A person's word on the ticket is a word on what it is about."""
    live = turn.state.incidents.get(file.ticket.incident_id or "")
    if live is None or not live.is_open:
        return
    who = command.principal.name
    if to is TicketState.ACCEPTED and live.state is IncidentState.PENDING_REVIEW:
        lifecycle.confirm(live, Reason.CONFIRMED_BY_PERSON, f"{who} 受理工单", turn, command.principal)
    elif to is TicketState.REJECTED:
        text = f"{who} 不予立案: {command.reason}"
        lifecycle.end(live, Verdict(Action.DROP, Reason.FALSE_ALARM_BY_PERSON, text), turn)
        weigh.detach(live, turn, quiet=True)
    elif to in CLOSED_STATES:
        text = f"{who} 将工单转到 {to.value} {NAMES_ZH[to]}, 事件随之解除"
        lifecycle.end(live, Verdict(Action.CLEAR, Reason.CLEARED_BY_PERSON, text), turn)
        weigh.detach(live, turn, quiet=True)


def _not_ours(command: Command, _turn: Turn) -> CommandAnswer:
    """Deliveries live in the outbox, outside the engine."""
    raise CommandRefused(f"{command.kind.value} 不由事件引擎处理 (not the engine's)", reason="not_for_engine")


def _note(command: Command, turn: Turn) -> CommandAnswer:
    """The answer of a look, for people: no evidence. What a look sees comes as an Observation like any other."""
    silence.require_role(command, _OURSELVES)
    live = turn.state.incidents.get(command.target_id)
    if live is None:
        raise CommandRefused(f"没有未归档的事件 {command.target_id} (no such incident)", reason="unknown_target")
    turn.decide(live, Action.NONE, Reason.LOOKED_AT, command.note, material=False)
    return _done(command, live, "已记录 (noted)")


_HANDLERS: Final[dict[CommandKind, Callable[[Command, Turn], CommandAnswer]]] = {
    CommandKind.CONFIRM: _confirm,
    CommandKind.FALSE_ALARM: _false_alarm,
    CommandKind.ACKNOWLEDGE: _acknowledge,
    CommandKind.MUTE: silence.mute,
    CommandKind.UNMUTE: silence.unmute,
    CommandKind.TICKET_MOVE: _ticket_move,
    CommandKind.RESEND_DELIVERY: _not_ours,
    CommandKind.NOTE: _note,
}


def _incident(command: Command, turn: Turn) -> LiveIncident:
    """The incident that is meant, if this person may judge it as they saw it."""
    live = turn.state.incidents.get(command.target_id)
    if live is None:
        raise CommandRefused(f"没有未归档的事件 {command.target_id} (no such incident)", reason="unknown_target")
    silence.require_role(command, _CENTRE)
    _area(command, live.place.grid_code)
    expected = command.expected_version
    if expected is not None and not live.material_version <= expected <= live.version:
        raise CommandRefused(
            f"事件已变化到第 {live.version} 版 (changed since you looked)",
            reason="version_conflict",
            allowed=_asks_allowed(live),
        )
    return live


def _asks_allowed(live: LiveIncident) -> tuple[str, ...]:
    """The commands that make sense for an incident in its state."""
    if not live.is_open:
        return ()
    asks = [CommandKind.ACKNOWLEDGE, CommandKind.FALSE_ALARM]
    if live.state is IncidentState.PENDING_REVIEW or live.unreviewed:
        asks.append(CommandKind.CONFIRM)
    return tuple(sorted(ask.value for ask in asks))


def _area(command: Command, grid_code: str | None) -> None:
    """A principal acts inside its subtree of grids; what no grid holds yet belongs to the whole county."""
    prefix = command.principal.grid_prefix
    if prefix and not (grid_code or prefix).startswith(prefix):
        raise CommandRefused(f"网格 {grid_code} 不在您的辖区 {prefix} (outside your area)", reason="area")


def _ask(command: Command, turn: Turn) -> Ask:
    return Ask(by=command.principal, at=turn.now, reason=_reason_zh(command), note=command.note)


def _reason_zh(command: Command) -> str:
    """The reason for people: a false alarm's code in words, every other reason as it was written."""
    if command.kind is CommandKind.FALSE_ALARM and command.reason in FALSE_ALARM_REASONS:
        return FALSE_ALARM_REASONS[command.reason][0]
    return command.reason


def _done(command: Command, live: LiveIncident, message: str) -> CommandAnswer:
    return CommandAnswer(
        command_id=command.id,
        accepted=True,
        message=message,
        target_id=live.id,
        version=live.version,
        allowed=_asks_allowed(live),
    )


def _version_of(target_id: str, turn: Turn) -> int | None:
    live = turn.state.incidents.get(target_id)
    if live is not None:
        return live.version
    file = turn.state.tickets.get(target_id)
    return file.ticket.version if file is not None else None
