"""The coverage of the last minute from what processes told: pure, every case of doubt."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.coverage import CameraMinute
from contracts.instant import MINUTE, SECOND, Instant
from contracts.place import Place
from contracts.registration import ShareGrant
from contracts.source import Camera, Catalogue
from dashboard_api.coverage import Coverage, Verdict, coverage
from tests.dashboard_api.coverage_records import ANALYSED, RECEIVED, make_storm, report

NOW = Instant(1_800_000_000 * SECOND)
YES, NO, UNKNOWN = Verdict.YES, Verdict.NO, Verdict.UNKNOWN


def camera(name: str, **more: Any) -> Camera:
    fields: dict[str, Any] = {"url": f"rtsp://10.0.0.1/{name}", "live": True, "owner": "公安局"} | more
    return Camera(id=name, name=name, place=Place(105.7, 38.8, "152921001001001"), **fields)


def catalogue(*cameras: Camera, **more: Any) -> Catalogue:
    return Catalogue(site="s", county="s", version=1, cameras=cameras, sensors=(), **more)


ABC = catalogue(camera("a"), camera("b"), camera("c"))


def ago(seconds: float) -> Instant:
    return Instant(NOW - round(seconds * SECOND))


def verdicts(found: Coverage) -> dict[str, tuple[Verdict, Verdict]]:
    return {each.camera_id: (each.received.verdict, each.analysed.verdict) for each in found.cameras.values()}


def test_numbers_say_what_was_seen_of_the_wanted_and_how_often_a_second() -> None:
    reports = [
        report(RECEIVED, [CameraMinute("a", 30, 1), CameraMinute("b", 28, 2), CameraMinute("c", 0, 300)], ago(5)),
        report(ANALYSED, [CameraMinute("a", 6, 3), CameraMinute("b", 0, 61), CameraMinute("c", 0, None)], ago(7)),
    ]
    found = coverage(ABC, reports, (), NOW)
    assert verdicts(found) == {"a": (YES, YES), "b": (YES, NO), "c": (NO, NO)}
    assert found.wanted == 3
    assert (found.received.seen, found.received.unseen, found.received.unknown) == (2, 1, 0)
    assert (found.analysed.seen, found.analysed.unseen, found.analysed.unknown) == (1, 2, 0)
    assert found.received.per_s == pytest.approx(58 / 60)
    assert found.analysed.per_s == pytest.approx(0.1)
    assert found.as_of == ago(7)
    assert found.cameras["c"].received.last_at == ago(305)
    assert found.cameras["c"].analysed.last_at is None


def test_silent_process_is_named_and_its_cameras_are_unknown_not_unseen() -> None:
    told = [CameraMinute("a", 30, 1), CameraMinute("b", 30, 1)]
    speaks, is_silent = report(RECEIVED, told, ago(60)), report(RECEIVED, told, ago(60.001))
    assert verdicts(coverage(ABC, [speaks], (), NOW)) == {
        "a": (YES, UNKNOWN),
        "b": (YES, UNKNOWN),
        "c": (UNKNOWN, UNKNOWN),
    }
    found = coverage(ABC, [is_silent], (), NOW)
    assert set(verdicts(found).values()) == {(UNKNOWN, UNKNOWN)}
    assert (found.received.seen, found.received.unknown, found.received.per_s) == (0, 3, None)
    assert found.as_of is None
    [one] = found.instances
    assert (one.instance, one.silent, one.cameras, one.unknown) == ("ingest-0", True, 2, 2)


def test_clock_that_was_set_back_makes_a_report_from_the_future_no_news_for_ever() -> None:
    found = coverage(ABC, [report(RECEIVED, [CameraMinute("a", 30, 1)], ago(-3_600))], (), NOW)
    assert verdicts(found)["a"][0] is UNKNOWN
    assert found.instances[0].silent


def test_cameras_that_another_process_took_over_are_known_and_the_silent_one_is_forgotten_in_time() -> None:
    both = [CameraMinute("a", 30, 1), CameraMinute("b", 30, 1)]
    old = report(RECEIVED, both, ago(120), instance="ingest-1")
    partly = coverage(ABC, [report(RECEIVED, both[:1], ago(1)), old], (), NOW)
    assert (partly.cameras["a"].received.verdict, partly.cameras["b"].received.verdict) == (YES, UNKNOWN)
    assert [(each.instance, each.silent, each.unknown) for each in partly.instances] == [
        ("ingest-0", False, 0),
        ("ingest-1", True, 1),
    ]
    new = report(RECEIVED, both, ago(1))
    assert len(coverage(ABC, [new, old], (), NOW).instances) == 2
    long_ago = report(RECEIVED, both, ago(601), instance="ingest-1")
    assert [each.instance for each in coverage(ABC, [new, long_ago], (), NOW).instances] == ["ingest-0"]
    needed = coverage(ABC, [report(RECEIVED, both[:1], ago(1)), long_ago], (), NOW)
    assert [each.instance for each in needed.instances] == ["ingest-0", "ingest-1"], "somebody must look for b"


def test_of_two_processes_that_tell_of_a_camera_who_saw_more_is_right() -> None:
    one = report(RECEIVED, [CameraMinute("a", 0, None)], ago(1))
    other = report(RECEIVED, [CameraMinute("a", 12, 5)], ago(9), instance="ingest-1")
    for reports in ([one, other], [other, one]):
        found = coverage(ABC, reports, (), NOW).cameras["a"].received
        assert (found.verdict, found.pictures, found.last_at) == (YES, 12, ago(14))


@pytest.mark.parametrize(
    ("minute", "expected"),
    [
        pytest.param(CameraMinute("a", 1, 50, 0), YES, id="seen in the minute, first round"),
        pytest.param(CameraMinute("a", 0, 70, 0), NO, id="first round, nobody knows how long it takes"),
        pytest.param(CameraMinute("a", 0, 80, 80), YES, id="seen within its round"),
        pytest.param(CameraMinute("a", 0, 95, 80), YES, id="rounds differ a little"),
        pytest.param(CameraMinute("a", 0, 96, 80), NO, id="its turn was missed"),
        pytest.param(CameraMinute("a", 0, None, 80), NO, id="never seen"),
        pytest.param(CameraMinute("a", 0, 70), NO, id="not on patrol"),
    ],
)
def test_camera_on_patrol_counts_while_it_was_seen_within_its_round(
    minute: CameraMinute, expected: Verdict
) -> None:
    found = coverage(ABC, [report(RECEIVED, [minute], ago(1))], (), NOW).cameras["a"]
    assert found.received.verdict is expected
    assert found.received.round_s == minute.round_s


@pytest.mark.parametrize(("age_s", "expected"), [(95, YES), (96, NO)])
def test_camera_on_patrol_is_analysed_when_it_was_looked_at_within_that_round(
    age_s: int, expected: Verdict
) -> None:
    reports = [
        report(RECEIVED, [CameraMinute("a", 1, 3, 80)], ago(1)),
        report(ANALYSED, [CameraMinute("a", 0, age_s)], ago(1)),
    ]
    assert coverage(ABC, reports, (), NOW).cameras["a"].analysed.verdict is expected


def test_cameras_that_law_or_catalogue_leave_out_are_apart_and_the_secret_ones_only_a_number() -> None:
    grant = ShareGrant(id="g", owner="文旅局", purpose="p", begins=ago(100), expires=ago(50), cameras=("expired",))
    listed = catalogue(
        camera("a"),
        camera("off", live=False),
        camera("nowhere", url=None),
        camera("secret", secrecy=True),
        camera("school", forbidden_place=True),
        camera("expired", owner="文旅局"),
        grants=(grant,),
    )
    seen = [CameraMinute(each.id, 30, 1) for each in listed.cameras]
    found = coverage(listed, [report(RECEIVED, seen, ago(1))], (), NOW)
    assert found.wanted == found.received.seen == 1
    assert found.received.per_s == pytest.approx(0.5), "who is not wanted does not lift the rate"
    assert found.idle == {"forbidden_place": 1, "grant_expired": 1, "no_url": 1, "not_live": 1, "secrecy": 1}
    assert {each.camera_id: each.idle for each in found.cameras.values()} == {
        "a": None,
        "off": "not_live",
        "nowhere": "no_url",
        "expired": "grant_expired",
    }


def test_young_process_tells_its_true_rate_and_one_of_no_full_quarter_none() -> None:
    young = report(RECEIVED, [CameraMinute("a", 4, 1)], ago(1), window_s=8.0)
    assert coverage(ABC, [young], (), NOW).received.per_s == pytest.approx(0.5)
    newborn = report(RECEIVED, [CameraMinute("a", 0, None)], ago(1), window_s=0.0)
    assert coverage(ABC, [newborn], (), NOW).received.per_s is None


def test_before_catalogue_and_reports_nothing_is_known_and_nothing_invented() -> None:
    found = coverage(None, (), (), NOW)
    assert (found.wanted, found.received.seen, found.as_of, dict(found.cameras)) == (0, 0, None, {})
    assert coverage(ABC, (), (), NOW).received.unknown == 3


def test_storm_goes_on_until_it_ended_or_its_ingest_is_silent_or_new() -> None:
    alive = report(RECEIVED, (), ago(10), started_s=600)

    def on(**changes: Any) -> bool:
        return bool(coverage(ABC, [alive], [make_storm(NOW, **changes)], NOW).storms)

    assert on()
    assert not on(ended_at=ago(1))
    assert not on(at=ago(61), began_at=ago(90))
    assert not on(began_at=ago(620), at=ago(30)), "the process that told of it was started anew since"
    assert on(began_at=ago(620), at=ago(30), instance="ingest-1"), "that one is not"


MINUTES = st.builds(
    CameraMinute,
    st.sampled_from(["a", "b", "c", "stranger"]),
    st.integers(0, 40),
    st.none() | st.integers(0, 200),
    st.none() | st.integers(0, 200),
)
REPORTS = st.builds(
    report,
    st.sampled_from([RECEIVED, ANALYSED]),
    st.lists(MINUTES, max_size=6),
    st.integers(-2 * MINUTE, 2 * MINUTE).map(lambda away: Instant(NOW + away)),
    instance=st.sampled_from(["", "other"]),
    window_s=st.sampled_from([0.0, 7.5, 60.0]),
)


@given(st.lists(REPORTS, max_size=5))
def test_every_wanted_camera_is_counted_once_whatever_processes_say(reports: list[Any]) -> None:
    found = coverage(ABC, reports, (), NOW)
    for total in (found.received, found.analysed):
        assert total.seen + total.unseen + total.unknown == found.wanted == 3
        assert total.per_s is None or total.per_s >= 0.0
    told = {
        minute.camera_id
        for each in reports
        if each.stage is RECEIVED and abs(NOW - each.at) <= MINUTE
        for minute in each.cameras
    }
    assert {name for name, (received, _) in verdicts(found).items() if received is not UNKNOWN} == told & set(
        "abc"
    )


def test_what_a_process_told_before_it_was_started_again_counts_for_nothing() -> None:
    reports = [
        report(RECEIVED, [CameraMinute("a", 30, 1)], ago(20)),
        report(ANALYSED, [CameraMinute("a", 6, 1)], ago(20)),
    ]
    lives = {("ingest-cameras", "ingest-0"): ago(19), ("inference", "inference-0"): ago(3_000)}
    found = coverage(ABC, reports, (), NOW, lives)
    assert verdicts(found)["a"] == (UNKNOWN, YES)
    assert [each.service for each in found.instances] == ["inference"]
    again = report(RECEIVED, [CameraMinute("a", 2, 1)], ago(5), started_s=14.0)
    assert verdicts(coverage(ABC, [again], (), NOW, lives))["a"][0] is YES
