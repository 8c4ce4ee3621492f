"""Holds, thresholds and levels of sampled types."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from contracts.incident import Incident, IncidentState, Level, Reason
from contracts.observation import IncidentType, Phase
from contracts.source import SourceKind, SourceState
from contracts.ticket import SlaClass, TicketState
from tests.alerts.core.county import SQUARE, County, moved, observe

LANE = moved(SQUARE, zone_id="lane-1", name="环城路")


def crowd_over(
    county: County, first_s: int, last_s: int, density: Callable[[int], float], step_s: int = 1
) -> None:
    """One sample a second, then enough time for the reorder buffer."""
    for second in range(first_s, last_s + 1):
        county.at(second).camera().sees_crowd(density(second))
    county.at(last_s + 2.5)


def test_check_9_standing_at_3_per_m2_for_59_s_opens_nothing() -> None:
    """Domain check 9, first half."""
    county = County()
    crowd_over(county, 0, 59, lambda _: 3.0)
    assert county.incidents == {}


def test_check_9_60_s_opens_one_yellow_and_4_per_m2_for_30_s_makes_the_same_one_orange() -> None:
    """Domain check 9: 60 s -> one 黄; to 4.0 for 30 s -> the same incident becomes 橙."""
    county = County()
    crowd_over(county, 0, 60, lambda _: 3.0)
    incident, ticket = county.incident(), county.ticket()
    assert (incident.level, incident.state) == (Level.YELLOW, IncidentState.PENDING_REVIEW)
    assert (ticket.sla, ticket.state, ticket.suspected) == (SlaClass.P3, TicketState.REPORTED, True)
    crowd_over(county, 63, 92, lambda _: 4.0)
    assert county.incident().level is Level.YELLOW
    crowd_over(county, 95, 95, lambda _: 4.0)
    assert (county.incident().id, county.incident().level) == (incident.id, Level.ORANGE)
    assert (county.ticket().sla, county.transitions()) == (SlaClass.P2, ["T01", "LEVEL"])


def test_check_10_flapping_around_the_threshold_for_10_minutes_is_at_most_one_incident() -> None:
    """Domain check 10: +-5 % with a period of 10 s."""
    county = County()
    crowd_over(county, 0, 600, lambda second: 3.15 if second % 10 < 5 else 2.85)
    assert len(county.incidents) <= 1
    assert len(county.tickets) <= 1


@pytest.mark.parametrize(
    ("people", "level"), [(790, None), (800, Level.YELLOW), (1000, Level.ORANGE), (1100, Level.RED)]
)
def test_check_11_capacity_of_1000_is_judged_by_share(people: int, level: Level | None) -> None:
    """Domain check 11: 800 -> 黄, 1,000 -> 橙, 1,100 -> 红."""
    county = County()
    for second in range(0, 62, 2):
        county.at(second).camera().says(
            IncidentType.CROWD_CAPACITY, Phase.SAMPLE, count=people, place=SQUARE, detail=(("capacity", "1000"),)
        )
    county.at(63)
    assert [incident.level for incident in county.incidents.values()] == ([level] if level else [])


def test_check_11_capacity_missing_disables_the_rule_and_says_so() -> None:
    county = County()
    county.camera().says(IncidentType.CROWD_CAPACITY, Phase.SAMPLE, count=5000)
    assert county.reasons() == [Reason.UNCALIBRATED]
    assert "容量" in county.refused[0].text


def test_moving_zone_has_its_own_thresholds() -> None:
    county = County()
    for second in range(61):
        county.at(second).camera().sees_crowd(1.5, zone_kind="moving")
    county.at(63)
    assert county.incident().level is Level.YELLOW


def test_blue_crowd_waits_for_a_person_and_the_rise_to_yellow_opens_the_ticket() -> None:
    county = County()
    crowd_over(county, 0, 62, lambda _: 2.2)
    assert county.incident().level is Level.BLUE
    assert county.tickets == {}
    assert county.incident().decisions[-1].reason is Reason.BELOW_THRESHOLD
    crowd_over(county, 65, 130, lambda _: 3.2)
    assert county.ticket().level is Level.YELLOW


def test_gap_over_20_s_breaks_the_hold() -> None:
    county = County()
    crowd_over(county, 0, 40, lambda _: 3.2)
    crowd_over(county, 61, 100, lambda _: 3.2)
    assert county.incidents == {}
    crowd_over(county, 103, 122, lambda _: 3.2)
    assert county.incident().level is Level.YELLOW


def test_two_samples_that_span_the_hold_are_too_few() -> None:
    county = County()
    for second, density in ((0, 5.5), (12, 5.5)):
        county.at(second).camera().sees_crowd(density)
    county.at(20)
    assert county.incidents == {}


def test_level_falls_one_by_one_and_the_incident_ends_after_the_clear_hold() -> None:
    county = County()
    crowd_over(county, 0, 60, lambda _: 4.2)
    assert county.incident().level is Level.ORANGE
    crowd_over(county, 63, 183, lambda _: 3.0)
    assert county.incident().level is Level.YELLOW
    assert county.incident().decisions[-1].reason is Reason.LEVEL_LOWERED
    assert county.ticket().level is Level.ORANGE, "a ticket keeps the level that people were sent for"
    crowd_over(county, 186, 305, lambda _: 0.4)
    assert county.incident().state is IncidentState.PENDING_REVIEW
    crowd_over(county, 308, 310, lambda _: 0.4)
    assert county.incident().state is IncidentState.EXPIRED
    assert county.incident().decisions[-1].reason is Reason.QUIET_LONG_ENOUGH
    assert county.ticket().state is TicketState.REPORTED, "its end does not close the ticket"


def test_crowd_that_returns_within_the_merge_window_is_the_same_incident() -> None:
    county = County()
    crowd_over(county, 0, 60, lambda _: 3.2)
    crowd_over(county, 63, 190, lambda _: 0.1)
    assert county.incident().state is IncidentState.EXPIRED
    crowd_over(county, 300, 365, lambda _: 3.2)
    assert county.incident().state is IncidentState.PENDING_REVIEW


def held_open(county: County) -> Incident:
    crowd_over(county, 0, 62, lambda _: 3.2)
    assert not county.incident().unknown
    return county.incident()


def test_blind_camera_makes_the_count_unknown_and_holds_the_incident_open() -> None:
    """Domain check 19: the count becomes unknown, not 0."""
    county = County()
    held_open(county)
    county.at(70).camera().goes(SourceState.BLIND)
    assert county.incident().unknown
    county.at(4000)
    crowd = next(incident for incident in county.incidents.values() if incident.code == "21001")
    assert crowd.state is IncidentState.PENDING_REVIEW


def test_blindness_breaks_the_clear_hold_too() -> None:
    county = County()
    held_open(county)
    crowd_over(county, 65, 150, lambda _: 0.2)
    county.camera().goes(SourceState.BLIND)
    county.camera().sees_again()
    crowd_over(county, 153, 200, lambda _: 0.2)
    assert county.incident().state is IncidentState.PENDING_REVIEW
    crowd_over(county, 203, 275, lambda _: 0.2)
    assert county.incident().state is IncidentState.EXPIRED


def test_silent_camera_is_unknown_after_its_gap_and_known_again_with_its_next_sample() -> None:
    county = County()
    held_open(county)
    county.at(110)
    assert county.incident().unknown
    assert county.incident().decisions[-1].reason is Reason.HELD_OPEN_UNKNOWN
    crowd_over(county, 111, 111, lambda _: 3.2)
    assert not county.incident().unknown


def test_unknown_claim_of_the_source_breaks_a_candidate() -> None:
    county = County()
    crowd_over(county, 0, 50, lambda _: 3.2)
    county.camera().sees_crowd(None, phase=Phase.UNKNOWN)
    crowd_over(county, 53, 80, lambda _: 3.2)
    assert county.incidents == {}


def stopped(county: County, standing_s: float, phase: Phase = Phase.ACTIVE) -> None:
    county.camera("C-9", LANE).says(
        IncidentType.STOPPED_VEHICLE, phase, value=standing_s, detail=(("zone_kind", "lane"),)
    )


def test_vehicle_that_stands_60_s_in_a_lane_is_yellow_and_59_s_is_nothing() -> None:
    county = County()
    stopped(county, 59)
    county.at(5)
    assert county.incidents == {}
    stopped(county, 60)
    county.at(10)
    assert (county.incident().level, county.incident().code) == (Level.YELLOW, "22003")
    assert county.ticket().lead == "公安交管"


def test_vehicle_that_left_ends_the_incident_after_the_clear_hold() -> None:
    county = County()
    stopped(county, 70)
    county.at(30)
    stopped(county, 0, Phase.CLEAR)
    county.at(41)
    assert county.incident().state is IncidentState.PENDING_REVIEW
    county.at(43)
    assert county.incident().state is IncidentState.EXPIRED
    assert county.incident().decisions[-1].reason is Reason.RESET_BY_SOURCE


def test_vehicle_seen_again_within_the_clear_hold_goes_on() -> None:
    county = County()
    stopped(county, 70)
    county.at(30)
    stopped(county, 0, Phase.CLEAR)
    county.at(35)
    stopped(county, 80)
    county.at(60)
    assert county.incident().state is IncidentState.PENDING_REVIEW


def test_vehicle_whose_camera_went_blind_after_it_left_is_held_open() -> None:
    county = County()
    stopped(county, 70)
    county.at(30)
    stopped(county, 0, Phase.CLEAR)
    county.at(33).camera("C-9", LANE).goes(SourceState.STALE)
    county.at(60)
    vehicle = next(incident for incident in county.incidents.values() if incident.code == "22003")
    assert vehicle.unknown
    assert vehicle.state is IncidentState.PENDING_REVIEW


def test_stopped_vehicle_outside_a_lane_has_no_rule() -> None:
    county = County()
    county.camera().says(IncidentType.STOPPED_VEHICLE, value=90.0, detail=(("zone_kind", "standing"),))
    assert county.reasons() == [Reason.UNKNOWN_TYPE]


def test_few_people_on_little_ground_are_no_crowd() -> None:
    county = County()
    for second in range(0, 70, 2):
        county.at(second).camera().sees_crowd(6.0, people=9)
    county.at(75)
    assert county.incidents == {}


def test_new_version_of_a_zone_starts_its_hold_anew_and_the_old_version_is_refused() -> None:
    county = County()
    crowd_with = {"place": SQUARE, "count": 60, "density": 3.2}
    detail = (("zone_kind", "standing"), ("area_m2", "100"))
    for second in range(0, 70, 2):
        county.at(second).camera().says(
            IncidentType.CROWD_DENSITY,
            Phase.SAMPLE,
            kind=SourceKind.CAMERA,
            zone_version=1 if second < 40 else 2,
            detail=detail,
            **crowd_with,
        )
    county.at(75)
    assert county.incidents == {}
    county.camera().says(IncidentType.CROWD_DENSITY, Phase.SAMPLE, zone_version=1, detail=detail, **crowd_with)
    assert county.reasons() == [Reason.OUTDATED_ZONE]


def test_candidates_and_dropped_candidates_are_counted() -> None:
    county = County()
    crowd_over(county, 0, 30, lambda _: 3.2)
    crowd_over(county, 33, 40, lambda _: 0.1)
    counters = county.engine.counters()
    assert (counters["candidates"], counters["candidates_dropped"]) == (1, 1)


def test_others_than_fire_wait_for_review_and_remind_at_100_and_200_percent() -> None:
    county = County()
    crowd_over(county, 0, 62, lambda _: 3.2)
    for second in range(65, 2000, 5):
        county.at(second).camera().sees_crowd(3.2)
    assert county.incident().state is IncidentState.PENDING_REVIEW
    reminders = [d for d in county.incident().decisions if d.reason is Reason.NOBODY_ACTED]
    assert [round((d.at - county.incident().opened_at) / 1e9) for d in reminders] == [600, 1200]


def test_candidate_whose_source_says_that_it_ended_is_dropped() -> None:
    county = County()
    crowd_over(county, 0, 30, lambda _: 3.2)
    county.camera().sees_crowd(None, phase=Phase.CLEAR)
    county.at(33).camera().sees_crowd(None, phase=Phase.CLEAR)
    crowd_over(county, 36, 80, lambda _: 3.2)
    assert county.incidents == {}
    assert county.engine.counters()["candidates_dropped"] == 1


def test_unknown_claim_holds_the_incident_of_its_series_open() -> None:
    county = County()
    held_open(county)
    county.camera().sees_crowd(None, phase=Phase.UNKNOWN)
    county.at(68)
    assert county.incident().unknown


def test_second_camera_joins_an_open_crowd_and_its_alarm_ids_are_kept_once() -> None:
    county = County()
    held_open(county)
    for second in range(65, 135, 2):
        county.at(second).camera().sees_crowd(3.2)
        county.camera("C-2", moved(SQUARE, 8)).sees_crowd(3.6)
    assert county.incident().source_ids == ("C-1", "C-2")
    assert Reason.SAME_INCIDENT in {decision.reason for decision in county.incident().decisions}


def test_vehicle_without_a_value_cannot_be_judged() -> None:
    county = County()
    county.camera("C-9", LANE).says(IncidentType.STOPPED_VEHICLE, detail=(("zone_kind", "lane"),))
    assert county.reasons() == [Reason.UNCALIBRATED]


def test_alarm_id_of_a_sampled_claim_is_named_once() -> None:
    county = County()
    camera, lane = county.camera("C-9", LANE), (("zone_kind", "lane"),)
    for second in range(0, 10, 2):
        county.at(second)
        id_ = f"v{second // 4}"
        camera.says(IncidentType.STOPPED_VEHICLE, value=60.0 + second, detail=lane, external_id=id_)
    county.at(20)
    assert county.incident().external_ids == ("v0", "v1", "v2")


def test_incident_and_ticket_name_every_model_that_saw_it_once() -> None:
    county = County()
    for second, tag in ((0, "nano@1#aa MIT t=0.30"), (5, "nano@1#aa MIT t=0.35"), (10, "nano@2#bb MIT t=0.30")):
        county.at(second)
        seen = observe(
            "C-9", IncidentType.STOPPED_VEHICLE, county.now, kind=SourceKind.CAMERA, place=LANE,
            value=70.0 + second, detail=(("zone_kind", "lane"),),
        )  # fmt: skip
        county.step(msgspec.structs.replace(seen, model=tag))
    county.at(20)
    assert county.incident().models == ("nano@1#aa MIT", "nano@2#bb MIT")
    assert "nano@1#aa MIT" in county.ticket().models
