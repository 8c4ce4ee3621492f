"""Device faults: into the operations queue, never to a grid."""

from __future__ import annotations

import msgspec
import pytest

from alerts.core.batch import Batch
from contracts.command import CommandKind
from contracts.incident import Action, IncidentState, Reason
from contracts.observation import IncidentType, Observation, Phase
from contracts.source import SEEING, SourceChange, SourceKind, SourceState
from tests.alerts.core.county import SITE, SQUARE, T0, County, crowd, instant, observe

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
    (CAMERA, SourceState.STALE, IncidentType.VIDEO_LOSS),
    (CAMERA, SourceState.FAULTED, IncidentType.VIDEO_LOSS),
    (CAMERA, SourceState.FAULTED, IncidentType.VIDEO_LOSS),
    (CAMERA, SourceState.BLIND, IncidentType.VIDEO_QUALITY),
    (CAMERA, SourceState.BLIND, IncidentType.VIDEO_QUALITY),
    (SENSOR, SourceState.STALE, IncidentType.SENSOR_FAULT),
    (SENSOR, SourceState.FAULTED, IncidentType.SENSOR_FAULT),
]


@pytest.mark.parametrize(("kind", "state", "type_"), FAULTS)
def test_state_that_lasts_is_a_fault_of_its_type_and_ends_when_live(
    kind: SourceKind, state: SourceState, type_: IncidentType
) -> None:
    county = County()
    county.camera().goes(state, kind)
    county.at(31)
    assert county.incident().type is type_
    county.camera().goes(SourceState.LIVE, kind, reason=SEEING if type_ is IncidentType.VIDEO_QUALITY else "")
    county.at(40)
    assert county.incident().state is IncidentState.CONFIRMED
    county.at(42)
    assert county.incident().state is IncidentState.CLEARED


def test_fault_shorter_than_its_hold_is_counted_and_not_shown() -> None:
    county = County()
    county.camera().goes(SourceState.STALE)
    county.at(20).camera().goes(SourceState.LIVE)
    county.at(100)
    assert county.incidents == {}
    assert county.engine.counters()["faults_dropped"] == 1


def test_flapping_camera_is_one_incident() -> None:
    county = County()
    for minute in range(10):
        county.at(minute * 60).camera().goes(SourceState.STALE)
        county.at(minute * 60 + 45).camera().goes(SourceState.LIVE)
    assert len(county.incidents) == 1


def test_connecting_again_and_again_does_not_end_the_fault() -> None:
    county = County()
    for second in range(0, 60, 10):
        county.at(second).camera().goes(SourceState.FAULTED)
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


def test_change_of_another_site_or_repeated_is_refused_and_an_overtaken_one_is_counted() -> None:
    county = County()
    county.at(10)
    change = SourceChange(id="a", site=SITE, source_id="C-1", kind=CAMERA, state=SourceState.LIVE, at=county.now)
    elsewhere = msgspec.structs.replace(change, id="b", site="elsewhere")
    earlier = msgspec.structs.replace(change, id="c", at=T0, state=SourceState.STALE)
    county.take(Batch(source_changes=(change, elsewhere, change, earlier)))
    assert county.reasons() == [Reason.WRONG_SITE, Reason.DUPLICATE]
    assert county.engine.counters()["source_changes_overtaken"] == 1
    assert county.sources == [change]


def test_ingest_and_inference_tell_of_one_camera_by_two_clocks_and_neither_is_refused() -> None:
    county = County()
    county.at(10).camera().goes(SourceState.LIVE)
    county.camera().goes(SourceState.LIVE, reason=SEEING, at_s=-1.5)
    county.at(20).camera().goes(SourceState.STALE)
    county.at(21).camera().goes(SourceState.BLIND, at_s=-3)
    county.at(30).camera().goes(SourceState.LIVE)
    county.at(31).camera().goes(SourceState.LIVE, reason=SEEING, at_s=-2)
    assert county.refused == []
    states = [change.state for change in county.sources]
    assert states == [SourceState.LIVE, SourceState.STALE, SourceState.BLIND, SourceState.LIVE]


def test_of_a_camera_the_worst_is_shown_nothing_arrives_nothing_is_seen_suspect_live() -> None:
    county = County()
    county.camera().goes(SourceState.LIVE)
    county.at(10).camera().goes(SourceState.BLIND, reason="covered")
    county.at(20).camera().goes(SourceState.SUSPECT, reason="size_collapse")
    county.at(30).camera().goes(SourceState.FAULTED, reason="broken")
    county.at(40).camera().goes(SourceState.SUSPECT, reason="size_collapse")
    county.at(50).camera().goes(SourceState.LIVE, reason=SEEING)
    county.at(60).camera().goes(SourceState.LIVE)
    assert [change.state for change in county.sources] == [
        SourceState.LIVE,
        SourceState.BLIND,
        SourceState.FAULTED,
        SourceState.BLIND,
        SourceState.SUSPECT,
        SourceState.LIVE,
    ]


def test_suspect_camera_arrives_so_its_loss_is_over_and_it_is_no_fault_itself() -> None:
    county = County()
    county.camera().goes(SourceState.FAULTED)
    county.at(31)
    assert county.incident().type is IncidentType.VIDEO_LOSS
    county.camera().goes(SourceState.SUSPECT, reason="flapping")
    county.at(42)
    assert county.incident().state is IncidentState.CLEARED
    county.at(600)
    assert len(county.incidents) == 1


def test_alarm_of_a_silent_sensor_that_comes_back_suspect_waits_until_it_is_believed() -> None:
    county = County()
    county.detector().alarms("A")
    county.at(70).detector().goes(SourceState.STALE, SENSOR)
    alarm = next(incident for incident in county.incidents.values() if not incident.operations)
    county.at(80).detector().goes(SourceState.SUSPECT, SENSOR, reason="stuck")
    assert county.incidents[alarm.id].unknown
    county.at(90).detector().goes(SourceState.LIVE, SENSOR)
    assert not county.incidents[alarm.id].unknown


def test_covered_camera_whose_stream_comes_back_is_still_covered() -> None:
    county = County()
    for second in range(0, 66, 2):
        county.at(second).camera().sees_crowd(3.2)
    county.camera().goes(SourceState.BLIND)
    county.at(80).camera().goes(SourceState.FAULTED)
    county.at(82).camera().goes(SourceState.LIVE)
    county.at(120)
    crowd, fault = sorted(county.incidents.values(), key=lambda incident: incident.operations)
    assert crowd.unknown
    assert (fault.type, fault.state) == (IncidentType.VIDEO_QUALITY, IncidentState.CONFIRMED)
    assert [change.state for change in county.sources[-2:]] == [SourceState.FAULTED, SourceState.BLIND]
    county.camera().sees_again()
    county.at(131)
    assert county.incidents[fault.id].state is IncidentState.CLEARED
    assert county.sources[-1].state is SourceState.LIVE


def test_camera_that_stalls_after_its_worker_s_clock_was_set_back_is_noticed() -> None:
    county = County()
    county.at(3600).camera().goes(SourceState.LIVE)
    county.at(3601).camera().goes(SourceState.STALE, at_s=-3600)
    assert county.sources[-1].state is SourceState.STALE
    assert county.incidents == {}
    county.at(3632)
    assert county.incident().type is IncidentType.VIDEO_LOSS


def test_claim_of_a_drill_hides_no_real_fault_of_the_same_camera() -> None:
    county = County()
    county.camera().says(IncidentType.VIDEO_QUALITY, exercise=True)
    county.at(1).camera().says(IncidentType.VIDEO_QUALITY)
    county.at(31)
    assert sorted(incident.exercise for incident in county.incidents.values()) == [False, True]


def test_late_change_that_says_what_is_known_is_neither_news_nor_refused() -> None:
    county = County()
    county.at(10)
    change = SourceChange(id="a", site=SITE, source_id="C-1", kind=CAMERA, state=SourceState.LIVE, at=county.now)
    county.take(Batch(source_changes=(change, msgspec.structs.replace(change, id="b", at=T0))))
    assert county.reasons() == []
    assert county.sources == [change]


def test_fault_that_comes_back_within_its_clear_hold_goes_on() -> None:
    county = County()
    county.camera().goes(SourceState.STALE)
    county.at(35).camera().goes(SourceState.LIVE)
    county.at(40).camera().goes(SourceState.STALE)
    county.at(44).camera().goes(SourceState.LIVE)
    county.at(50)
    assert county.incident().state is IncidentState.CONFIRMED
    county.at(55)
    assert county.incident().state is IncidentState.CLEARED


def test_two_causes_of_one_fault_must_both_end() -> None:
    county = County()
    county.camera().goes(SourceState.BLIND)
    county.camera().says(IncidentType.VIDEO_QUALITY)
    county.at(15).camera().sees_again()
    county.at(40)
    assert county.incident().state is IncidentState.CONFIRMED
    county.camera().says(IncidentType.VIDEO_QUALITY, Phase.CLEAR)
    county.at(51)
    assert county.incident().state is IncidentState.CLEARED


def test_fault_that_a_person_dismissed_stays_dismissed_while_it_lasts() -> None:
    county = County()
    county.camera().goes(SourceState.STALE)
    county.at(31)
    assert county.person().asks(CommandKind.FALSE_ALARM, county.incident().id, reason="检修").accepted
    county.at(200).camera().goes(SourceState.STALE)
    county.at(300).camera().goes(SourceState.LIVE)
    county.at(400)
    assert county.incident().state is IncidentState.FALSE_ALARM


def test_camera_switched_off_is_no_fault_but_its_counts_are_unknown() -> None:
    county = County()
    for second in range(0, 66, 2):
        county.at(second).camera().sees_crowd(3.2)
    county.camera().goes(SourceState.OFF)
    county.at(100)
    assert county.incident().unknown


def test_clear_of_a_fault_that_never_was_is_nothing() -> None:
    county = County()
    county.camera().says(IncidentType.VIDEO_LOSS, Phase.CLEAR)
    county.camera().says(IncidentType.VIDEO_LOSS, Phase.UNKNOWN)
    county.at(60)
    assert county.incidents == {}


def test_fault_without_a_known_place_names_its_source() -> None:
    county = County()
    change = SourceChange(
        id="x", site=SITE, source_id="C-7", kind=CAMERA, state=SourceState.FAULTED, at=county.now
    )
    county.take(Batch(source_changes=(change,)))
    county.at(31)
    assert county.incident().place.name == "C-7"


def test_alarm_of_two_sensors_is_known_again_when_both_can_see() -> None:
    county = County()
    county.detector("S-1").alarms("a")
    county.detector("S-2").alarms("b")
    county.at(5).detector("S-1").goes(SourceState.STALE, SENSOR)
    county.detector("S-2").goes(SourceState.STALE, SENSOR)
    county.at(6).detector("S-1").goes(SourceState.LIVE, SENSOR)
    assert county.incident().unknown
    county.at(7).detector("S-2").goes(SourceState.LIVE, SENSOR)
    assert not county.incident().unknown


def late(source_id: str, at_s: float, arrived_s: float, **more: object) -> Observation:
    more.setdefault("type_", IncidentType.SMOKE_SENSOR)
    return observe(source_id, at=instant(at_s), arrival=instant(arrived_s), **more)  # type: ignore[arg-type]


def test_alarm_that_came_too_late_is_in_the_operations_queue_at_once_with_sensor_age_and_type() -> None:
    county = County()
    county.at(600).step(late("S-1", 0, 600, external_id="A", detail=(("sensor_name", "东门烟感"),)))
    assert county.reasons() == [Reason.TOO_LATE]
    incident = county.incident()
    assert (incident.type, incident.operations) == (IncidentType.SENSOR_FAULT, True)
    assert (incident.state, incident.ticket_id) == (IncidentState.CONFIRMED, None)
    assert incident.title == "迟到的报警 · 感烟报警 · 商场"
    [decision] = incident.decisions
    assert (decision.action, decision.reason) == (Action.OPEN, Reason.LATE_ALARM)
    for word in ("迟到的报警", "东门烟感", "感烟报警", "到达时已过 10 分钟"):
        assert word in decision.text
    assert county.tickets == {}


@pytest.mark.parametrize(
    ("observation", "why"),
    [
        (late("S-1", 0, 600, phase=Phase.CLEAR), "a reset"),
        (late("C-1", 0, 600, type_=IncidentType.FLAME_SUSPECTED, confidence=0.1), "hardly seen"),
        (msgspec.structs.replace(crowd("C-1", T0, 5.0), arrival_time=instant(600)), "a sample"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_alarm_makes_no_late_alarm(observation: Observation, why: str) -> None:
    county = County()
    county.at(600).step(observation)
    assert county.incidents == {}, why


def test_late_alarm_that_came_in_time_before_is_no_news() -> None:
    county = County()
    county.detector().alarms("A")
    county.at(600).step(late("S-1", 0, 600, external_id="A"))
    assert county.reasons() == [Reason.TOO_LATE]
    assert not county.incident().operations


def test_device_that_tells_an_alarm_late_and_then_with_the_right_time_is_believed() -> None:
    county = County()
    county.at(600).step(late("S-1", 0, 600, external_id="A"))
    county.at(610).detector().alarms("A")
    assert [ticket.external_ids for ticket in county.tickets.values()] == [("A",)]


def test_late_alarms_of_one_sensor_are_one_incident_that_clears_a_day_after_the_latest() -> None:
    county = County()
    for number in range(30):
        county.at(1000 * (number + 1)).step(late("S-1", 0, 1000 * (number + 1), external_id=f"A{number}"))
    assert county.incident().observation_total == 30
    county.at(30_000 + 86_400)
    assert county.incident().state is IncidentState.CONFIRMED
    county.at(30_000 + 86_400 + 11)
    assert county.incident().state is IncidentState.CLEARED
    assert county.incident().decisions[-1].reason is Reason.QUIET_LONG_ENOUGH


def test_sensor_that_recovers_takes_no_late_alarm_away() -> None:
    county = County()
    county.detector().goes(SourceState.STALE, SENSOR)
    county.at(300).step(late("S-1", 0, 300, external_id="A"))
    county.detector().goes(SourceState.LIVE, SENSOR)
    county.at(400)
    assert county.incident().state is IncidentState.CONFIRMED
    assert county.incident().title.startswith("迟到的报警")


def test_late_flame_of_a_camera_does_not_make_it_a_sensor() -> None:
    county = County()
    county.at(600).step(late("C-1", 0, 600, type_=IncidentType.FLAME_SUSPECTED, kind=CAMERA))
    assert county.engine.state.sources["C-1"].kind is CAMERA


def test_late_alarm_that_a_person_dismissed_stays_dismissed_and_the_next_one_is_told() -> None:
    county = County()
    county.at(600).step(late("S-1", 0, 600, external_id="A"))
    assert county.person().asks(CommandKind.FALSE_ALARM, county.incident().id, reason="test").accepted
    assert county.incident().state is IncidentState.FALSE_ALARM
    county.at(700).step(late("S-1", 300, 700, external_id="B"))
    assert sorted(incident.state for incident in county.incidents.values()) == [
        IncidentState.CONFIRMED,
        IncidentState.FALSE_ALARM,
    ]


def test_late_flame_that_a_person_dismissed_is_not_told_again_by_the_same_camera() -> None:
    county = County()
    county.at(600).step(late("C-1", 0, 600, type_=IncidentType.FLAME_SUSPECTED, kind=CAMERA))
    assert county.person().asks(CommandKind.FALSE_ALARM, county.incident().id, reason="light").accepted
    county.at(700).step(late("C-1", 300, 700, type_=IncidentType.FLAME_SUSPECTED, kind=CAMERA))
    assert county.incident().state is IncidentState.FALSE_ALARM
