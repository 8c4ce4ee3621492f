"""Device faults: into the operations queue, never to a grid."""

from __future__ import annotations

import msgspec
import pytest

from alerts.core.batch import Batch
from contracts.incident import IncidentState, Reason
from contracts.observation import IncidentType, Phase
from contracts.source import SourceChange, SourceKind, SourceState
from tests.alerts.core.county import SITE, SQUARE, T0, County

CAMERA, SENSOR = SourceKind.CAMERA, SourceKind.SENSOR


def test_check_19_covered_camera_is_in_the_operations_queue_within_30_s_without_a_ticket() -> None:
    """Domain check 19: device fault within 30 s, no grid ticket."""
    county = County()
    county.camera().goes(SourceState.BLIND)
    county.at(29)
    incident = county.incident()
    assert (incident.type, incident.operations) == (IncidentType.VIDEO_QUALITY, True)
    assert incident.place == SQUARE
    assert county.tickets == {}
    assert Reason.OPERATIONS_QUEUE in {decision.reason for decision in incident.decisions}


FAULTS = [
    (CAMERA, SourceState.STALLED, IncidentType.VIDEO_LOSS),
    (CAMERA, SourceState.BACKOFF, IncidentType.VIDEO_LOSS),
    (CAMERA, SourceState.REFUSED, IncidentType.VIDEO_LOSS),
    (CAMERA, SourceState.BLIND, IncidentType.VIDEO_QUALITY),
    (CAMERA, SourceState.QUARANTINED, IncidentType.VIDEO_QUALITY),
    (SENSOR, SourceState.STALE, IncidentType.SENSOR_FAULT),
    (SENSOR, SourceState.BACKOFF, IncidentType.SENSOR_FAULT),
]


@pytest.mark.parametrize(("kind", "state", "type_"), FAULTS)
def test_state_that_lasts_is_a_fault_of_its_type_and_ends_when_live(
    kind: SourceKind, state: SourceState, type_: IncidentType
) -> None:
    county = County()
    county.camera().goes(state, kind)
    county.at(31)
    assert county.incident().type is type_
    county.camera().goes(SourceState.LIVE, kind)
    county.at(40)
    assert county.incident().state is IncidentState.CONFIRMED
    county.at(42)
    assert county.incident().state is IncidentState.CLEARED


def test_fault_shorter_than_its_hold_is_counted_and_not_shown() -> None:
    county = County()
    county.camera().goes(SourceState.STALLED)
    county.at(20).camera().goes(SourceState.LIVE)
    county.at(100)
    assert county.incidents == {}
    assert county.engine.counters()["faults_dropped"] == 1


def test_flapping_camera_is_one_incident() -> None:
    county = County()
    for minute in range(10):
        county.at(minute * 60).camera().goes(SourceState.STALLED)
        county.at(minute * 60 + 45).camera().goes(SourceState.LIVE)
    assert len(county.incidents) == 1


def test_connecting_again_and_again_does_not_end_the_fault() -> None:
    county = County()
    for second in range(0, 60, 10):
        county.at(second).camera().goes(SourceState.BACKOFF)
        county.at(second + 5).camera().goes(SourceState.CONNECTING)
    assert county.incident().type is IncidentType.VIDEO_LOSS
    assert county.incident().state is IncidentState.CONFIRMED


def test_fault_that_the_device_reports_itself_takes_the_same_way() -> None:
    county = County()
    county.camera("S-1").says(IncidentType.SENSOR_FAULT, kind=SENSOR)
    county.at(31)
    assert county.incident().operations
    county.camera("S-1").says(IncidentType.SENSOR_FAULT, Phase.CLEAR, kind=SENSOR)
    county.at(42)
    assert county.incident().state is IncidentState.CLEARED


def test_sensor_that_falls_silent_leaves_its_alarm_standing_and_unknown() -> None:
    county = County()
    county.detector().alarms("A")
    county.at(70).detector().goes(SourceState.STALE, SENSOR)
    alarm = next(incident for incident in county.incidents.values() if not incident.operations)
    assert (alarm.state, alarm.unknown) == (IncidentState.CONFIRMED, True)
    county.at(80).detector().goes(SourceState.LIVE, SENSOR)
    alarm = county.incidents[alarm.id]
    assert (alarm.state, alarm.unknown) == (IncidentState.CONFIRMED, False)


def test_change_of_another_site_late_or_repeated_is_refused() -> None:
    county = County()
    county.at(10)
    change = SourceChange(id="a", site=SITE, source_id="C-1", kind=CAMERA, state=SourceState.LIVE, at=county.now)
    elsewhere = msgspec.structs.replace(change, id="b", site="elsewhere")
    earlier = msgspec.structs.replace(change, id="c", at=T0)
    county.take(Batch(source_changes=(change, elsewhere, change, earlier)))
    assert county.reasons() == [Reason.WRONG_SITE, Reason.DUPLICATE, Reason.TOO_LATE]
    assert county.sources == [change]
