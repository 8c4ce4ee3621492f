from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs
from rich.progress import Progress

from alerts.core.engine import Engine
from alerts.replay import Outcome, drive
from bench.clips import look_at, scores_of
from bench.seeing.clip_page import JudgedClip, score_table, write_page
from bench.seeing.clip_truth import ClipTruth, Event, Found, Score, add, judge, read_clips
from bench.seeing.quiet_hours import quiet_clips
from bench.seeing.reanalysed import Reanalysed, shipped_policy, site_in, whole_picture, without_holds
from contracts.instant import SECOND, Instant
from contracts.observation import IncidentType, Observation, Phase
from contracts.place import ZoneKind
from contracts.policy import Belief, Measure
from contracts.source import SourceKind

FLAME, SMOKE = IncidentType.FLAME_SUSPECTED, IncidentType.SMOKE_SUSPECTED
STOPPED, CONGESTION = IncidentType.STOPPED_VEHICLE, IncidentType.CONGESTION


def clip(*events: Event, seconds: float = 20.0) -> ClipTruth:
    return ClipTruth(file="a.mp4", category="c", seconds=seconds, events=events)


def test_event_is_found_by_an_incident_that_overlaps_it_and_is_else_missed() -> None:
    burning = clip(Event("fire", 5, 15))
    seen = judge(burning, [Found(FLAME, 8, 20)], FLAME)
    assert (len(seen.hits), len(seen.right), len(seen.wrong), seen.free_s) == (1, 1, 0, 10)
    unseen = judge(burning, [Found(SMOKE, 8, 20)], FLAME)
    assert (len(unseen.hits), len(unseen.missed)) == (0, 1)


def test_incident_that_begins_outside_of_what_it_may_belong_to_is_wrong() -> None:
    early = judge(clip(Event("fire", 5, 15)), [Found(FLAME, 3.9, 20)], FLAME)
    assert (len(early.hits), len(early.right), len(early.wrong)) == (1, 0, 1)
    assert len(judge(clip(), [Found(FLAME, 3, 4)], FLAME).wrong) == 1


@pytest.mark.parametrize(
    ("event", "type_"),
    [("fire", SMOKE), ("dense_flow", CONGESTION), ("congestion", STOPPED), ("accident", STOPPED)],
)
def test_what_may_be_found_beside_an_event_is_neither_right_nor_wrong(event: str, type_: IncidentType) -> None:
    verdict = judge(clip(Event(event, 0, 20)), [Found(type_, 2, 3)], type_)
    assert (verdict.right, verdict.wrong, verdict.missed, verdict.free_s) == ((), (), (), 0)


def test_flame_in_smoke_alone_is_wrong_and_a_fire_under_three_seconds_need_not_be_found() -> None:
    assert len(judge(clip(Event("smoke", 0, 20)), [Found(FLAME, 2, 3)], FLAME).wrong) == 1
    short = clip(Event("fire", 0, 2.8), seconds=2.8)
    assert judge(short, [], FLAME).missed == ()
    assert judge(short, [Found(FLAME, 2.5, 2.5)], FLAME).wrong == ()


def test_scores_are_summed_and_shown(tmp_path: Path) -> None:
    judged = []
    for found in ([Found(FLAME, 5, 9)], [], [Found(FLAME, 0, 1)]):
        truth = clip(Event("fire", 4, 10))
        verdicts = tuple(judge(truth, found, type_) for type_ in (FLAME, SMOKE))
        judged.append(JudgedClip(truth, Reanalysed(found=found), verdicts))
    total = Score()
    for each in judged:
        add(total, each.verdicts[0])
    assert (total.events, total.hits, total.right, total.wrong) == (3, 1, 1, 1)
    assert (total.recall, total.precision) == (0.333, 0.5)
    assert total.free_h == pytest.approx(3 * 14 / 3600)
    assert [each.line() for each in judged] == ["+fire", "-fire (missed)", "-fire (missed), !fire at 0 s (wrong)"]
    scores = scores_of(judged)
    assert "0.33" in score_table(scores)[1]
    write_page(tmp_path / "page.html", {"promoted": (scores, judged)})
    page = (tmp_path / "page.html").read_text()
    assert page.count("<h3 class=bad>") == 2
    assert page.count("fill='#b00'") == 1


def test_hold_alone_is_left_out_of_the_rules_of_crowds_and_traffic(tmp_path: Path) -> None:
    rules = shipped_policy(site_in(tmp_path))
    bare = without_holds(rules)
    for one, other in zip(rules.rules, bare.rules, strict=True):
        if one.belief is not Belief.SAMPLED:
            assert one == other
            continue
        assert {level.hold_s for level in other.levels} == {0.0}
        assert structs.replace(other, levels=()) == structs.replace(one, levels=(), samples_min=1)
        if one.measure is not Measure.VALUE or one.type is IncidentType.CONGESTION:
            assert [level.raise_at for level in one.levels] == [level.raise_at for level in other.levels]


def test_stopped_vehicle_that_inference_tells_of_is_an_incident_without_the_hold(tmp_path: Path) -> None:
    site = site_in(tmp_path)
    camera = whole_picture("a", 0, (ZoneKind.STANDING, ZoneKind.LANE))
    assert [zone.area_m2 for zone in camera.zones] == [10.0, None]
    stands = Observation(
        id="o", site=site.id, type=STOPPED, phase=Phase.ACTIVE, source_id=camera.id, source_kind=SourceKind.CAMERA,
        event_time=Instant(100 * SECOND), arrival_time=Instant(100 * SECOND), place=camera.place, confidence=0.9,
        value=11.0, unit="s", detail=(("zone_kind", "lane"),),
    )  # fmt: skip
    came = {}
    for name, rules in (("shipped", shipped_policy(site)), ("bare", without_holds(shipped_policy(site)))):
        outcome = Outcome()
        for effects in drive(Engine(site.id, site.county, rules), [stands]):
            outcome.take(effects)
        came[name] = [each.type for each in outcome.incidents.values()]
    assert came == {"shipped": [], "bare": [STOPPED]}


def test_quiet_hours_are_half_at_night_and_no_place_twice() -> None:
    clips = list(quiet_clips(2.0))
    assert len(clips) == 20
    assert sum(each.night for each in clips) == 10
    assert len(set(clips)) == 20


@pytest.mark.data
def test_clips_are_read_and_a_negative_one_is_judged(data_dir: Path, tmp_path: Path) -> None:
    clips = read_clips(data_dir)
    assert len(clips) > 30
    [quiet] = [each for each in clips if each.file.endswith("ken_ecuador.mp4")]
    site = site_in(tmp_path)
    with Progress(disable=True) as progress:
        [judged] = look_at([quiet], data_dir, without_holds(shipped_policy(site)), tmp_path, 2.0, progress)
    assert judged.seen.pictures == 2
    assert judged.seen.refused == {}
    assert scores_of([judged])[FLAME].free_h == pytest.approx(quiet.seconds / 3600)
