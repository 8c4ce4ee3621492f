"""Weigh: crowd and traffic samples, in order of event time, against thresholds and holds.

Each source and zone is a series with its own holds; series that meet in space become one incident, whose level
is the worst of theirs. An incident ends when every series behind it has been quiet for the clear hold.
"""

from __future__ import annotations

from alerts.core import correlate, hold, lifecycle, limits, words
from alerts.core.decide import Verdict, about_end
from alerts.core.measure import measure
from alerts.core.policy import Rule, told
from alerts.core.state import LiveIncident, Series
from alerts.core.turn import Turn
from contracts.incident import Action, IncidentState, Level, Reason
from contracts.instant import SECOND, Instant
from contracts.observation import Observation, Phase


def series_key(observation: Observation) -> str:
    """One source, one zone, one type; an exercise is a series of its own."""
    mark = "!" if observation.exercise else ""
    return f"{observation.source_id}|{observation.place.zone_id or ''}|{observation.type.value}{mark}"


def weigh(observation: Observation, rule: Rule, turn: Turn) -> None:
    """Take one released sample in: the series judges it, its incident follows."""
    series = _series(observation, turn)
    live = turn.state.incidents.get(series.incident_id) if series.incident_id is not None else None
    if observation.phase is Phase.UNKNOWN:
        series.last_time = max(series.last_time, observation.event_time)
        hold.interrupt(series, observation.event_time)
        _count_candidate(series, True, turn)
        if live is not None:
            lifecycle.doubt(live, f"来源 {words.source(observation)} 暂时无法判断", turn)
        return
    if observation.phase is Phase.CLEAR:
        _ended_said(series, observation, rule, turn)
        return
    measured = measure(observation, rule)
    if isinstance(measured, Verdict):
        return
    was_cold = hold.is_cold(series)
    hold.weigh(series, rule, observation.event_time, measured, observation.id)
    if was_cold and hold.is_cold(series):
        return
    series.regular = observation.phase is Phase.SAMPLE
    series.ended_said_at = 0
    series.heard_at = turn.now
    # A blindness that far ahead was told before the clocks were set back.
    if not 0 <= series.broken_at - observation.event_time <= turn.rules.late_max_ns:
        series.unknown = False
    if was_cold:
        turn.count("candidates")
    if series.level is Level.NONE:
        series.quiet_level = Level.NONE
    if live is not None:
        _follow(live, series, observation, rule, turn)
    elif series.level > series.quiet_level:
        _speak(series, observation, rule, turn)
    else:
        _count_candidate(series, not was_cold, turn)


def serve_ended(key: str, turn: Turn) -> None:
    """The clear hold after a source's own "it ended" may be over; then nothing was seen since."""
    series = turn.state.series.get(key)
    rule = _rule_of(series, turn) if series is not None else None
    if series is None or rule is None or not series.ended_said_at:
        return
    if turn.now < series.ended_said_at + rule.clear_hold_ns:
        return
    series.ended_said_at = 0
    series.quiet_level = Level.NONE
    hold.end(series, rule)
    live = turn.state.incidents.get(series.incident_id) if series.incident_id is not None else None
    if live is not None:
        held = words.span(rule.clear_hold_ns)
        _settle(live, rule, f"来源 {series.source_id} 报告结束, {held}内未再出现", Reason.RESET_BY_SOURCE, turn)


def watch(live: LiveIncident, turn: Turn) -> None:
    """A source that sends samples and has fallen silent is late: its counts are unknown, not zero."""
    rule = turn.rule_of(live.type)
    if not live.is_open or rule is None:
        return
    for key in live.series:
        series = turn.state.series[key]
        silent_ns = turn.now - series.heard_at
        if series.regular and not series.unknown and silent_ns > rule.gap_max_ns:
            series.unknown = True
            lifecycle.doubt(live, f"来源 {series.source_id} 已 {words.span(silent_ns)}没有新样本", turn)
    turn.wake_at(turn.now + max(rule.gap_max_ns, SECOND), "watch", live.id)


def detach(live: LiveIncident, turn: Turn, *, quiet: bool) -> None:
    """The series go on without the incident. `quiet`: a person judged it; only something worse speaks again."""
    for key in live.series:
        series = turn.state.series.get(key)
        if series is not None:
            series.incident_id = None
            series.quiet_level = series.level if quiet else Level.NONE
    live.series.clear()


def _rule_of(series: Series, turn: Turn) -> Rule | None:
    """The rule of the series' zone kind."""
    return turn.rules.of_kind(series.type, series.zone_kind)


def _series(observation: Observation, turn: Turn) -> Series:
    key = series_key(observation)
    series = turn.state.series.get(key)
    if series is None:
        series = Series(
            key, observation.source_id, observation.type, observation.exercise, told(observation, "zone_kind")
        )
        _make_room(turn)
        turn.state.series[key] = series
        memory = turn.source(observation.source_id, observation.source_kind)
        if memory is not None:
            memory.series.append(key)
            memory.place = memory.place or observation.place
    if observation.zone_version > series.zone_version:
        # The polygon or its area changed: what was held was held for another zone.
        if series.zone_version and not hold.is_cold(series):
            series.broken_at = observation.event_time
        series.zone_version = observation.zone_version
    return series


def _make_room(turn: Turn) -> None:
    """Keep within the limit: the oldest series without an incident is forgotten."""
    table = turn.state.series
    if len(table) < limits.SERIES_MAX:
        return
    key = next((key for key, series in table.items() if series.incident_id is None), None)
    if key is not None:
        memory = turn.state.sources.get(table[key].source_id)
        if memory is not None and key in memory.series:
            memory.series.remove(key)
        del table[key]
        turn.count("series_forgotten")


def _count_candidate(series: Series, was_held: bool, turn: Turn) -> None:
    """A candidate (A1) that ended before its hold was met is dropped, counted."""
    if was_held and hold.is_cold(series):
        turn.count("candidates_dropped")


def _ended_said(series: Series, observation: Observation, rule: Rule, turn: Turn) -> None:
    """The source says that it ended: a candidate goes at once, an incident after the clear hold."""
    at = observation.event_time
    series.last_time = max(series.last_time, at)
    if hold.is_cold(series):
        return
    series.above_n = [0] * len(series.above_n)
    if series.level is Level.NONE:
        series.first_id, series.first_time = "", 0
        turn.count("candidates_dropped")
        return
    series.ended_said_at = turn.now
    turn.wake_at(turn.now + rule.clear_hold_ns, "ended", series.key)


def _speak(series: Series, observation: Observation, rule: Rule, turn: Turn) -> None:
    """The hold is met and no incident speaks for the series yet: join one near by, or open one."""
    live = correlate.find(observation, rule, turn)
    if live is not None and live.state is IncidentState.FALSE_ALARM:
        live = None
    text = _hold_text(series, rule, observation)
    if series.quiet_level is not Level.NONE:
        # What began before a person judged it has had its incident.
        series.first_id, series.first_time = observation.id, observation.event_time
        series.quiet_level = Level.NONE
    if live is None:
        if turn.state.open_total >= turn.rules.policy.open_incidents_max:
            limit = turn.rules.policy.open_incidents_max
            said = f"未结事件已达上限 {limit}, 采样类事件暂不新开"
            turn.refuse(observation.id, observation.source_id, Reason.LIMIT_REACHED, said)
            return
        live = _open(series, observation, rule, text, turn)
        return
    _attach(live, series, observation, turn)
    if live.is_open:
        turn.decide(live, Action.UPDATE, Reason.SAME_INCIDENT, text, observation_id=observation.id)
    else:
        lifecycle.reopen(live, rule, text, turn, observation_id=observation.id)
        turn.wake_at(turn.now + rule.gap_max_ns, "watch", live.id)
    _settle(live, rule, text, Reason.QUIET_LONG_ENOUGH, turn)


def _open(series: Series, observation: Observation, rule: Rule, text: str, turn: Turn) -> LiveIncident:
    live = lifecycle.bear(
        turn,
        rule,
        series.level,
        observation.place,
        first_id=series.first_id,
        first_time=Instant(series.first_time),
        exercise=observation.exercise,
    )
    _attach(live, series, observation, turn)
    threshold = words.amount(rule.of.measure, rule.raise_at[0], observation.unit)
    began = f"首个样本达到阈值 {threshold}, 开始计时"
    turn.decide(
        live,
        Action.NONE,
        Reason.FIRST_EVIDENCE,
        began,
        observation_id=series.first_id,
        at=Instant(series.first_time),
    )
    turn.decide(live, Action.OPEN, Reason.HOLD_MET, text, observation_id=observation.id)
    lifecycle.enter_review(live, rule, turn)
    turn.wake_at(turn.now + rule.gap_max_ns + turn.rules.lateness_ns, "watch", live.id)
    return live


def _attach(live: LiveIncident, series: Series, observation: Observation, turn: Turn) -> None:
    series.incident_id = live.id
    if series.key not in live.series:
        live.series.append(series.key)
    _absorb_sample(live, observation, turn)


def _absorb_sample(live: LiveIncident, observation: Observation, turn: Turn) -> None:
    lifecycle.absorb(live, observation, turn)
    external_id = observation.external_id
    if external_id is not None and external_id not in live.external_ids[-limits.SAMPLES_TAIL_MAX :]:
        live.external_ids.append(external_id)
        if len(live.external_ids) > limits.ALARMS_PER_INCIDENT_MAX:
            del live.external_ids[0]
    live.name_sample(observation.id)


def _follow(live: LiveIncident, series: Series, observation: Observation, rule: Rule, turn: Turn) -> None:
    """A further sample of an incident's series."""
    _absorb_sample(live, observation, turn)
    if live.unknown and not any(turn.state.series[key].unknown for key in live.series):
        lifecycle.trust(live, turn)
    text = _hold_text(series, rule, observation)
    _settle(live, rule, text, Reason.QUIET_LONG_ENOUGH, turn, observation_id=observation.id)
    if turn.now - live.updated_at >= limits.SHOW_EVERY_NS:
        turn.touch(live)


def _settle(
    live: LiveIncident, rule: Rule, cause: str, reason: Reason, turn: Turn, *, observation_id: str | None = None
) -> None:
    """The incident's level is the worst of its series; with none left it ends."""
    level = max((turn.state.series[key].level for key in live.series), default=Level.NONE)
    if level is not Level.NONE:
        lifecycle.set_level(live, rule, level, cause, turn, observation_id=observation_id)
        return
    lifecycle.end(live, about_end(live, reason, cause), turn, observation_id=observation_id)
    detach(live, turn, quiet=False)


def _hold_text(series: Series, rule: Rule, observation: Observation) -> str:
    """What was measured and what was demanded, for the level that the series has now."""
    measured = words.quantity(rule.of.measure, series.measured, observation.unit)
    if series.level is Level.NONE:
        floor = words.amount(rule.of.measure, rule.clear_at[0], observation.unit)
        return f"{measured}, 低于解除阈值 {floor} 已 {words.span(rule.clear_hold_ns)}"
    index = rule.levels.index(series.level)
    threshold = words.amount(rule.of.measure, rule.raise_at[index], observation.unit)
    held = observation.event_time - series.above_since[index] if series.above_n[index] else 0
    text = f"{measured}, {words.LEVELS[series.level]}级阈值 {threshold}"
    if held:
        text += (
            f", 已持续 {words.span(held)} (要求 {words.span(rule.hold_ns[index])}, {series.above_n[index]} 个样本)"
        )
    return text if observation.count is None else f"{text}, 人数 {observation.count}"
