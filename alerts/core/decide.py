"""Decide: may a ticket open, may the belief go on? Every answer carries its action, reason and sentence."""

from __future__ import annotations

import msgspec

from alerts.core import words
from alerts.core.policy import Rule
from alerts.core.state import LiveIncident
from alerts.tickets.routing import route
from contracts.incident import Action, IncidentState, Level, Reason
from contracts.instant import SECOND, Instant, to_rfc3339
from contracts.policy import Mute


class Verdict(msgspec.Struct, frozen=True):
    """What to do, why, and the sentence for people."""

    action: Action
    reason: Reason
    text: str


def about_ticket(live: LiveIncident, rule: Rule, mute: Mute | None) -> Verdict:
    """Whether a ticket opens now (`Action.OPEN`)."""
    if live.operations:
        return Verdict(Action.NONE, Reason.OPERATIONS_QUEUE, "设备故障进入运维队列, 不派发网格工单")
    if mute is not None:
        until = to_rfc3339(mute.expires_at)[:16]
        return Verdict(Action.MUTE, Reason.MUTED, f"静默至 {until} ({mute.owner}: {mute.reason}), 不开工单")
    if live.state is IncidentState.CONFIRMED:
        said = "无人研判, 自动转派, 仍为疑似" if live.unreviewed else "已确认"
        return Verdict(Action.OPEN, Reason.TICKET_OPENED, f"{said}, 开立工单")
    path = route(rule.of, live.level)
    if path.auto:
        text = f"{words.LEVELS[live.level]}级自动开立工单, 标记疑似, 待人工研判"
        return Verdict(Action.OPEN, Reason.TICKET_OPENED, text)
    if rule.of.auto:
        low = words.LEVELS[rule.of.auto_from]
        text = f"{words.LEVELS[live.level]}级低于自动开单的{low}级, 由人工研判决定"
        return Verdict(Action.NONE, Reason.BELOW_THRESHOLD, text)
    return Verdict(Action.NONE, Reason.WAITS_FOR_PERSON, "该类型不自动开单, 由人工研判决定")


def about_level(before: Level, after: Level, cause: str) -> Verdict:
    """The sentence for a level that went up or down on the same incident."""
    change = f"{words.LEVELS[before]} → {words.LEVELS[after]}: {cause}"
    if after > before:
        return Verdict(Action.RAISE, Reason.ESCALATED, f"升级 {change}")
    return Verdict(Action.LOWER, Reason.LEVEL_LOWERED, f"降级 {change}")


def about_end(live: LiveIncident, reason: Reason, cause: str) -> Verdict:
    """A7 after confirmation, A6 when nobody confirmed it; the ticket stays open either way."""
    if live.state is IncidentState.PENDING_REVIEW:
        return Verdict(Action.EXPIRE, reason, f"{cause}; 无人研判, 按过期计入漏研判, 工单不自动关闭")
    return Verdict(Action.CLEAR, reason, f"{cause}; 工单不自动关闭")


def about_review(live: LiveIncident, rule: Rule, now: Instant) -> Verdict:
    """What happens when the time for review is over: fire and gas go on by themselves, others wait and remind."""
    waited = (now - live.opened_at) / SECOND
    demanded = rule.of.review_s
    if rule.of.fail_safe:
        text = f"{waited:.0f} 秒无人研判, 自动转派, 仍为疑似 (时限 {demanded:g} 秒)"
        return Verdict(Action.CONFIRM, Reason.REVIEW_TIMEOUT_FAIL_SAFE, text)
    return Verdict(Action.NONE, Reason.NOBODY_ACTED, f"待研判已 {waited:.0f} 秒 (时限 {demanded:g} 秒), 请处理")
