"""Admit: the door. An observation is refused with a reason, believed at once, or waits its turn in event time.

| fate | when |
|---|---|
| wrong_site, unknown_type, below_confidence | whatever else is true |
| too_late | it arrived more than `late_max_s` after it happened; or its series was judged past its time already |
| from_the_future | dated more than `future_max_s` ahead; an alarm is believed all the same, at its arrival |
| duplicate | its id was here before |
| uncalibrated, outdated_zone | a sample that cannot be compared |

Lateness is measured from event to arrival: what waited for alerts to come back is not late. An alarm that is
too late opens no ticket, but goes into the operations queue, so that a person sees it. Samples are released
in order of event time when `now` is `lateness_s` past them, so a source that falls silent holds nothing back. A
sample that lies more than `late_max_s` behind those judged was not late on arrival all the same: the clocks were
set back, and it is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush

import msgspec

from alerts.core import believe, fault, limits, weigh, words
from alerts.core.decide import Verdict
from alerts.core.measure import measure
from alerts.core.policy import Rule
from alerts.core.turn import Turn
from contracts.incident import Reason
from contracts.observation import Observation, Phase
from contracts.policy import Belief


def admit(observation: Observation, turn: Turn) -> None:
    """Decide the fate of one observation; alarms and device faults act before this returns."""
    rules = turn.rules
    if observation.site != turn.site:
        _refuse(observation, Reason.WRONG_SITE, f"站点 {observation.site} 不是本站 {turn.site}", turn)
        return
    rule = rules.of(observation)
    if rule is None:
        _refuse(
            observation, Reason.UNKNOWN_TYPE, f"没有适用于 {observation.type.value} 的规则 (区域类型不符)", turn
        )
        return
    # Written so that a confidence that is not a number is refused too.
    if not observation.confidence >= rule.of.confidence_min:
        text = f"置信度 {observation.confidence:.2f} 低于 {rule.of.confidence_min:.2f}"
        _refuse(observation, Reason.BELOW_CONFIDENCE, text, turn)
        return
    late_ns = observation.arrival_time - observation.event_time
    if late_ns > rules.late_max_ns:
        text = f"到达时已过 {words.span(late_ns)} (上限 {words.span(rules.late_max_ns)})"
        _refuse(observation, Reason.TOO_LATE, text, turn)
        if rule.of.belief is Belief.ARRIVAL and observation.phase is Phase.ACTIVE:
            _tell_late(observation, rule, late_ns, turn)
        return
    if rule.of.belief is Belief.SAMPLED:
        _buffer(observation, rule, turn)
    else:
        _act(observation, rule, turn)


def released(turn: Turn) -> Iterator[tuple[Observation, Rule]]:
    """Samples whose time has come, in order of event time and id."""
    buffer, incomplete = turn.state.buffer, turn.now - turn.rules.lateness_ns
    while buffer and (buffer[0][0] <= incomplete or len(buffer) > limits.BUFFER_MAX):
        at, id_, observation = heappop(buffer)
        if at > incomplete:
            turn.count("released_early")
        turn.buffered.discard(id_)
        rule = turn.rules.of(observation)
        if rule is not None:
            yield observation, rule
        if not turn.has_room():
            return


def _act(observation: Observation, rule: Rule, turn: Turn) -> None:
    """Alarms and faults: on arrival, once."""
    if observation.phase is Phase.SAMPLE:
        text = "报警类型只接受报警与复位, 不接受测量样本"
        _refuse(observation, Reason.BELOW_THRESHOLD, text, turn)
        return
    if _is_known(observation, turn):
        _refuse(observation, Reason.DUPLICATE, "重复上报", turn)
        return
    ahead_ns = observation.event_time - turn.now
    if ahead_ns > turn.rules.future_max_ns:
        if observation.phase is not Phase.ACTIVE:
            _refuse_future(observation, ahead_ns, turn)
            return
        turn.count("future_alarms_believed_at_arrival")
        observation = msgspec.structs.replace(observation, event_time=turn.now)
    _remember(observation, turn)
    if rule.of.belief is Belief.OPERATIONS:
        fault.observe(observation, rule, turn)
    else:
        believe.believe(observation, rule, turn)


def _is_known(observation: Observation, turn: Turn) -> bool:
    """Whether this very claim was taken within the day, or stands behind an open incident."""
    _forget_old(turn)
    return observation.id in turn.state.seen or believe.holds(observation, turn)


def _remember(observation: Observation, turn: Turn) -> None:
    seen = turn.state.seen
    seen[observation.id] = turn.now
    if len(seen) > limits.SEEN_MAX:
        del seen[next(iter(seen))]


def _forget_old(turn: Turn) -> None:
    """`seen` is in order of time, so only what goes is looked at."""
    seen, oldest = turn.state.seen, turn.now - limits.SEEN_NS
    while seen and seen[id_ := next(iter(seen))] <= oldest:
        del seen[id_]


def _tell_late(observation: Observation, rule: Rule, late_ns: int, turn: Turn) -> None:
    """An alarm that is too late to act on must be seen all the same; one that came in time before is no news."""
    if not _is_known(observation, turn):
        fault.tell_late(observation, rule, late_ns, turn)


def _buffer(observation: Observation, rule: Rule, turn: Turn) -> None:
    """Samples: checked, then kept in order until their time has come."""
    ahead_ns = observation.event_time - turn.now
    if ahead_ns > turn.rules.future_max_ns:
        _refuse_future(observation, ahead_ns, turn)
        return
    series = turn.state.series.get(weigh.series_key(observation))
    if observation.id in turn.buffered or (series is not None and observation.id in series.last_ids):
        _refuse(observation, Reason.DUPLICATE, "重复上报", turn)
        return
    if series is not None:
        if 0 < series.last_time - observation.event_time <= turn.rules.late_max_ns:
            behind = words.span(series.last_time - observation.event_time)
            _refuse(observation, Reason.TOO_LATE, f"比已判定的样本早 {behind}, 超出重排窗口", turn)
            return
        if 0 < observation.zone_version < series.zone_version:
            text = f"区域版本 {observation.zone_version} 已被 {series.zone_version} 取代"
            _refuse(observation, Reason.OUTDATED_ZONE, text, turn)
            return
    if observation.phase in (Phase.ACTIVE, Phase.SAMPLE):
        measured = measure(observation, rule)
        if isinstance(measured, Verdict):
            _refuse(observation, measured.reason, measured.text, turn)
            return
    turn.buffered.add(observation.id)
    heappush(turn.state.buffer, (observation.event_time, observation.id, observation))


def _refuse_future(observation: Observation, ahead_ns: int, turn: Turn) -> None:
    text = f"时间超前 {words.span(ahead_ns)} (上限 {words.span(turn.rules.future_max_ns)})"
    _refuse(observation, Reason.FROM_THE_FUTURE, text, turn)


def _refuse(observation: Observation, reason: Reason, text: str, turn: Turn) -> None:
    turn.refuse(observation.id, observation.source_id, reason, text)
