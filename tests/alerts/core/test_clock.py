"""A clock that was set forward and is corrected: nothing is lost, nothing stands still for that time."""

from __future__ import annotations

import msgspec
import pytest

from contracts.incident import IncidentState, Reason
from contracts.instant import SECOND, Instant
from contracts.observation import IncidentType, Observation, Phase
from contracts.source import SourceState
from tests.alerts.core.county import County, crowd, observe

SMOKE = IncidentType.SMOKE_SENSOR


def told(observation: Observation, corrected_s: float) -> Observation:
    """The same, by clocks that were set back by so many seconds."""
    back = round(corrected_s * SECOND)
    return msgspec.structs.replace(
        observation,
        id=f"{observation.id}-corrected",
        event_time=Instant(observation.event_time - back),
        arrival_time=Instant(observation.arrival_time - back),
    )


@pytest.mark.parametrize("corrected_s", [300, 3600])
def test_crowd_after_the_correction_is_seen_after_its_hold(corrected_s: float) -> None:
    county = County()
    for second in range(0, 20, 2):
        county.at(second).step(crowd("C-1", county.now, 0.5))
    for second in range(20, 90, 2):
        county.at(second).step(told(crowd("C-1", county.now, 3.2), corrected_s))
    assert county.refused == []
    assert county.incident().state is IncidentState.PENDING_REVIEW


def test_hold_begins_anew_with_the_correction() -> None:
    county = County()
    for second in range(0, 50, 2):
        county.at(second).step(crowd("C-1", county.now, 3.2))
    for second in range(50, 116, 2):
        if second == 106:
            assert county.incidents == {}
        county.at(second).step(told(crowd("C-1", county.now, 3.2), 3600))
    assert county.incident().state is IncidentState.PENDING_REVIEW


@pytest.mark.parametrize("corrected_s", [300, 1200, 3600])
def test_alarm_after_the_correction_is_not_taken_back_by_the_reset_before_it(corrected_s: float) -> None:
    county = County()
    county.detector().alarms("a")
    county.at(10).detector().resets()
    county.at(20).step(told(observe("S-1", SMOKE, county.now, external_id="b"), corrected_s))
    assert IncidentState.PENDING_REVIEW in {incident.state for incident in county.incidents.values()}


def test_reset_after_the_correction_leaves_the_alarm_before_it_to_a_person() -> None:
    county = County()
    county.detector().alarms("a")
    county.at(70).step(told(observe("S-1", SMOKE, county.now, phase=Phase.CLEAR), 3600))
    assert county.incident().state is IncidentState.CONFIRMED
    assert county.reasons() == [Reason.TOO_LATE]


def test_camera_blind_before_the_correction_is_believed_again_after_it() -> None:
    county = County()
    for second in range(0, 66, 2):
        county.at(second).camera().sees_crowd(3.2)
    county.camera().goes(SourceState.BLIND)
    county.at(70).camera().goes(SourceState.LIVE, reason="seeing", at_s=-3600)
    for second in range(72, 80, 2):
        county.at(second).step(told(crowd("C-1", county.now, 3.2), 3600))
    assert not county.incident().unknown
