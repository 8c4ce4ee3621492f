"""Life cycle of an incident: A1 candidates live in their series; here A2 to A7, each move with its decision.

        evidence ──▶ A2 待研判 ──person, second source, fail-safe──▶ A3 已确认 ──condition gone──▶ A7 已解除
                      │  │                                           │
                      │  └──condition gone──▶ A6 已过期              └──person──▶ A4 误报
                      └──person──▶ A4 误报
        A6 and A7 go back to A2 and A3 when evidence returns within the merge window.

A fire is confirmed on the incident that it was born as: two independent triggers in one fire zone, or a person,
make it 23003 火灾(已确认), red, P1, no longer suspected, and its one ticket follows. Its id and `type` stay, since
everything that refers to it does so by them.
"""

from __future__ import annotations

from alerts.core import casework, decide, limits
from alerts.core.decide import Verdict
from alerts.core.policy import FIRE, Rule
from alerts.core.state import LiveIncident
from alerts.core.suppress import hidden_by
from alerts.core.turn import Turn
from alerts.tickets.sla import class_for, more_urgent
from contracts.ids import derive_id
from contracts.incident import Action, IncidentState, Level, Reason
from contracts.instant import Instant
from contracts.observation import IncidentType, Observation
from contracts.place import Place
from contracts.principal import SYSTEM, Principal

S = IncidentState


def bear(
    turn: Turn,
    rule: Rule,
    level: Level,
    place: Place,
    *,
    first_id: str,
    first_time: Instant,
    exercise: bool,
    operations: bool = False,
) -> LiveIncident:
    """A new incident, known to the index, not yet in review; its id is derived from what began it, and when:
    a device may use an alarm id again, and what is stored under the id of then must stay untouched."""
    spot = place.zone_id or f"{place.lon:.6f},{place.lat:.6f}"
    id_ = derive_id("inc", turn.site, rule.of.type, spot, first_id, first_time)
    while id_ in turn.state.incidents:
        # A claim so old that it was forgotten came again; what stands under its id stays untouched.
        id_ = derive_id("inc", id_, turn.now)
    live = LiveIncident(
        id=id_,
        type=rule.of.type,
        known_as=rule.of.type,
        family=rule.family,
        code=rule.of.code,
        title=_title(rule, place),
        state=S.CANDIDATE,
        level=level,
        sla=class_for(rule.of, level),
        place=place,
        exercise=exercise,
        operations=operations,
        first_event_time=first_time,
        last_event_time=first_time,
        opened_at=turn.now,
        updated_at=turn.now,
    )
    turn.state.incidents[live.id] = live
    turn.index.add(live)
    turn.state.open_total += 1
    turn.count("incidents_opened")
    return live


def absorb(live: LiveIncident, observation: Observation, turn: Turn) -> None:
    """Take over what an observation tells: source, names of its place, values, pictures. Publishes nothing."""
    learned = _add(live.source_ids, observation.source_id)
    if learned:
        memory = turn.source(observation.source_id, observation.source_kind)
        if memory is not None:
            _add(memory.incidents, live.id)
    if observation.place.zone_id is not None:
        learned |= _add(live.zone_ids, observation.place.zone_id)
    if observation.place.fire_zone is not None:
        learned |= _add(live.fire_zones, observation.place.fire_zone)
    if learned:
        turn.index.learn(live)
    if live.is_full:
        turn.index.close(live)
    if observation.model and len(live.models) < limits.MODELS_MAX:
        _add(live.models, observation.model.partition(" t=")[0])
    live.observation_total += 1
    live.last_event_time = max(live.last_event_time, observation.event_time)
    live.first_event_time = min(live.first_event_time, observation.event_time)
    live.value, live.unit = observation.value, observation.unit
    live.count, live.count_error, live.density = observation.count, observation.count_error, observation.density
    if observation.count is not None:
        live.peak_count = max(live.peak_count or 0, observation.count)
    if observation.density is not None:
        live.peak_density = max(live.peak_density or 0.0, observation.density)
    for picture in observation.evidence:
        live.evidence.append(picture)
        if len(live.evidence) > limits.EVIDENCE_MAX:
            del live.evidence[limits.EVIDENCE_HEAD]


def enter_review(live: LiveIncident, rule: Rule, turn: Turn) -> None:
    """A2: shown on the wall, the review timer runs, and the ticket opens in this step if the type says so."""
    live.state = S.PENDING_REVIEW
    live.remind_count = 0
    live.review_due_at = Instant(turn.now + rule.review_ns)
    turn.wake_at(live.review_due_at, "review", live.id)
    consider_ticket(live, turn)


def consider_ticket(live: LiveIncident, turn: Turn) -> None:
    """Open the ticket, or say why not. Asked again when the level rises, a person confirms, or a mute ends."""
    rule = turn.rule_of(live.known_as)
    if rule is None or live.ticket_id is not None or not live.is_open:
        return
    mute = hidden_by(live, rule, turn)
    live.muted_by = mute.id if mute is not None else None
    verdict = decide.about_ticket(live, rule, mute)
    turn.decide(live, verdict.action, verdict.reason, verdict.text)
    if verdict.action is Action.OPEN:
        casework.open_ticket(live, rule, turn)


def set_level(
    live: LiveIncident, rule: Rule, level: Level, cause: str, turn: Turn, *, observation_id: str | None = None
) -> None:
    """Another level on the same incident. A rise may open the ticket and renames what has become worse."""
    if level is live.level:
        return
    verdict = decide.about_level(live.level, level, cause)
    rose = level > live.level
    live.level = level
    if rose:
        live.sla = more_urgent(live.sla, class_for(rule.of, level))
        if rule.of.type is not live.known_as and not live.confirmed_fire:
            rename(live, rule.of.type, turn)
    turn.decide(live, verdict.action, verdict.reason, verdict.text, observation_id=observation_id)
    if rose:
        consider_ticket(live, turn)


def rename(live: LiveIncident, type_: IncidentType, turn: Turn) -> None:
    """The incident is known as another type of its family from now on."""
    rule = turn.rule_of(type_)
    if rule is not None:
        live.known_as, live.code, live.title = type_, rule.of.code, _title(rule, live.place)


def confirm(live: LiveIncident, reason: Reason, text: str, turn: Turn, by: Principal = SYSTEM) -> None:
    """A3 by a person, a second independent source, or the fail-safe (then it stays suspected and unreviewed)."""
    fail_safe = reason is Reason.REVIEW_TIMEOUT_FAIL_SAFE
    live.state = S.CONFIRMED
    live.review_due_at = None
    live.suspected = live.suspected and fail_safe
    live.unreviewed = fail_safe
    turn.decide(live, Action.CONFIRM, reason, text)
    if live.family == FIRE and not fail_safe:
        _make_fire_confirmed(live, turn)
    consider_ticket(live, turn)
    casework.reflect(live, turn, by)
    file = turn.state.tickets.get(live.ticket_id) if live.ticket_id is not None else None
    if file is not None:
        casework.go_on(file, turn, by)


def review_is_due(live: LiveIncident, turn: Turn) -> None:
    """The review timer fell due: fire and gas go on by themselves, others remind at 100 and 200 % and wait."""
    rule = turn.rule_of(live.known_as)
    if rule is None or live.state is not S.PENDING_REVIEW or live.review_due_at is None:
        return
    if live.review_due_at > turn.now:
        return
    verdict = decide.about_review(live, rule, turn.now)
    if verdict.action is Action.CONFIRM:
        confirm(live, verdict.reason, verdict.text, turn)
        return
    live.remind_count += 1
    turn.decide(live, verdict.action, verdict.reason, verdict.text, material=False)
    if live.remind_count < 2:
        turn.wake_at(turn.now + rule.review_ns, "remind", live.id)


def end(live: LiveIncident, verdict: Verdict, turn: Turn, *, observation_id: str | None = None) -> None:
    """A6, A7 or A4 as the verdict says. The incident is forgotten when its merge window is over."""
    targets = {Action.CLEAR: S.CLEARED, Action.EXPIRE: S.EXPIRED, Action.DROP: S.FALSE_ALARM}
    live.state = targets[verdict.action]
    live.ended_at = turn.now
    live.review_due_at = None
    live.unknown = False
    turn.state.open_total -= 1
    turn.decide(live, verdict.action, verdict.reason, verdict.text, observation_id=observation_id)
    turn.wake_at(_forget_at(live, turn), "retire", live.id)


def reopen(live: LiveIncident, rule: Rule, text: str, turn: Turn, *, observation_id: str) -> None:
    """Evidence came back within the merge window: A7 to A3, A6 to A2 with a new review."""
    back = S.CONFIRMED if live.state is S.CLEARED else S.PENDING_REVIEW
    live.state, live.ended_at = back, None
    turn.state.open_total += 1
    turn.decide(
        live, Action.UPDATE, Reason.SAME_INCIDENT, f"再次出现, 恢复: {text}", observation_id=observation_id
    )
    if back is S.PENDING_REVIEW:
        enter_review(live, rule, turn)


def doubt(live: LiveIncident, cause: str, turn: Turn) -> None:
    """A source of the incident cannot see: it is held open, since unknown is not zero."""
    if live.is_open and not live.unknown:
        live.unknown = True
        turn.decide(live, Action.UPDATE, Reason.HELD_OPEN_UNKNOWN, f"{cause}; 状态未知, 保持打开, 不按零计")


def trust(live: LiveIncident, turn: Turn) -> None:
    """Every source of the incident can see again."""
    if live.unknown:
        live.unknown = False
        turn.touch(live)


def retire(live: LiveIncident, turn: Turn) -> None:
    """Forget an ended incident that no evidence can join any more; the store keeps it."""
    if live.is_open or live.ended_at is None:
        return
    due = _forget_at(live, turn)
    if due > turn.now:
        turn.wake_at(due, "retire", live.id)
        return
    turn.index.remove(live)
    for source_id in live.source_ids:
        memory = turn.state.sources.get(source_id)
        if memory is not None and live.id in memory.incidents:
            memory.incidents.remove(live.id)
    del turn.state.incidents[live.id]


def _forget_at(live: LiveIncident, turn: Turn) -> int:
    rule = turn.rule_of(live.type)
    merge_window_ns = rule.merge_window_ns if rule is not None else 0
    ended_at = live.ended_at if live.ended_at is not None else turn.now
    return max(live.last_event_time + merge_window_ns, ended_at + limits.FALSE_ALARM_QUIET_NS) + 1


def _make_fire_confirmed(live: LiveIncident, turn: Turn) -> None:
    """23003, red, P1, on the same incident."""
    live.confirmed_fire = True
    rename(live, IncidentType.FIRE_CONFIRMED, turn)
    rule = turn.rule_of(IncidentType.FIRE_CONFIRMED)
    worst = rule.levels[-1] if rule is not None else Level.RED
    if worst > live.level:
        verdict = decide.about_level(live.level, worst, "火灾已确认")
        live.level = worst
        turn.decide(live, verdict.action, verdict.reason, verdict.text)
    if rule is not None:
        live.sla = more_urgent(live.sla, class_for(rule.of, worst))


def _title(rule: Rule, place: Place) -> str:
    return f"{rule.of.name_zh} · {place.name}" if place.name else rule.of.name_zh


def _add(items: list[str], item: str) -> bool:
    """Add what is not there yet; True when it was new."""
    if item in items:
        return False
    items.append(item)
    return True
