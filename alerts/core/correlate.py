"""Correlate: which incident, if any, an observation belongs to; found in constant time through the index.

Joins, within the merge window since last evidence: the same source; the same zone or fire zone (名称相同); for the
rest the same family of types within `join_radius_m`. Fire triggers in a fire zone that the catalogue does not
name join within `fire_zone_radius_m` if they confirm each other. Exercises never meet real happenings, and two
named fire zones are two, however near.
"""

from __future__ import annotations

from collections.abc import Iterator

from alerts.core import limits
from alerts.core.index import fire_zone_name, source_name, zone_name
from alerts.core.policy import FIRE, Rule
from alerts.core.state import LiveIncident
from alerts.core.turn import Turn
from alerts.tickets.ticket_file import CLOSED_STATES
from contracts.incident import IncidentState
from contracts.observation import Observation
from contracts.place import distance_m
from contracts.policy import Belief
from contracts.source import SourceKind

_SAME_SOURCE, _SAME_ZONE, _NEAR = 0, 1, 2


def find(observation: Observation, rule: Rule, turn: Turn) -> LiveIncident | None:
    """The incident that the observation joins: nearest first, then the youngest; None when it is a new one."""
    best: LiveIncident | None = None
    best_rank: tuple[int, float, int, str] | None = None
    for live in _candidates(observation, rule, turn):
        rank = _rank(observation, rule, live, turn)
        if rank is not None and (best_rank is None or rank < best_rank):
            best, best_rank = live, rank
    return best


def confirms(observation: Observation, live: LiveIncident, turn: Turn) -> str | None:
    """The source of `live` that an independent trigger confirms within the window; None when there is none.

    Two triggers are independent when they come from two sources, at least one of them a device (after GB
    50116-2013 4.1.6). Flame and smoke of one camera, or one detector twice, are one trigger; two cameras may see
    the same sunset, so a person or a detector must agree.
    """
    for source_id, times in live.triggers.items():
        if source_id == observation.source_id or _are_cameras(observation, source_id, turn):
            continue
        if any(abs(observation.event_time - time) <= turn.rules.confirm_window_ns for time in times):
            return source_id
    return None


def _are_cameras(observation: Observation, source_id: str, turn: Turn) -> bool:
    other = turn.state.sources.get(source_id)
    return observation.source_kind is SourceKind.CAMERA and other is not None and other.kind is SourceKind.CAMERA


def _candidates(observation: Observation, rule: Rule, turn: Turn) -> Iterator[LiveIncident]:
    """Each incident that shares a name or a neighbourhood with the observation; some may come twice."""
    incidents, index, place = turn.state.incidents, turn.index, observation.place
    family, exercise = rule.family, observation.exercise
    if rule.of.belief is not Belief.SAMPLED:
        for id_ in index.named(source_name(family, exercise, observation.source_id)):
            yield incidents[id_]
    if rule.of.belief is Belief.OPERATIONS:
        return
    if place.zone_id is not None:
        for id_ in index.named(zone_name(family, exercise, place.zone_id)):
            yield incidents[id_]
    if place.fire_zone is not None:
        for id_ in index.named(fire_zone_name(family, exercise, place.fire_zone)):
            yield incidents[id_]
    for id_ in index.near(family, exercise, place):
        yield incidents[id_]


def _rank(
    observation: Observation, rule: Rule, live: LiveIncident, turn: Turn
) -> tuple[int, float, int, str] | None:
    """How well the observation fits, less is better; None when it may not join."""
    if not _may_join(observation, rule, live, turn):
        return None
    if rule.of.belief is not Belief.SAMPLED and observation.source_id in live.source_ids:
        return _SAME_SOURCE, 0.0, -live.opened_at, live.id
    if rule.of.belief is Belief.OPERATIONS:
        return None
    apart_m = distance_m(observation.place, live.place)
    place = observation.place
    if rule.family == FIRE and place.fire_zone is not None and live.fire_zones:
        # Both fire zones are known: the names decide alone, since two floors may lie over each other.
        if place.fire_zone in live.fire_zones and apart_m <= limits.ZONE_REACH_M:
            return _SAME_ZONE, 0.0, -live.opened_at, live.id
        return None
    same_zone = place.zone_id is not None and place.zone_id in live.zone_ids
    if same_zone and apart_m <= limits.ZONE_REACH_M:
        return _SAME_ZONE, 0.0, -live.opened_at, live.id
    reach_m = rule.of.join_radius_m
    if rule.family == FIRE and confirms(observation, live, turn) is not None:
        reach_m = max(reach_m, turn.rules.policy.fire_zone_radius_m)
    if apart_m <= reach_m:
        return _NEAR, apart_m, -live.opened_at, live.id
    return None


def _may_join(observation: Observation, rule: Rule, live: LiveIncident, turn: Turn) -> bool:
    """Whether the incident still takes evidence: near enough in time, alive for people, and not full."""
    at = observation.event_time
    if at - live.last_event_time > rule.merge_window_ns or live.first_event_time - at > rule.merge_window_ns:
        return False
    if live.state is IncidentState.FALSE_ALARM:
        return _is_same_error(observation, live, turn.now)
    if live.state is IncidentState.MERGED:
        return False
    if live.ticket_id is not None:
        file = turn.state.tickets.get(live.ticket_id)
        if file is None or file.ticket.state in CLOSED_STATES:
            return False
    if len(live.alarm_ids) >= limits.ALARMS_PER_INCIDENT_MAX:
        return False
    return observation.source_id in live.source_ids or len(live.source_ids) < limits.SOURCES_PER_INCIDENT_MAX


def _is_same_error(observation: Observation, live: LiveIncident, now: int) -> bool:
    """What a person has just called a false alarm is not news when the same camera repeats it (steam, a sign).

    A sensor is believed again at once.
    """
    return (
        observation.source_kind is SourceKind.CAMERA
        and observation.source_id in live.source_ids
        and len(live.alarm_ids) < limits.ALARMS_PER_INCIDENT_MAX
        and live.ended_at is not None
        and now - live.ended_at <= limits.FALSE_ALARM_QUIET_NS
    )
