"""Fault: sources that cannot see are news for the operations queue, and hold open what they had seen.

A state that lasts for its rule's hold becomes an incident of `device.*`, never a ticket; it clears when the
source has been live for the clear hold. Causes told by the source itself (tamper, low battery, a covered lens
seen in the picture) take the same way. An alarm that came too late to act on is told here as well, at once.
"""

from __future__ import annotations

from typing import Final

import msgspec

from alerts.core import correlate, hold, lifecycle, limits, words
from alerts.core.decide import about_end
from alerts.core.effects import SourceChanged
from alerts.core.policy import Rule
from alerts.core.state import ARRIVING, Fault, LiveIncident, SourceMemory
from alerts.core.turn import Turn
from contracts.incident import Action, IncidentState, Reason
from contracts.instant import Instant, to_rfc3339
from contracts.observation import IncidentType, Observation, Phase
from contracts.place import Place
from contracts.policy import Belief
from contracts.source import SEEING, SourceChange, SourceKind, SourceState

_CAMERA_FAULTS: Final = {
    SourceState.BLIND: IncidentType.VIDEO_QUALITY,
    SourceState.STALE: IncidentType.VIDEO_LOSS,
    SourceState.FAULTED: IncidentType.VIDEO_LOSS,
}
"""Pictures arrive but nothing can be seen in them, or none arrive."""

_FAILED: Final = frozenset(_CAMERA_FAULTS)
"""States of a sensor that are a fault; one that is switched off has none."""

_LATE: Final = "late|"
_LATE_ZH: Final = "迟到的报警"

_STATE_ZH: Final = {
    SourceState.OFF: "停用",
    SourceState.CONNECTING: "连接中",
    SourceState.LIVE: "在线",
    SourceState.STALE: "断流或超时未上报",
    SourceState.SUSPECT: "数据可疑",
    SourceState.BLIND: "画面不可用",
    SourceState.FAULTED: "连接失败或被拒绝",
}


def notice(change: SourceChange, turn: Turn) -> None:
    """Take a source's new state in: stored, held against what depends on the source, queued when it is a fault."""
    if change.site != turn.site:
        turn.refuse(change.id, change.source_id, Reason.WRONG_SITE, f"站点 {change.site} 不是本站 {turn.site}")
        return
    memory = turn.source(change.source_id, change.kind)
    if memory is None:
        turn.refuse(change.id, change.source_id, Reason.LIMIT_REACHED, "来源数量已达上限")
        return
    of_sight = _is_of_sight(change)
    before = memory.sight if of_sight else memory.link
    if before is not None and change.id == before.id:
        turn.refuse(change.id, change.source_id, Reason.DUPLICATE, "状态变化重复上报")
        return
    if before is not None and 0 < before.at - change.at <= turn.rules.late_max_ns:
        # Overtaken by a later word of the same witness: nothing is wrong, and nothing is new. What is older still
        # comes from a clock that was set back, and holds.
        turn.count("source_changes_overtaken")
        return
    shown = memory.shown
    _remember(memory, change, of_sight)
    told = memory.shown
    if told is not None and told is not shown:
        turn.effects.append(SourceChanged(told))
    if memory.blind:
        _hold_open(memory, told or change, min(change.at, turn.now), turn)
    elif change.state is SourceState.LIVE or (
        change.state is SourceState.SUSPECT and change.kind is SourceKind.CAMERA
    ):
        # What a suspect sensor had told waits until it is believed again; a suspect camera is seen.
        _see_again(memory, turn)
    _queue(memory, change, of_sight, turn)


def observe(observation: Observation, rule: Rule, turn: Turn) -> None:
    """A device fault that the source itself, or inference, claims."""
    mark = "!" if observation.exercise else ""
    key = f"claim|{observation.source_id}|{observation.type.value}{mark}"
    if observation.phase is Phase.ACTIVE:
        text = f"{rule.of.name_zh}: {words.claim(observation)}"
        fault = Fault(
            key,
            observation.source_id,
            observation.type,
            _moment(observation.event_time, turn),
            True,
            text,
            observation.place,
            observation.exercise,
            observation.id,
        )
        _begin(fault, rule, turn)
    elif observation.phase is Phase.CLEAR:
        _cease(key, _moment(observation.event_time, turn), turn)


def tell_late(observation: Observation, rule: Rule, late_ns: int, turn: Turn) -> None:
    """An alarm that came too late to act on: into the operations queue at once, one incident per source.

    It stays for `limits.LATE_ALARM_SHOWN_NS` after the latest; a person who looked into it ends it as they end
    others.
    """
    queue = turn.rule_of(IncidentType.SENSOR_FAULT)
    if queue is None or queue.of.belief is not Belief.OPERATIONS:
        return
    text = (
        f"{_LATE_ZH}: {rule.of.name_zh}, 来源 {words.source(observation)}, 发生于 "
        f"{to_rfc3339(observation.event_time)[:19].replace('T', ' ')}, 到达时已过 {words.age(late_ns)}, "
        "未自动处置, 请人工核实"
    )
    place = observation.place
    claim = msgspec.structs.replace(
        observation, type=IncidentType.SENSOR_FAULT, event_time=turn.now, external_id=None, evidence=()
    )
    known = turn.state.faults.get(_late_key(observation))
    live = turn.state.incidents.get(known.incident_id) if known is not None and known.incident_id else None
    if live is None or not live.is_open:
        live = correlate.find(claim, queue, turn)
    if live is not None and (live.state is IncidentState.FALSE_ALARM or observation.id in live.sample_ids):
        return
    action = Action.UPDATE
    if live is None:
        action = Action.OPEN
        live = lifecycle.bear(
            turn,
            queue,
            queue.levels[0],
            place,
            first_id=observation.id,
            first_time=turn.now,
            exercise=observation.exercise,
            operations=True,
        )
    elif not live.is_open:
        lifecycle.reopen(live, queue, text, turn, observation_id=observation.id)
    lifecycle.absorb(live, claim, turn)
    live.name_sample(observation.id)
    live.state, live.suspected = IncidentState.CONFIRMED, False
    live.title = f"{_LATE_ZH} · {rule.of.name_zh}" + (f" · {place.name}" if place.name else "")
    _show_until(live, observation, text, turn.now + limits.LATE_ALARM_SHOWN_NS, turn)
    turn.decide(live, action, Reason.LATE_ALARM, text, observation_id=observation.id)


def _show_until(live: LiveIncident, observation: Observation, text: str, until: int, turn: Turn) -> None:
    """Keep the incident of a late alarm open until `until`, beside whatever else ails the source."""
    key = _late_key(observation)
    turn.state.faults[key] = Fault(
        key,
        observation.source_id,
        IncidentType.SENSOR_FAULT,
        turn.now,
        False,
        text,
        observation.place,
        observation.exercise,
        observation.id,
        live.id,
        until,
    )
    live.alarms[key] = turn.now
    rule = turn.rule_of(IncidentType.SENSOR_FAULT)
    turn.wake_at(until + (rule.clear_hold_ns if rule is not None else 0), "fault_end", key)


def _late_key(observation: Observation) -> str:
    return f"{_LATE}{observation.source_id}{'!' if observation.exercise else ''}"


def serve(kind: str, key: str, turn: Turn) -> None:
    """A hold (`fault`) or a clear hold (`fault_end`) may be over."""
    fault = turn.state.faults.get(key)
    rule = turn.rule_of(fault.type) if fault is not None else None
    if fault is None or rule is None:
        return
    if kind == "fault":
        _open_due(fault, rule, turn)
    else:
        _end_due(fault, rule, turn)


def _open_due(fault: Fault, rule: Rule, turn: Turn) -> None:
    """The hold is over and the cause lasts: into the operations queue, once per source and type."""
    if not fault.active or fault.incident_id is not None or turn.now < fault.since + rule.hold_ns[0]:
        return
    observation = _as_observation(fault, turn)
    live = correlate.find(observation, rule, turn)
    if live is None:
        live = lifecycle.bear(
            turn,
            rule,
            rule.levels[0],
            fault.place,
            first_id=fault.observation_id,
            first_time=Instant(fault.since),
            exercise=fault.exercise,
            operations=True,
        )
        live.suspected = False
    elif not live.is_open:
        lifecycle.reopen(live, rule, fault.text, turn, observation_id=fault.observation_id)
    lifecycle.absorb(live, observation, turn)
    live.state = IncidentState.CONFIRMED
    live.alarms[fault.key] = fault.since
    live.alarm_ids.append(fault.observation_id)
    fault.incident_id = live.id
    text = f"{fault.text}, 已持续 {words.span(turn.now - fault.since)} (要求 {words.span(rule.hold_ns[0])})"
    turn.decide(live, Action.OPEN, Reason.OPERATIONS_QUEUE, text, observation_id=fault.observation_id)


def _end_due(fault: Fault, rule: Rule, turn: Turn) -> None:
    """The cause has been gone for the clear hold."""
    if fault.active or turn.now < fault.gone_since + rule.clear_hold_ns:
        return
    live = turn.state.incidents.get(fault.incident_id) if fault.incident_id is not None else None
    turn.state.faults.pop(fault.key, None)
    if live is None or not live.is_open:
        return
    live.alarms.pop(fault.key, None)
    if live.alarms:
        return
    if fault.key.startswith(_LATE):
        shown = f"迟到的报警已展示 {words.age(limits.LATE_ALARM_SHOWN_NS)}"
        lifecycle.end(live, about_end(live, Reason.QUIET_LONG_ENOUGH, shown), turn)
    else:
        lifecycle.end(live, about_end(live, Reason.RESET_BY_SOURCE, "设备已恢复"), turn)


def _is_of_sight(change: SourceChange) -> bool:
    """Whether it tells what the pictures show, not whether they arrive."""
    return change.state is SourceState.BLIND or (change.state is SourceState.LIVE and change.reason == SEEING)


def _remember(memory: SourceMemory, change: SourceChange, of_sight: bool) -> None:
    memory.place = change.place or memory.place
    if of_sight:
        memory.sight = change
        return
    memory.link = change
    if change.state is not SourceState.CONNECTING:
        memory.cut = change.state not in ARRIVING


def _hold_open(memory: SourceMemory, change: SourceChange, at: int, turn: Turn) -> None:
    """What the source had said is unknown from now on; no hold runs across this moment."""
    for key in memory.series:
        hold.interrupt(turn.state.series[key], at)
    named = f"来源 {change.source_id} {_STATE_ZH[change.state]}"
    for id_ in _dependent(memory, turn):
        lifecycle.doubt(turn.state.incidents[id_], named, turn)


def _see_again(memory: SourceMemory, turn: Turn) -> None:
    """An alarm stands again as it was told; a sampled series is known again with its next sample."""
    for id_ in memory.incidents:
        live = turn.state.incidents[id_]
        others = (turn.state.sources.get(source_id) for source_id in live.source_ids)
        if not live.series and not any(other is not None and other.blind for other in others):
            lifecycle.trust(live, turn)


def _dependent(memory: SourceMemory, turn: Turn) -> list[str]:
    """Open incidents that the source stands behind; not those about the source itself."""
    return [id_ for id_ in memory.incidents if not turn.state.incidents[id_].operations]


def _queue(memory: SourceMemory, change: SourceChange, of_sight: bool, turn: Turn) -> None:
    """Begin the fault that the state stands for, and let the other faults that this witness told of end."""
    type_ = _type_of(change.kind, change.state)
    at = _moment(change.at, turn)
    for rule in turn.rules.fault_rules:
        if (rule.of.type is IncidentType.VIDEO_QUALITY) is not of_sight:
            continue
        key = f"state|{change.source_id}|{rule.of.type.value}"
        if rule.of.type is type_:
            place = memory.place or Place(0.0, 0.0, name=change.source_id)
            text = f"{rule.of.name_zh}: {change.source_id} {_STATE_ZH[change.state]} {change.detail}".rstrip()
            fault = Fault(key, change.source_id, type_, at, True, text, place, change.exercise, change.id)
            _begin(fault, rule, turn)
        elif change.state is not SourceState.CONNECTING:
            _cease(key, at, turn)


def _moment(at: int, turn: Turn) -> int:
    """When a cause began or went; one that is told long after, or before, is taken to begin now."""
    return at if 0 <= turn.now - at <= turn.rules.late_max_ns else turn.now


def _type_of(kind: SourceKind, state: SourceState) -> IncidentType | None:
    if kind is SourceKind.CAMERA:
        return _CAMERA_FAULTS.get(state)
    return IncidentType.SENSOR_FAULT if state in _FAILED else None


def _begin(fault: Fault, rule: Rule, turn: Turn) -> None:
    known = turn.state.faults.get(fault.key)
    if known is not None:
        if known.active:
            return
        known.active = True
        if known.incident_id is not None:
            return
        known.since = fault.since
    else:
        turn.state.faults[fault.key] = fault
    turn.wake_at(fault.since + rule.hold_ns[0], "fault", fault.key)


def _cease(key: str, at: int, turn: Turn) -> None:
    fault = turn.state.faults.get(key)
    if fault is None or not fault.active:
        return
    fault.active, fault.gone_since = False, at
    rule = turn.rule_of(fault.type)
    if fault.incident_id is None:
        del turn.state.faults[key]
        turn.count("faults_dropped")
    elif rule is not None:
        turn.wake_at(at + rule.clear_hold_ns, "fault_end", key)


def _as_observation(fault: Fault, turn: Turn) -> Observation:
    """The fault in the form in which incidents take evidence."""
    camera = fault.type is not IncidentType.SENSOR_FAULT
    return Observation(
        id=fault.observation_id,
        site=turn.site,
        type=fault.type,
        phase=Phase.ACTIVE,
        source_id=fault.source_id,
        source_kind=SourceKind.CAMERA if camera else SourceKind.SENSOR,
        event_time=Instant(fault.since),
        arrival_time=Instant(fault.since),
        place=fault.place,
        confidence=1.0,
        exercise=fault.exercise,
    )
