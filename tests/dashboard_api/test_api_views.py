from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.tickets.transitions import TABLE
from contracts.incident import Incident, IncidentState, Level, Reason
from contracts.instant import Instant
from contracts.observation import IncidentType
from contracts.source import SourceState
from contracts.ticket import TicketState
from dashboard_api import names
from dashboard_api.directory import EMPTY, Directory
from dashboard_api.incident_views import IncidentView, incident_detail, incident_view
from dashboard_api.routes.commands import CommandRequest
from dashboard_api.routes.examples import COMMANDS, INCIDENT, TICKET
from dashboard_api.source_views import SourceRow, summary
from dashboard_api.ticket_views import TicketView, ticket_detail, ticket_view
from dashboard_api.views import level_view
from ingest.doubts import Doubt
from tests.dashboard_api.county_records import POLICY, catalogue, county, make_events, make_pair, shown_cameras

NOW = Instant(1_763_800_000_000_000_000)


def directory() -> Directory:
    return Directory(catalogue(county()), county().grids, POLICY)


def test_every_code_of_the_contracts_has_names_in_both_languages() -> None:
    for table, codes in (
        (names.TYPES, IncidentType),
        (names.INCIDENT_STATES, IncidentState),
        (names.TICKET_STATES, TicketState),
        (names.SOURCE_STATES, SourceState),
        (names.REASONS, Reason),
        (names.REASONS, Doubt),
    ):
        for code in codes:
            assert code in table, code
            assert all(table[code])


def test_every_move_of_a_ticket_and_every_service_has_names() -> None:
    moves = {"T01", "LEVEL"} | {row.number for row in TABLE}
    assert moves <= names.TRANSITIONS.keys()
    assert set(names.SERVICES) == {"alerts", "api", "inference", "ingest-cameras", "ingest-sensors"}


@pytest.mark.parametrize(
    ("transition", "reason", "words"),
    [
        ("LEVEL", "ORANGE/P2 -> RED/P1", "内部告警等级 橙/P2 → 红/P1"),
        ("LEVEL", "PURPLE/P2 -> RED/P1", "PURPLE/P2 -> RED/P1"),
        ("LEVEL", "ORANGE/P2", "ORANGE/P2"),
        ("T04", "ORANGE/P2 -> RED/P1", "ORANGE/P2 -> RED/P1"),
        ("T03", "", ""),
    ],
)
def test_levels_of_a_move_are_told_by_name(transition: str, reason: str, words: str) -> None:
    ticket = make_pair(0, NOW)[1]
    event = msgspec.structs.replace(make_events(ticket)[0], transition=transition, reason=reason)
    view = ticket_detail(ticket, 1, (event,), EMPTY).events[0]
    assert (view.words.zh, view.reason) == (words, reason)


def test_incident_is_named_by_its_code_and_by_its_type_where_the_policy_lacks_the_code() -> None:
    born = make_pair(3, NOW)[0]
    names_of = [
        incident_view(msgspec.structs.replace(born, code=code), 1, directory()).name.zh
        for code in ("23004", "23003", "99999")
    ]
    assert names_of == ["感烟报警", "火灾(已确认)", "感烟报警"]


def test_level_never_stands_without_its_words() -> None:
    for level in Level:
        view = level_view(level)
        assert view.label.zh == f"内部告警等级 {view.zh}"
        assert view.label.en == f"Internal alert level {view.en}"


def test_times_are_rfc3339_in_beijing() -> None:
    incident, _ = make_pair(0, NOW)
    view = incident_view(incident, 7, EMPTY)
    for text in (view.opened_at, view.updated_at, view.first_event_time, view.last_event_time):
        assert text.endswith("+08:00")


def test_known_county_gives_names_of_grid_source_and_rule() -> None:
    incident, ticket = make_pair(0, NOW)
    view = incident_view(incident, 7, directory())
    assert view.place.grid_path
    assert view.sources[0].name != view.sources[0].id
    assert (view.type.zh, view.type.en) == ("人员密集", "Crowd density")
    assert view.demanded is not None
    assert (view.demanded.measure, view.demanded.raise_at, view.demanded.hold_s) == ("density", 2.0, 60.0)
    assert ticket_view(ticket, 7, directory()).place.grid_path == view.place.grid_path


def test_unknown_county_shows_ids_instead_of_failing() -> None:
    incident, _ = make_pair(0, NOW)
    view = incident_view(incident, 7, EMPTY)
    assert view.sources[0].name == incident.source_ids[0]
    assert view.place.grid_path == ()
    assert view.demanded is None


def test_uncalibrated_ground_has_count_but_no_density() -> None:
    incident, _ = make_pair(6, NOW)
    view = incident_view(incident, 7, directory())
    assert view.measured.count is not None
    assert view.measured.density is None


def test_latest_spoken_decision_is_the_reason_shown() -> None:
    incident, _ = make_pair(1, NOW)
    view = incident_detail(incident, 7, directory())
    assert view.decision == view.decisions[-1]
    assert view.decision.text == incident.decisions[-1].text


def test_review_timer_only_shown_while_review_is_due() -> None:
    incident, _ = make_pair(1, NOW)
    assert incident_view(incident, 7, EMPTY).review_due_at is not None
    confirmed = msgspec.structs.replace(incident, state=IncidentState.CONFIRMED)
    assert incident_view(confirmed, 7, EMPTY).review_due_at is None


@given(st.sampled_from(IncidentState), st.sampled_from(Level), st.none() | st.floats(0, 50), st.text(max_size=40))
def test_any_incident_becomes_json_and_back(
    state: IncidentState, level: Level, density: float | None, title: str
) -> None:
    incident: Incident = msgspec.structs.replace(
        make_pair(0, NOW)[0], state=state, level=level, density=density, title=title
    )
    view = incident_view(incident, 1, EMPTY)
    assert msgspec.json.decode(msgspec.json.encode(view), type=IncidentView) == view


def test_examples_of_the_document_are_what_they_claim() -> None:
    msgspec.convert(INCIDENT, IncidentView)
    msgspec.convert(TICKET, TicketView)
    for example in COMMANDS.values():
        msgspec.convert(example["value"], CommandRequest)


def test_coverage_counts_expected_live_and_unseeing() -> None:
    cameras = shown_cameras()
    rows = {
        cameras[0].id: SourceRow(cameras[0].id, "camera", SourceState.LIVE, "", "", NOW, 1),
        cameras[1].id: SourceRow(cameras[1].id, "camera", SourceState.BLIND, "covered", "", NOW, 2),
        cameras[2].id: SourceRow(cameras[2].id, "camera", SourceState.OFF, "", "", NOW, 3),
        "stranger": SourceRow("stranger", "camera", SourceState.LIVE, "", "", NOW, 4),
    }
    nothing_on = msgspec.structs.replace(catalogue(county()), cameras=county().cameras)
    found = summary(rows, Directory(nothing_on, county().grids, POLICY)).cameras
    assert (found.total, found.expected, found.live, found.unseeing) == (len(cameras) + 1, 3, 2, 1)
    assert found.coverage == 2 / 3
    assert sum(state.count for state in found.states) == found.total


def test_suspect_camera_is_received_and_suspect_sensor_is_not_relied_on() -> None:
    camera, sensor = shown_cameras()[0].id, county().sensors[0].id
    rows = {
        camera: SourceRow(camera, "camera", SourceState.SUSPECT, "frozen", "", NOW, 1),
        sensor: SourceRow(sensor, "sensor", SourceState.SUSPECT, "stuck", "", NOW, 2),
    }
    found = summary(rows, directory())
    assert (found.cameras.live, found.cameras.unseeing) == (1, 0)
    assert (found.sensors.live, found.sensors.unseeing) == (0, 1)


def test_coverage_of_nothing_expected_is_unknown_not_full() -> None:
    assert summary({}, EMPTY).cameras.coverage is None
