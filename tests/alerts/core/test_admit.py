"""The door: each wrong observation has one fate with a name, and nothing else is disturbed."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.incident import OPEN_STATES, Reason
from contracts.instant import SECOND, Instant
from contracts.observation import IncidentType, Observation, Phase
from contracts.place import Place
from tests.alerts.core.county import T0, County, crowd, instant, observe

SMOKE = IncidentType.SMOKE_SENSOR


def changed(observation: Observation, **fields: object) -> Observation:
    return msgspec.structs.replace(observation, **fields)


BAD = {
    "another site": (changed(crowd("C-1", T0, 3.0), site="elsewhere"), Reason.WRONG_SITE),
    "a kind of zone without a rule": (crowd("C-1", T0, 3.0, zone_kind="fire"), Reason.UNKNOWN_TYPE),
    "a flame below its confidence": (
        observe("C-1", IncidentType.FLAME_SUSPECTED, T0, confidence=0.29),
        Reason.BELOW_CONFIDENCE,
    ),
    "a confidence that is no number": (
        observe("C-1", IncidentType.FLAME_SUSPECTED, T0, confidence=math.nan),
        Reason.BELOW_CONFIDENCE,
    ),
    "an alarm that took over two minutes to arrive": (
        observe("S-1", SMOKE, instant(-121), arrival=T0),
        Reason.TOO_LATE,
    ),
    "a sample from the future": (crowd("C-1", instant(5.1), 3.0), Reason.FROM_THE_FUTURE),
    "a reset from the future": (observe("S-1", SMOKE, instant(6), phase=Phase.CLEAR), Reason.FROM_THE_FUTURE),
    "a density on uncalibrated ground (domain check 8)": (crowd("C-1", T0, None), Reason.UNCALIBRATED),
    "a density on 9 square metres": (crowd("C-1", T0, 3.0, area_m2=9.0), Reason.UNCALIBRATED),
    "a density that is no number": (crowd("C-1", T0, math.nan), Reason.UNCALIBRATED),
    "a density without end": (crowd("C-1", T0, math.inf), Reason.UNCALIBRATED),
    "a density below zero": (crowd("C-1", T0, -1.0), Reason.UNCALIBRATED),
    "a sample of an alarm type": (observe("S-1", SMOKE, T0, phase=Phase.SAMPLE), Reason.BELOW_THRESHOLD),
}


@pytest.mark.parametrize(("observation", "reason"), BAD.values(), ids=BAD.keys())
def test_bad_observation_is_refused_counted_and_disturbs_nothing(observation: Observation, reason: Reason) -> None:
    county = County()
    county.step(observation, observe("S-9", SMOKE, T0, external_id="good"))
    county.at(30)
    assert county.reasons() == [reason]
    assert county.refused[0].observation_id == observation.id
    assert county.refused[0].text
    assert county.engine.counters()[f"refused:{reason.value}"] == 1
    [good] = [incident for incident in county.incidents.values() if not incident.operations]
    assert good.external_ids == ("good",)


def test_alarm_with_a_clock_ahead_is_believed_at_its_arrival() -> None:
    county = County()
    county.step(observe("S-1", SMOKE, instant(3600), external_id="fast clock"))
    assert county.incident().first_event_time == T0


def test_alarm_that_waited_for_alerts_to_come_back_is_not_late() -> None:
    county = County()
    county.at(3600).step(observe("S-1", SMOKE, T0, external_id="waited"))
    assert county.incident().external_ids == ("waited",)


def test_alarm_sent_twice_is_used_once() -> None:
    county = County()
    county.detector().alarms("A")
    county.at(10).detector().alarms("A")
    assert county.reasons() == [Reason.DUPLICATE]
    assert county.incident().observation_total == 1


def test_alarm_id_used_again_within_a_day_is_the_same_alarm_and_after_it_a_new_one() -> None:
    county = County()
    county.detector().alarms("ALARM")
    county.at(60).detector().resets()
    county.at(86_399).detector().alarms("ALARM")
    assert county.reasons() == [Reason.DUPLICATE]
    assert len(county.incidents) == 1
    county.at(86_400).detector().alarms("ALARM")
    assert len(county.incidents) == len(county.tickets) == 2
    assert [incident.observation_total for incident in county.incidents.values()] == [1, 1]


def test_alarm_id_that_an_open_incident_holds_is_not_told_twice_after_days() -> None:
    county = County()
    county.detector().alarms("ALARM")
    county.at(3 * 86_400).detector().alarms("ALARM")
    assert county.reasons() == [Reason.DUPLICATE]
    assert county.incident().external_ids == ("ALARM",)


@given(st.lists(st.tuples(st.integers(60, 3 * 86_400), st.booleans()), min_size=1, max_size=12))
def test_detector_with_one_alarm_id_is_silent_for_a_day_at_most(alarms: list[tuple[int, bool]]) -> None:
    """Alarms of a constant id after any gaps, some reset in between: what is refused was believed within the day
    or stands open; the memory holds nothing older; no stored incident is written over."""
    county, at_s, believed_s = County(), 0, -86_400
    for gap_s, resets in alarms:
        at_s += gap_s
        refused = len(county.refused)
        stands = any(i.state in OPEN_STATES for i in county.incidents.values())
        county.at(at_s).detector().alarms("ALARM")
        if len(county.refused) == refused:
            assert at_s - believed_s >= 86_400
            believed_s = at_s
        else:
            assert at_s - believed_s < 86_400 or stands
        assert all(taken > county.now - 86_400 * SECOND for taken in county.engine.state.seen.values())
        if resets:
            county.at(at_s + 1).detector().resets()
            at_s += 1


def test_sample_sent_twice_is_used_once_before_and_after_its_release() -> None:
    county = County()
    sample = crowd("C-1", T0, 3.0)
    county.step(sample, sample)
    county.at(10).step(sample)
    assert county.reasons() == [Reason.DUPLICATE, Reason.DUPLICATE]


def test_sample_older_than_what_its_series_has_judged_is_too_late() -> None:
    county = County()
    county.at(10).step(crowd("C-1", instant(10), 3.0))
    county.at(13).step(crowd("C-1", instant(9), 3.0))
    assert county.reasons() == [Reason.TOO_LATE]


def test_source_that_is_always_5_s_behind_is_judged_in_its_own_order() -> None:
    county = County()
    for second in range(0, 70, 2):
        county.at(second + 5).step(crowd("C-1", instant(second), 3.2))
    assert county.refused == []
    assert len(county.incidents) == 1


def test_idle_source_holds_nobody_back() -> None:
    county = County()
    county.step(crowd("idle", T0, 0.0, place=Place(105.0, 38.0, zone_id="far")))
    for second in range(62):
        county.at(second).step(crowd("C-1", instant(second), 3.0))
    county.at(62)
    assert county.incident().first_event_time == T0


@pytest.mark.parametrize("event_time", [-(2**62), -1, 0, 2**62])
def test_absurd_time_never_raises(event_time: int) -> None:
    county = County()
    for type_, phase in ((SMOKE, Phase.ACTIVE), (IncidentType.CROWD_CAPACITY, Phase.SAMPLE)):
        county.step(observe("X-1", type_, Instant(event_time), phase=phase, count=1, detail=(("capacity", "x"),)))
    county.at(60)
