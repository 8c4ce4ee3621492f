"""Believe: sensor alarms, fire and gas act on arrival; no order of arrival lowers or closes them.

An alarm with a wrong clock is believed (at its arrival), a reset with a wrong clock is not. Only a reset of the
same sensor for the same thing, later than its latest alarm, takes an alarm back; a camera that no longer sees a
fire does not. Everything else that ends such an incident is a person.
"""

from __future__ import annotations

from alerts.core import correlate, lifecycle, limits, words
from alerts.core.decide import about_end
from alerts.core.policy import FIRE, Rule
from alerts.core.state import LiveIncident
from alerts.core.turn import Turn
from contracts.incident import Action, IncidentState, Level, Reason
from contracts.observation import Observation, Phase
from contracts.source import SourceKind


def believe(observation: Observation, rule: Rule, turn: Turn) -> None:
    """Act on a claim of an arrival type: an alarm, a reset, or a source that cannot tell."""
    if observation.phase is Phase.ACTIVE:
        live = correlate.find(observation, rule, turn)
        if live is None:
            _open(observation, rule, turn)
        else:
            _join(live, observation, rule, turn)
    elif observation.phase is Phase.CLEAR:
        _reset(observation, turn)
    else:
        for live in _incidents_of(observation, turn):
            if _key(observation) in live.alarms:
                lifecycle.doubt(live, f"来源 {words.source(observation)} 暂时无法判断", turn)


def holds(observation: Observation, turn: Turn) -> bool:
    """Whether this very alarm stands in an open incident, even if the memory of seen ids has forgotten it."""
    key = _key(observation)
    return observation.phase is Phase.ACTIVE and any(
        live.is_open and key in live.alarms and observation.id in live.alarm_ids
        for live in _incidents_of(observation, turn)
    )


def level_of(rule: Rule, value: float | None) -> Level:
    """The level of an alarm: the worst whose threshold its value reaches, at least the lowest of the rule."""
    level = rule.levels[0]
    if value is not None:
        for candidate, raise_at in zip(rule.levels, rule.raise_at, strict=True):
            if value >= raise_at:
                level = candidate
    return level


def _open(observation: Observation, rule: Rule, turn: Turn) -> None:
    live = lifecycle.bear(
        turn,
        rule,
        level_of(rule, observation.value),
        observation.place,
        first_id=observation.id,
        first_time=observation.event_time,
        exercise=observation.exercise,
    )
    _take(live, observation, turn)
    text = f"到达即报, {words.LEVELS[live.level]}级疑似: {words.claim(observation)}"
    turn.decide(live, Action.OPEN, Reason.ACTS_ON_ARRIVAL, text, observation_id=observation.id)
    lifecycle.enter_review(live, rule, turn)


def _join(live: LiveIncident, observation: Observation, rule: Rule, turn: Turn) -> None:
    other = correlate.confirms(observation, live, turn) if rule.family == FIRE else None
    taken_back = _is_taken_back(live, observation, turn)
    repeats = observation.external_id is None and _key(observation) in live.alarms
    _take(live, observation, turn)
    text = words.claim(observation)
    if live.state is IncidentState.FALSE_ALARM:
        quiet = f"误报判定后同一来源重复, 不再提示: {text}"
        turn.decide(live, Action.NONE, Reason.SAME_INCIDENT, quiet, observation_id=observation.id, material=False)
        return
    if not live.is_open and not taken_back:
        lifecycle.reopen(live, rule, text, turn, observation_id=observation.id)
    elif repeats:
        # The same claim goes on; it is evidence, not news.
        if turn.now - live.updated_at >= limits.SHOW_EVERY_NS:
            turn.touch(live)
    else:
        turn.decide(live, Action.UPDATE, Reason.SAME_INCIDENT, text, observation_id=observation.id, material=False)
    if not live.is_open:
        return
    level = level_of(rule, observation.value)
    if level > live.level:
        lifecycle.set_level(live, rule, level, text, turn, observation_id=observation.id)
    if other is not None and not live.confirmed_fire:
        window = words.span(turn.rules.confirm_window_ns)
        sentence = f"{window}内同一防火分区两个独立来源 ({other}, {words.source(observation)}) 报警, 火灾已确认"
        lifecycle.confirm(live, Reason.SECOND_INDEPENDENT_SOURCE, sentence, turn)
    elif live.muted_by is not None:
        lifecycle.consider_ticket(live, turn)


def _take(live: LiveIncident, observation: Observation, turn: Turn) -> None:
    """Record the alarm. One with an id of its own stays with this incident and no other; a claim that goes on
    (a flame seen again) is counted, and the latest are named."""
    lifecycle.absorb(live, observation, turn)
    if observation.external_id is None:
        live.name_sample(observation.id)
    elif observation.id not in live.alarm_ids:
        live.alarm_ids.append(observation.id)
        live.external_ids.append(observation.external_id)
    if live.is_full:
        turn.index.close(live)
    key, at = _key(observation), observation.event_time
    if not _is_taken_back(live, observation, turn):
        live.alarms[key] = max(live.alarms.get(key, at), at)
    times = live.triggers.setdefault(observation.source_id, [])
    times.append(at)
    if len(times) > limits.TRIGGERS_PER_SOURCE_MAX:
        times.remove(min(times))
    if live.unknown and not _any_blind(live, turn):
        lifecycle.trust(live, turn)


def _is_taken_back(live: LiveIncident, observation: Observation, turn: Turn) -> bool:
    """Whether the alarm is one that a later reset overtook. One that seems older than anything that is let in was
    told after the clocks had been set back: it is believed."""
    reset = live.resets.get(_key(observation))
    return reset is not None and 0 <= reset - observation.event_time <= turn.rules.late_max_ns


def _reset(observation: Observation, turn: Turn) -> None:
    key, at = _key(observation), observation.event_time
    meant = [live for live in _incidents_of(observation, turn) if live.is_open and key in live.alarms]
    if not meant:
        turn.count("resets_without_incident")
    for live in meant:
        if observation.source_kind is not SourceKind.SENSOR:
            text = f"摄像机 {words.source(observation)} 不再看到, 火情只由人解除"
            turn.decide(
                live, Action.NONE, Reason.RESET_BY_SOURCE, text, observation_id=observation.id, material=False
            )
        elif at <= live.alarms[key]:
            text = f"复位 ({words.source(observation)}) 不晚于其最新报警, 不予采用"
            turn.refuse(observation.id, observation.source_id, Reason.TOO_LATE, text)
        else:
            _take_back(live, observation, turn)


def _take_back(live: LiveIncident, observation: Observation, turn: Turn) -> None:
    key = _key(observation)
    del live.alarms[key]
    live.resets[key] = observation.event_time
    live.last_event_time = max(live.last_event_time, observation.event_time)
    cause = f"来源 {words.source(observation)} 已复位"
    if live.alarms:
        text = f"{cause}, 另有 {len(live.alarms)} 个报警未复位"
        turn.decide(live, Action.NONE, Reason.RESET_BY_SOURCE, text, observation_id=observation.id, material=False)
        return
    verdict = about_end(live, Reason.RESET_BY_SOURCE, cause)
    lifecycle.end(live, verdict, turn, observation_id=observation.id)


def _incidents_of(observation: Observation, turn: Turn) -> list[LiveIncident]:
    """The incidents that its source stands behind; a drill touches nothing real, nor the reverse."""
    memory = turn.state.sources.get(observation.source_id)
    known = [turn.state.incidents[id_] for id_ in memory.incidents] if memory is not None else []
    return [live for live in known if live.exercise is observation.exercise]


def _any_blind(live: LiveIncident, turn: Turn) -> bool:
    sources = turn.state.sources
    return any(source.blind for id_ in live.source_ids if (source := sources.get(id_)) is not None)


def _key(observation: Observation) -> str:
    return f"{observation.source_id}|{observation.type.value}"
