"""The engine as a whole: what one alarm becomes, what a snapshot holds, what a wrong one says."""

from __future__ import annotations

import pytest

from alerts.core.batch import Batch
from alerts.core.effects import IncidentChanged, TicketChanged
from alerts.core.engine import SNAPSHOT_VERSION, Engine
from contracts.command import CommandKind
from contracts.errors import StoreCorrupt
from contracts.incident import Action, IncidentState, Level, Reason
from contracts.instant import SECOND
from contracts.observation import IncidentType, Phase
from contracts.ticket import SlaClass, TicketState
from tests.alerts.core.county import COUNTY, HALL, POLICY, SITE, T0, County, instant, moved, observe


def test_check_13_one_smoke_alarm_is_a_suspected_orange_incident_with_a_ticket_in_the_same_step() -> None:
    """Domain check 13: one sensor alarm -> 疑似, 橙, review timer running, not 已确认."""
    county = County()
    county.detector().alarms("A-17")
    incident, ticket = county.incident(), county.ticket()
    assert (incident.state, incident.level, incident.code) == (IncidentState.PENDING_REVIEW, Level.ORANGE, "23004")
    assert incident.suspected
    assert incident.review_due_at == T0 + 60 * SECOND
    assert (ticket.state, ticket.sla, ticket.suspected) == (TicketState.REPORTED, SlaClass.P2, True)
    assert ticket.external_ids == incident.external_ids == ("A-17",)
    assert (ticket.grid_code, ticket.lead) == (HALL.grid_code, "使用单位 + 网格员")
    assert county.transitions() == ["T01"]


def test_check_15_nobody_reviews_a_fire_for_60_s_then_it_goes_on_flagged_unreviewed() -> None:
    """Domain check 15: fail-safe to A3, T03 and T06, 未研判; not a second before."""
    county = County()
    county.detector().alarms()
    county.at(59.9)
    assert county.incident().state is IncidentState.PENDING_REVIEW
    county.at(60)
    incident, ticket = county.incident(), county.ticket()
    assert (incident.state, incident.unreviewed, incident.suspected) == (IncidentState.CONFIRMED, True, True)
    assert incident.decisions[-1].reason is Reason.REVIEW_TIMEOUT_FAIL_SAFE
    assert county.transitions() == ["T01", "T03", "T06"]
    assert (ticket.state, ticket.unreviewed) == (TicketState.REGISTERED, True)


def test_unlocated_alarm_gets_a_ticket_that_waits_for_its_grid() -> None:
    county = County()
    county.detector(place=moved(HALL, grid_code=None)).alarms()
    assert county.ticket().state is TicketState.UNLOCATED
    assert county.transitions() == ["T01", "T02"]
    county.at(61)
    assert county.ticket().state is TicketState.UNLOCATED


def test_case_numbers_count_the_day_and_begin_anew_at_midnight_in_beijing() -> None:
    county = County()
    county.detector("S-1").alarms()
    county.detector("S-2", moved(HALL, 900, fire_zone="FZ-2")).alarms()
    county.at(86_400).detector("S-3", moved(HALL, 1800, fire_zone="FZ-3")).alarms()
    numbers = sorted(ticket.case_number for ticket in county.tickets.values())
    assert [number[:6] for number in numbers] == [COUNTY] * 3
    assert [number[-5:] for number in numbers] == ["00001", "00002", "00001"]
    assert numbers[0][6:14] != numbers[2][6:14]


def test_exercise_and_real_alarm_in_one_fire_zone_never_meet() -> None:
    county = County()
    county.detector("S-1").alarms("real")
    county.detector("S-2").says(IncidentType.SMOKE_SENSOR, exercise=True, external_id="drill")
    assert {incident.exercise for incident in county.incidents.values()} == {True, False}
    assert all(incident.code == "23004" for incident in county.incidents.values())
    assert sorted(ticket.case_number[:2] for ticket in county.tickets.values()) == ["15", "YL"]


def test_every_decision_says_action_reason_and_sentence() -> None:
    county = County()
    county.detector().alarms()
    county.at(60)
    decisions = county.incident().decisions
    assert [(decision.action, decision.reason) for decision in decisions] == [
        (Action.OPEN, Reason.ACTS_ON_ARRIVAL),
        (Action.OPEN, Reason.TICKET_OPENED),
        (Action.CONFIRM, Reason.REVIEW_TIMEOUT_FAIL_SAFE),
    ]
    assert decisions[-1].text == "60 秒无人研判, 自动转派, 仍为疑似 (时限 60 秒)"


def test_effects_name_each_incident_once_and_before_its_ticket() -> None:
    county = County()
    alarms = [observe(f"S-{n}", IncidentType.SMOKE_SENSOR, county.now, external_id=f"x{n}") for n in range(5)]
    effects = county.step(*alarms)
    assert [type(effect) for effect in effects] == [IncidentChanged, TicketChanged]


def test_storm_in_one_fire_zone_keeps_incidents_bounded_and_loses_no_alarm() -> None:
    county = County()
    alarms = tuple(
        observe(f"S-{n}", IncidentType.SMOKE_SENSOR, county.now, external_id=f"x{n}") for n in range(300)
    )
    county.step(*alarms)
    behind = [id_ for ticket in county.tickets.values() for id_ in ticket.external_ids]
    assert sorted(behind) == sorted(f"x{n}" for n in range(300))
    assert max(len(incident.source_ids) for incident in county.incidents.values()) <= 64


def test_next_due_is_none_until_something_waits() -> None:
    county = County()
    assert county.engine.next_due() is None
    county.detector().alarms()
    assert county.engine.next_due() == instant(60)


def test_now_that_goes_back_is_taken_as_standing() -> None:
    county = County()
    county.at(100)
    effects = county.engine.step(Batch((observe("S-1", IncidentType.SMOKE_SENSOR, T0),)), T0)
    [incident] = [effect.incident for effect in effects if isinstance(effect, IncidentChanged)]
    assert incident.opened_at == instant(100)


def test_snapshot_of_a_lived_day_restores_to_the_same_bytes() -> None:
    county = County()
    county.detector().alarms()
    county.camera().sees_crowd(3.5)
    county.person().asks(CommandKind.ACKNOWLEDGE, county.incident().id)
    data = county.engine.snapshot()
    assert Engine.restore(SITE, COUNTY, POLICY, data).snapshot() == data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "snapshot_version"),  # Nothing was written.
        (b"\x63rest", "snapshot_version"),  # A later release wrote it.
        (bytes([SNAPSHOT_VERSION]) + b"\xc1", "store_corrupt"),  # Bytes that are no MessagePack.
    ],
)
def test_unreadable_snapshot_is_refused_with_a_way_out(data: bytes, reason: str) -> None:
    with pytest.raises(StoreCorrupt, match="journal") as caught:
        Engine.restore(SITE, COUNTY, POLICY, data)
    assert caught.value.reason == reason


def test_alarm_after_its_ticket_was_closed_is_a_new_incident() -> None:
    county = County()
    county.detector().alarms("first")
    lead = county.person()
    assert lead.asks(CommandKind.FALSE_ALARM, county.incident().id, reason="油烟").accepted
    county.at(30).detector().alarms("second")
    assert len(county.incidents) == 2
    assert sorted(ticket.state for ticket in county.tickets.values()) == [
        TicketState.REPORTED,
        TicketState.REJECTED,
    ]


def test_ended_incident_is_forgotten_after_its_merge_window_and_a_later_alarm_is_new() -> None:
    county = County()
    county.detector().alarms("one")
    county.at(70).detector().resets()
    assert county.incident().state is IncidentState.CLEARED
    county.at(70 + 1801)
    assert county.engine.state.incidents == {}
    county.detector().alarms("two")
    assert len(county.incidents) == 2


def test_reset_then_alarm_within_the_merge_window_reopens_the_same_incident() -> None:
    county = County()
    county.detector().alarms("one")
    county.at(70).detector().resets()
    county.at(300).detector().alarms("two")
    assert county.incident().state is IncidentState.CONFIRMED
    assert county.ticket().external_ids == ("one", "two")


def test_reset_before_review_expires_the_incident_and_leaves_the_ticket_open() -> None:
    county = County()
    county.detector().alarms("one")
    county.at(20).detector().resets()
    assert county.incident().state is IncidentState.EXPIRED
    assert county.ticket().state is TicketState.REPORTED


def test_unknown_from_a_sensor_holds_its_incident_open() -> None:
    county = County()
    county.detector().alarms()
    county.at(5).detector().says(IncidentType.SMOKE_SENSOR, Phase.UNKNOWN)
    assert county.incident().unknown
    assert county.incident().state is IncidentState.PENDING_REVIEW


def test_flame_seen_for_half_an_hour_is_one_incident_and_few_messages() -> None:
    county = County()
    for second in range(0, 1800, 2):
        county.at(second).camera("C-1", HALL).says(IncidentType.FLAME_SUSPECTED)
    incident, ticket = county.incident(), county.ticket()
    assert 897 <= incident.observation_total <= 900, "shown at least every 5 s"
    assert len(incident.observation_ids) <= 16
    assert incident.version < 400
    assert ticket.version < 10
