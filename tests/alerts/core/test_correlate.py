"""Which observations become one incident, and when two triggers confirm a fire."""

from __future__ import annotations

import pytest

from contracts.incident import IncidentState, Level, Reason
from contracts.instant import MINUTE
from contracts.observation import IncidentType, Phase
from contracts.source import SourceKind
from contracts.ticket import SlaClass, TicketState
from tests.alerts.core.county import HALL, County, instant, moved, observe

OPEN_FIELD = moved(HALL, fire_zone=None)

FLAME, SMOKE = IncidentType.FLAME_SUSPECTED, IncidentType.SMOKE_SUSPECTED


def test_check_14_second_detector_in_the_fire_zone_confirms_the_fire_on_the_same_ticket() -> None:
    """Domain check 14: within 180 s -> 已确认, the same ticket raised to P1."""
    county = County()
    county.detector("S-1").alarms("a")
    county.at(180).detector("S-2").alarms("b")
    incident, ticket = county.incident(), county.ticket()
    assert (incident.state, incident.level, incident.code) == (IncidentState.CONFIRMED, Level.RED, "23003")
    assert not incident.suspected
    assert incident.type is IncidentType.SMOKE_SENSOR
    assert (ticket.sla, ticket.code, ticket.type) == (SlaClass.P1, "23003", "fire.confirmed")
    assert ticket.state is TicketState.REGISTERED
    assert ticket.lead == "消防救援大队(119)"
    assert ticket.external_ids == ("a", "b")
    assert [decision.reason for decision in incident.decisions[-2:]] == [
        Reason.SECOND_INDEPENDENT_SOURCE,
        Reason.ESCALATED,
    ]
    assert "两个独立来源" in ticket.description


def test_check_14_the_same_detector_repeating_is_not_a_second_trigger() -> None:
    county = County()
    for second in range(0, 50, 10):
        county.at(second).detector("S-1").alarms(f"a{second}")
    assert county.incident().state is IncidentState.PENDING_REVIEW
    assert county.incident().level is Level.ORANGE
    assert len(county.incident().external_ids) == 5


def test_second_trigger_after_181_s_joins_without_confirming() -> None:
    county = County()
    county.detector("S-1").alarms()
    county.at(181).detector("S-2").alarms()
    assert county.incident().suspected
    assert county.incident().code == "23004"


PAIRS = {
    "detector and flame in a picture": [("S-1", IncidentType.SMOKE_SENSOR), ("C-1", FLAME)],
    "detector and smoke in a picture": [("S-1", IncidentType.SMOKE_SENSOR), ("C-1", SMOKE)],
    "smoke and heat detector": [("S-1", IncidentType.SMOKE_SENSOR), ("H-1", IncidentType.HEAT)],
    "heat detector and flame in a picture": [("H-1", IncidentType.HEAT), ("C-1", FLAME)],
}


def kind_of(source: str) -> SourceKind:
    return SourceKind.CAMERA if source.startswith("C") else SourceKind.SENSOR


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
@pytest.mark.parametrize("swapped", [False, True])
def test_two_independent_triggers_in_a_fire_zone_confirm(
    pair: list[tuple[str, IncidentType]], swapped: bool
) -> None:
    county = County()
    for offset, (source, type_) in enumerate(reversed(pair) if swapped else pair):
        county.at(offset * 20).camera(source, HALL).says(type_, kind=kind_of(source))
    assert county.incident().code == "23003"
    assert county.ticket().sla is SlaClass.P1


@pytest.mark.parametrize("second", [FLAME, SMOKE])
def test_two_cameras_join_without_confirming_until_a_detector_agrees(second: IncidentType) -> None:
    county = County()
    county.camera("C-1", HALL).says(FLAME)
    county.at(20).camera("C-2", HALL).says(second)
    assert (county.incident().suspected, county.incident().code) == (True, "23001")
    county.at(40).detector("S-1").alarms("a")
    assert (county.incident().suspected, county.incident().code) == (False, "23003")


def test_reset_of_a_drill_takes_no_real_alarm_back_nor_the_reverse() -> None:
    county = County()
    county.detector("S-1").alarms("a")
    county.detector("S-1").says(
        IncidentType.SMOKE_SENSOR, kind=SourceKind.SENSOR, external_id="yl-a", exercise=True
    )
    county.at(5).detector("S-1").says(
        IncidentType.SMOKE_SENSOR, Phase.CLEAR, kind=SourceKind.SENSOR, exercise=True
    )
    states = {incident.exercise: incident.state for incident in county.incidents.values()}
    assert states == {False: IncidentState.PENDING_REVIEW, True: IncidentState.EXPIRED}


def test_flame_and_smoke_of_one_camera_are_one_fire_and_do_not_confirm_each_other() -> None:
    county = County()
    county.camera("C-1", HALL).says(SMOKE)
    county.at(5).camera("C-1", HALL).says(FLAME)
    incident = county.incident()
    assert incident.state is IncidentState.PENDING_REVIEW
    assert (incident.level, incident.code) == (Level.ORANGE, "23001")
    assert (county.ticket().sla, county.ticket().code) == (SlaClass.P2, "23001")


def test_without_a_named_fire_zone_triggers_within_100_m_confirm_and_beyond_do_not() -> None:
    for apart_m, incidents in ((95, 1), (105, 2)):
        county = County()
        county.detector("S-1", OPEN_FIELD).alarms()
        county.at(10).detector("S-2", moved(OPEN_FIELD, apart_m)).alarms()
        assert len(county.incidents) == incidents
        assert any(incident.code == "23003" for incident in county.incidents.values()) is (incidents == 1)


def test_two_named_fire_zones_stay_apart_even_5_m_from_each_other() -> None:
    county = County()
    county.detector("S-1", HALL).alarms()
    county.at(1).detector("S-2", moved(HALL, 5, fire_zone="FZ-2")).alarms()
    assert len(county.incidents) == 2


def test_same_zone_name_far_away_is_another_zone() -> None:
    county = County()
    county.detector("S-1", HALL).alarms()
    county.at(1).detector("S-2", moved(HALL, 600)).alarms()
    assert len(county.incidents) == 2


def test_gas_rising_from_25_to_50_percent_is_one_incident_that_becomes_red() -> None:
    county = County()
    county.detector("G-1").says(IncidentType.GAS_LEL1, value=25.0)
    assert county.incident().level is Level.ORANGE
    county.at(5).detector("G-1").says(IncidentType.GAS_LEL2, value=50.0)
    assert (county.incident().level, county.incident().code) == (Level.RED, "23007")
    assert county.ticket().sla is SlaClass.P1


def test_carbon_monoxide_of_300_ppm_is_red() -> None:
    county = County()
    county.detector("K-1").says(IncidentType.GAS_CO, value=60.0)
    assert county.incident().level is Level.ORANGE
    county.at(5).detector("K-1").says(IncidentType.GAS_CO, value=300.0)
    assert county.incident().level is Level.RED


def test_alarm_30_minutes_after_the_last_evidence_is_another_incident() -> None:
    county = County()
    county.detector().alarms("a")
    county.at(1801).detector().alarms("b")
    assert len(county.incidents) == 2


def test_crowds_25_m_apart_are_one_and_60_m_apart_are_two() -> None:
    for apart_m, incidents in ((20, 1), (60, 2)):
        county = County()
        for second in range(0, 66, 2):
            county.at(second)
            for number in (0, 1):
                place = moved(HALL, apart_m * number, zone_id=f"zone-{number}", fire_zone=None)
                county.camera(f"C-{number}", place).sees_crowd(3.2)
        county.at(70)
        assert len(county.incidents) == incidents


def test_crowd_of_two_cameras_has_the_worse_level_and_lasts_as_long_as_either() -> None:
    county = County()
    near = moved(HALL, 5, zone_id="other")
    for second in range(0, 300, 2):
        county.at(second)
        county.camera("C-1", moved(HALL, zone_id="one")).sees_crowd(4.5 if second < 100 else 0.5)
        county.camera("C-2", near).sees_crowd(3.2)
    county.at(303)
    assert county.incident().level is Level.YELLOW
    assert county.incident().state is IncidentState.PENDING_REVIEW
    assert set(county.incident().source_ids) == {"C-1", "C-2"}


def test_device_faults_of_two_cameras_on_one_pole_stay_two() -> None:
    county = County()
    for number in (1, 2):
        county.camera(f"C-{number}", HALL).says(IncidentType.VIDEO_QUALITY)
    county.at(15)
    assert len(county.incidents) == 2


def test_place_that_is_no_number_loses_no_alarm() -> None:
    county = County()
    lost = moved(HALL, fire_zone=None, grid_code=None, lat=float("nan"))
    county.detector("S-1", lost).alarms("a")
    county.detector("S-2", lost).alarms("b")
    assert sorted(incident.external_ids for incident in county.incidents.values()) == [("a",), ("b",)]


def test_reordered_triggers_confirm_as_ordered_ones_do() -> None:
    county = County()
    county.at(400)
    for source, second in (("S-1", 300), ("S-1", 399), ("S-2", 310)):
        county.step(observe(source, IncidentType.SMOKE_SENSOR, instant(second), external_id=f"{source}{second}"))
    assert county.incident().code == "23003"


def test_late_reset_before_the_latest_alarm_does_not_end_it() -> None:
    county = County()
    county.at(100).detector().alarms()
    county.step(observe("S-1", IncidentType.SMOKE_SENSOR, instant(90), phase=Phase.CLEAR))
    assert county.incident().state is IncidentState.PENDING_REVIEW
    assert county.reasons() == [Reason.TOO_LATE]


def test_camera_that_no_longer_sees_a_flame_does_not_end_the_fire() -> None:
    county = County()
    county.camera("C-1", HALL).says(FLAME)
    county.at(20).camera("C-1", HALL).says(FLAME, Phase.CLEAR)
    assert county.incident().state is IncidentState.PENDING_REVIEW
    assert "火情只由人解除" in county.incident().decisions[-1].text
    county.at(30 * MINUTE / 1e9)
    assert county.incident().state is IncidentState.CONFIRMED
