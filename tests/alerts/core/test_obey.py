"""What people may ask, what follows, and what they are told when they may not."""

from __future__ import annotations

import pytest

from alerts.core.batch import Batch
from contracts.command import Command, CommandKind, MuteMatcher
from contracts.incident import IncidentState, Level, Reason
from contracts.observation import IncidentType, Phase
from contracts.principal import Principal, Role
from contracts.ticket import SlaClass, TicketState
from tests.alerts.core.county import (
    HALL,
    LEAD,
    OPERATOR,
    OTHER_LEAD,
    SQUARE,
    T0,
    WORKER,
    County,
    crowd,
    instant,
    moved,
    observe,
)

K = CommandKind
ABROAD = Principal(id="op-9", name="邻县值班员", role=Role.OPERATOR, grid_prefix="150621")


def alarmed() -> County:
    county = County()
    county.detector().alarms("A")
    return county


def crowded(density: float = 3.2) -> County:
    county = County()
    for second in range(0, 66, 2):
        county.at(second).camera().sees_crowd(density)
    return county


def test_person_who_confirms_a_fire_makes_it_confirmed_red_and_p1() -> None:
    county = alarmed()
    answer = county.person().asks(K.CONFIRM, county.incident().id)
    incident, ticket = county.incident(), county.ticket()
    assert answer.accepted
    assert answer.version == incident.version
    assert (incident.state, incident.code, incident.level) == (IncidentState.CONFIRMED, "23003", Level.RED)
    assert (incident.suspected, incident.unreviewed) == (False, False)
    assert (ticket.state, ticket.sla, ticket.suspected) == (TicketState.REGISTERED, SlaClass.P1, False)
    events = county.events[ticket.id]
    assert [(event.transition, event.actor) for event in events if event.transition != "LEVEL"] == [
        ("T01", "system"),
        ("T03", OPERATOR.id),
        ("T06", "system"),
    ]


def test_person_who_confirms_a_yellow_crowd_accepts_its_ticket_and_no_more() -> None:
    county = crowded()
    county.person().asks(K.CONFIRM, county.incident().id)
    assert county.ticket().state is TicketState.ACCEPTED
    assert county.incident().level is Level.YELLOW
    assert not county.ticket().suspected


def test_confirmed_blue_crowd_gets_its_ticket_by_the_person() -> None:
    county = crowded(2.2)
    assert county.tickets == {}
    county.person().asks(K.CONFIRM, county.incident().id)
    assert county.transitions() == ["T01", "T03"]
    assert county.ticket().sla is SlaClass.P4


def test_false_alarm_ends_the_incident_and_rejects_the_ticket() -> None:
    county = alarmed()
    answer = county.person().asks(K.FALSE_ALARM, county.incident().id, reason="施工粉尘")
    assert answer.accepted
    assert county.incident().state is IncidentState.FALSE_ALARM
    assert county.ticket().state is TicketState.REJECTED
    assert county.ticket().closed_at == county.now
    assert "施工粉尘" in county.incident().decisions[-1].text


def test_false_alarm_after_the_fail_safe_still_rejects_what_the_machine_alone_has_moved() -> None:
    county = alarmed()
    county.at(61)
    assert county.ticket().state is TicketState.REGISTERED
    assert county.person().asks(K.FALSE_ALARM, county.incident().id, reason="水汽").accepted
    assert county.ticket().state is TicketState.REJECTED


def test_false_alarm_on_a_confirmed_fire_takes_two_shift_leads() -> None:
    county = alarmed()
    county.at(10).detector("S-2").alarms("B")
    target = county.incident().id
    refused = county.person(OPERATOR).asks(K.FALSE_ALARM, target, reason="演习")
    assert (refused.accepted, refused.reason) == (False, "role")
    assert county.person(LEAD).asks(K.FALSE_ALARM, target, reason="演习").accepted
    assert county.person(LEAD).asks(K.FALSE_ALARM, target, reason="演习").accepted
    assert county.incident().state is IncidentState.CONFIRMED
    assert county.person(OTHER_LEAD).asks(K.FALSE_ALARM, target, reason="演习").accepted
    assert county.incident().state is IncidentState.FALSE_ALARM
    assert county.ticket().state is TicketState.CANCELLED


def test_false_alarm_without_a_reason_is_refused() -> None:
    county = alarmed()
    answer = county.person().asks(K.FALSE_ALARM, county.incident().id, reason="  ")
    assert (answer.accepted, answer.reason) == (False, "reason_required")
    assert county.incident().state is IncidentState.PENDING_REVIEW


def test_steam_called_a_false_alarm_is_quiet_for_that_camera_but_not_for_a_detector() -> None:
    county = County()
    county.camera("C-1", HALL).says(IncidentType.SMOKE_SUSPECTED, external_id="steam 1")
    county.person().asks(K.FALSE_ALARM, county.incident().id, reason="蒸汽")
    county.at(30).camera("C-1", HALL).says(IncidentType.SMOKE_SUSPECTED, external_id="steam 2")
    assert county.incident().external_ids == ("steam 1", "steam 2")
    assert county.incident().state is IncidentState.FALSE_ALARM
    county.at(40).detector().alarms("real")
    assert len(county.incidents) == 2
    county.at(700).camera("C-1", HALL).says(IncidentType.SMOKE_SUSPECTED, external_id="later")
    assert county.reasons() == []
    assert max(incident.last_event_time for incident in county.incidents.values()) == county.now


def test_crowd_called_a_false_alarm_speaks_again_only_when_worse() -> None:
    county = crowded()
    county.person().asks(K.FALSE_ALARM, county.incident().id, reason="集市日")
    for second in range(66, 150, 2):
        county.at(second).camera().sees_crowd(3.2)
    assert len(county.incidents) == 1
    for second in range(150, 190, 2):
        county.at(second).camera().sees_crowd(4.5)
    assert len(county.incidents) == 2


def test_acknowledged_incident_has_an_owner() -> None:
    county = alarmed()
    county.person().asks(K.ACKNOWLEDGE, county.incident().id)
    assert county.incident().owner == OPERATOR.id


def test_command_asked_twice_is_done_once_and_answered_the_same_even_after_a_restart() -> None:
    county = alarmed()
    first = county.person().asks(K.CONFIRM, county.incident().id, id="once")
    version = county.incident().version
    county.engine = type(county.engine).restore(
        county.engine.site, county.engine.county, county.policy, county.engine.snapshot()
    )
    assert county.person().asks(K.CONFIRM, county.incident().id, id="once") == first
    assert county.incident().version == version


def test_second_of_two_people_who_judge_at_once_is_told_what_happened() -> None:
    county = alarmed()
    target, seen = county.incident().id, county.incident().version
    assert county.person(OPERATOR).asks(K.CONFIRM, target, expected_version=seen).accepted
    answer = county.person(LEAD).asks(K.FALSE_ALARM, target, reason="误判", expected_version=seen)
    assert (answer.accepted, answer.reason) == (False, "version_conflict")
    assert answer.version == county.incident().version
    assert county.incident().state is IncidentState.CONFIRMED


def test_new_counts_alone_do_not_make_a_judgement_conflict() -> None:
    county = crowded()
    seen = county.incident().version
    for second in range(66, 100, 2):
        county.at(second).camera().sees_crowd(3.3)
    assert county.incident().version > seen
    assert county.person().asks(K.CONFIRM, county.incident().id, expected_version=seen).accepted


@pytest.mark.parametrize(
    ("principal", "kind", "reason"),
    [
        (WORKER, K.CONFIRM, "role"),  # A grid worker does not judge alerts.
        (ABROAD, K.CONFIRM, "area"),  # Another county's operator.
        (OPERATOR, K.RESEND_DELIVERY, "not_for_engine"),  # Lives in the outbox.
        (OPERATOR, K.TICKET_MOVE, "unknown_target"),  # An incident is not a ticket.
        (OPERATOR, K.UNMUTE, "unknown_target"),  # Nor a mute.
    ],
)
def test_ask_that_is_not_allowed_says_why(principal: Principal, kind: CommandKind, reason: str) -> None:
    county = alarmed()
    answer = county.person(principal).asks(kind, county.incident().id)
    assert (answer.accepted, answer.reason) == (False, reason)
    assert answer.message
    assert county.incident().state is IncidentState.PENDING_REVIEW


def test_confirming_what_is_confirmed_answers_with_what_is_allowed() -> None:
    county = alarmed()
    county.person().asks(K.CONFIRM, county.incident().id)
    answer = county.person().asks(K.CONFIRM, county.incident().id)
    assert (answer.accepted, answer.reason) == (False, "illegal_move")
    assert answer.allowed == ("acknowledge", "false_alarm")


# -- mutes -----------------------------------------------------------------------------------------------------


def test_muted_incident_exists_is_marked_and_opens_no_ticket_until_the_mute_ends() -> None:
    county = County()
    assert county.person().mutes(3600, zone_id="square", type="crowd.density").accepted
    for second in range(0, 66, 2):
        county.at(second).camera().sees_crowd(3.2)
    assert county.incident().muted_by == next(iter(county.mutes))
    assert county.tickets == {}
    for second in range(70, 3700, 10):
        county.at(second).camera().sees_crowd(3.2)
    assert county.mutes == {}
    assert county.incident().muted_by is None
    assert county.ticket().incident_id == county.incident().id


def test_mute_given_with_the_evidence_holds_for_it() -> None:
    county = County()
    county.person().mutes(3600, source_id="S-1", type="fire.smoke_sensor")
    county.detector().alarms("A")
    assert county.tickets == {}
    county.at(61)
    assert county.incident().state is IncidentState.CONFIRMED
    assert county.tickets == {}


def test_second_source_speaks_through_a_mute_of_the_first() -> None:
    county = County()
    county.person().mutes(3600, source_id="S-1", type="fire.smoke_sensor")
    county.detector("S-1").alarms("A")
    county.at(5).detector("S-2").alarms("B")
    assert county.ticket().sla is SlaClass.P1
    assert county.incident().muted_by is None


def test_gas_that_a_person_confirms_has_its_ticket_though_the_detector_is_muted() -> None:
    county = County()
    county.person().mutes(3600, source_id="G-1", type="gas.lel1")
    county.detector("G-1").alarms("a", IncidentType.GAS_LEL1)
    county.at(30)
    assert county.tickets == {}
    assert county.person().asks(K.CONFIRM, county.incident().id).accepted
    assert county.ticket().incident_id == county.incident().id
    assert county.incident().muted_by is None


def test_fail_safe_does_not_speak_through_a_mute() -> None:
    county = County()
    county.person().mutes(3600, source_id="G-1", type="gas.lel1")
    county.detector("G-1").alarms("a", IncidentType.GAS_LEL1)
    county.at(100)
    assert (county.incident().unreviewed, county.tickets) == (True, {})


def test_mute_reaches_no_further_than_the_area_of_who_gives_it() -> None:
    county = County()
    local = Principal(id="op-8", name="街道值班员", role=Role.OPERATOR, grid_prefix="152921001")
    assert county.person(local).mutes(3600, source_id="C-1").reason == "area"
    assert county.person(local).mutes(3600, grid_prefix="152921").reason == "area"
    assert county.person(local).mutes(3600, grid_prefix="152921001001").accepted
    everywhere = county.person().mutes(3600, source_id="C-1").target_id
    assert county.person(local).asks(K.UNMUTE, everywhere).reason == "area"
    assert everywhere in county.mutes


def test_mute_without_a_type_never_silences_an_alarm() -> None:
    county = County()
    assert county.person().mutes(3600, grid_prefix="152921").accepted
    assert county.person().mutes(3600, source_id="S-1").accepted
    county.detector().alarms("A")
    assert county.ticket().external_ids == ("A",)


def test_unmuted_incident_gets_its_ticket_at_once() -> None:
    county = County()
    mute = county.person().mutes(3600, source_id="S-1", type="fire.smoke_sensor")
    county.detector().alarms("A")
    assert county.person().asks(K.UNMUTE, mute.target_id).accepted
    assert county.ticket().state is TicketState.REPORTED


@pytest.mark.parametrize(
    ("until_s", "matcher", "reason"),
    [
        (3600, {}, "matcher_required"),
        (8 * 86_400, {"source_id": "C-1"}, "expiry"),
        (-1, {"source_id": "C-1"}, "expiry"),
        (3600, {"type": "fire.smoke_sensor"}, "too_wide"),
        (3600, {"type": "fire.smoke_sensor", "grid_prefix": "152921"}, "too_wide"),
        (2 * 86_400, {"type": "gas.lel1", "source_id": "G-1"}, "expiry"),
    ],
)
def test_mute_that_hides_too_much_is_refused(until_s: float, matcher: dict[str, str], reason: str) -> None:
    county = County()
    answer = county.person().mutes(until_s, **matcher)
    assert (answer.accepted, answer.reason) == (False, reason)
    assert county.mutes == {}


def test_mute_without_a_reason_is_refused() -> None:
    county = County()
    assert county.person().mutes(3600, reason=" ", source_id="C-1").reason == "reason_required"


# -- tickets -----------------------------------------------------------------------------------------------------


def test_ticket_goes_all_the_way_and_its_end_clears_the_incident() -> None:
    county = alarmed()
    county.at(61)
    way = [
        (OPERATOR, "40", ""),
        (WORKER, "50", ""),
        (WORKER, "60", "已扑灭, 附照片"),
        (OPERATOR, "70", ""),
        (OPERATOR, "90", ""),
    ]
    for principal, code, note in way:
        assert county.person(principal).moves(county.ticket(), code, note=note).accepted
    assert county.transitions() == ["T01", "T03", "T06", "T07", "T08", "T15", "T17", "T18"]
    assert county.incident().state is IncidentState.CLEARED
    assert county.incident().decisions[-1].reason is Reason.CLEARED_BY_PERSON


def test_illegal_move_answers_with_what_this_role_may_do() -> None:
    county = alarmed()
    answer = county.person(OPERATOR).moves(county.ticket(), "90")
    assert (answer.accepted, answer.reason) == (False, "illegal_move")
    assert answer.allowed == ("15", "20", "91", "93", "94")


def test_word_that_is_no_state_is_refused() -> None:
    county = alarmed()
    assert county.person().moves(county.ticket(), "banana").reason == "illegal_move"


def test_accepting_the_ticket_confirms_the_incident() -> None:
    county = alarmed()
    county.person().moves(county.ticket(), "20")
    assert county.incident().state is IncidentState.CONFIRMED
    assert county.ticket().state is TicketState.REGISTERED


def test_ticket_moved_by_another_is_a_version_conflict() -> None:
    county = crowded()
    old = county.ticket()
    county.person().moves(old, "20")
    answer = county.person(LEAD).asks(
        K.TICKET_MOVE, old.id, argument="91", reason="x", expected_version=old.version
    )
    assert answer.reason == "version_conflict"


def test_unlocated_ticket_is_located_by_a_grid_code_of_the_county() -> None:
    county = County()
    county.detector(place=moved(HALL, grid_code=None)).alarms()
    assert county.person().moves(county.ticket(), "10", note="150621001001001").reason == "guard"
    assert county.person().moves(county.ticket(), "10", note="152921001001009").accepted
    assert county.ticket().grid_code == "152921001001009"


def test_commands_come_before_the_evidence_of_their_batch() -> None:
    county = County()
    mute = Command(
        id="m",
        site="bayan",
        kind=K.MUTE,
        principal=OPERATOR,
        at=T0,
        reason="检修",
        until=instant(60),
        matcher=MuteMatcher(type="fire.smoke_sensor", source_id="S-1"),
    )
    county.take(Batch(observations=(observe("S-1", IncidentType.SMOKE_SENSOR, T0),), commands=(mute,)))
    assert county.tickets == {}


def test_incident_of_a_closed_ticket_gets_no_more_samples() -> None:
    county = crowded()
    county.person(LEAD).moves(county.ticket(), "92", reason="重复")
    assert county.incident().state is IncidentState.CLEARED
    total = county.incident().observation_total
    county.step(crowd("C-1", county.now, 3.2, phase=Phase.SAMPLE, place=SQUARE))
    county.at(80)
    assert county.incident().observation_total == total


def test_command_for_another_site_is_refused() -> None:
    county = alarmed()
    ask = Command(
        id="x", site="elsewhere", kind=K.CONFIRM, principal=OPERATOR, at=T0, target_id=county.incident().id
    )
    county.take(Batch(commands=(ask,)))
    assert county.answers[-1].reason == "wrong_site"


@pytest.mark.parametrize("kind", [K.FALSE_ALARM, K.ACKNOWLEDGE, K.CONFIRM])
def test_ended_incident_takes_no_judgement(kind: CommandKind) -> None:
    county = alarmed()
    county.at(70).detector().resets()
    answer = county.person().asks(kind, county.incident().id, reason="x")
    assert (answer.accepted, answer.reason, answer.allowed) == (False, "illegal_move", ())


def test_rejected_ticket_makes_its_incident_a_false_alarm() -> None:
    county = alarmed()
    county.person().moves(county.ticket(), "91", reason="烹饪")
    assert county.incident().state is IncidentState.FALSE_ALARM


def test_first_of_two_persons_who_cancel_p1_is_told_to_wait() -> None:
    county = alarmed()
    county.at(10).detector("S-2").alarms("B")
    answer = county.person(LEAD).moves(county.ticket(), "92", reason="误报")
    assert answer.accepted
    assert "第二人" in answer.message
    assert county.ticket().state is TicketState.REGISTERED
    county.person(OTHER_LEAD).moves(county.ticket(), "92", reason="误报")
    assert county.ticket().state is TicketState.CANCELLED
    assert county.incident().state is IncidentState.CLEARED


def test_reopened_ticket_is_open_again_without_its_incident() -> None:
    county = alarmed()
    county.at(61)
    for principal, code in ((OPERATOR, "40"), (WORKER, "50"), (WORKER, "60"), (OPERATOR, "70"), (OPERATOR, "90")):
        county.person(principal).moves(county.ticket(), code, note="已处置")
    assert county.person(LEAD).moves(county.ticket(), "50", reason="复燃").accepted
    assert county.ticket().state is TicketState.IN_PROGRESS
    assert county.incident().state is IncidentState.CLEARED


def test_false_alarm_on_an_incident_without_a_ticket_needs_none() -> None:
    county = crowded(2.2)
    assert county.person().asks(K.FALSE_ALARM, county.incident().id, reason="拍摄").accepted
    assert county.tickets == {}


def test_fire_confirmed_after_dispatch_keeps_who_works_on_it_and_calls_the_others() -> None:
    county = alarmed()
    county.at(61).person().moves(county.ticket(), "40")
    lead = county.ticket().lead
    county.at(100).detector("S-2").alarms("B")
    assert county.ticket().lead == lead
    assert "消防救援大队(119)" in county.ticket().co
    assert county.ticket().sla is SlaClass.P1


def test_mute_by_grid_or_type_holds_for_what_it_names_alone() -> None:
    for matcher, hidden in (
        ({"grid_prefix": "152921001"}, True),
        ({"grid_prefix": "152921002"}, False),
        ({"type": "crowd.density"}, True),
        ({"type": "crowd.capacity"}, False),
        ({"zone_id": "elsewhere"}, False),
        ({"source_id": "C-2"}, False),
    ):
        county = County()
        assert county.person().mutes(3600, **matcher).accepted
        for second in range(0, 66, 2):
            county.at(second).camera().sees_crowd(3.2)
        assert (county.tickets == {}) is hidden
