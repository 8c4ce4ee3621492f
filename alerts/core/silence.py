"""Silence: mutes given and ended by people; whether one hides an incident is told by suppress."""

from __future__ import annotations

from typing import Final

from alerts.core import lifecycle, limits, suppress
from alerts.core.effects import MuteChanged
from alerts.core.turn import Turn
from contracts.command import Command, CommandAnswer, MuteMatcher
from contracts.errors import CommandRefused
from contracts.incident import Action, Reason
from contracts.instant import DAY
from contracts.policy import Belief, Mute
from contracts.principal import Role

_MAY_MUTE: Final = frozenset({Role.OPERATOR, Role.SHIFT_LEAD, Role.ENGINEER})


def mute(command: Command, turn: Turn) -> CommandAnswer:
    """Silence with matcher, reason and expiry; narrow and short where it touches fire, gas and sensor alarms."""
    require_role(command, _MAY_MUTE)
    matcher, until = command.matcher, command.until
    if matcher is None or not any(
        (matcher.type, matcher.source_id, matcher.grid_prefix, matcher.zone_id),
    ):
        raise CommandRefused("静默需要至少一个条件 (a mute needs a matcher)", reason="matcher_required")
    _require_area(command, matcher)
    if not command.reason.strip():
        raise CommandRefused("静默需要填写原因 (a reason is required)", reason="reason_required")
    if until is None or until <= turn.now or until - turn.now > limits.MUTE_MAX_NS:
        days = limits.MUTE_MAX_NS // DAY
        raise CommandRefused(f"静默截止时间须在 {days} 天以内 (expiry within {days} days)", reason="expiry")
    if _names_alarm(matcher.type, turn):
        if not suppress.is_narrow(matcher):
            raise CommandRefused(
                "火警、燃气和传感器报警只能按单个来源或区域静默 (name one source or zone)", reason="too_wide"
            )
        if until - turn.now > limits.MUTE_ALARM_MAX_NS:
            raise CommandRefused("火警、燃气和传感器报警最多静默 24 小时 (at most 24 hours)", reason="expiry")
    if len(turn.state.mutes) >= limits.MUTES_MAX:
        raise CommandRefused("静默数量已达上限 (too many mutes)", reason="limit_reached")
    given = Mute(
        id=command.id,
        matcher=matcher,
        owner=command.principal.id,
        reason=command.reason,
        created_at=turn.now,
        expires_at=until,
    )
    turn.state.mutes[given.id] = given
    turn.wake_at(until, "mute", given.id)
    turn.effects.append(MuteChanged(given, removed=False))
    return CommandAnswer(command_id=command.id, accepted=True, message="已静默 (muted)", target_id=given.id)


def unmute(command: Command, turn: Turn) -> CommandAnswer:
    """A person ends a mute before its time."""
    require_role(command, _MAY_MUTE)
    given = turn.state.mutes.get(command.target_id)
    if given is None:
        raise CommandRefused(f"没有静默 {command.target_id} (no such mute)", reason="unknown_target")
    _require_area(command, given.matcher)
    end(command.target_id, turn)
    return CommandAnswer(
        command_id=command.id, accepted=True, message="已取消静默 (unmuted)", target_id=command.target_id
    )


def end(mute_id: str, turn: Turn) -> None:
    """A mute is over: what it hid and still lasts may speak now."""
    ended = turn.state.mutes.pop(mute_id, None)
    if ended is None:
        return
    turn.effects.append(MuteChanged(ended, removed=True))
    for live in list(turn.state.incidents.values()):
        if live.muted_by == mute_id:
            live.muted_by = None
            turn.decide(live, Action.UPDATE, Reason.MUTE_ENDED, f"静默已结束 ({ended.owner}: {ended.reason})")
            lifecycle.consider_ticket(live, turn)


def require_role(command: Command, roles: frozenset[Role]) -> None:
    """Raises CommandRefused (`role`) when the principal has none of the roles."""
    role = command.principal.role
    if role not in roles:
        who = ", ".join(sorted(role.value for role in roles))
        raise CommandRefused(f"角色 {role.value} 无权操作 (needs one of {who})", reason="role")


def _require_area(command: Command, matcher: MuteMatcher) -> None:
    """Who answers for a part of the county silences that part alone."""
    prefix = command.principal.grid_prefix
    if prefix and not (matcher.grid_prefix or "").startswith(prefix):
        raise CommandRefused(
            f"静默须以辖区 {prefix} 的网格前缀限定 (limit the mute to your area by grid_prefix)", reason="area"
        )


def _names_alarm(type_: str | None, turn: Turn) -> bool:
    """Whether a mute names a type that acts on arrival. One without a type never silences those."""
    return any(rule.type == type_ and rule.belief is Belief.ARRIVAL for rule in turn.rules.policy.rules)
