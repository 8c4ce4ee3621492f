from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from bench.pipeline import PipelineResult, measure, percentile
from bench.seeing.books import SuspectLines
from bench.seeing.freshness import Freshness, freshness
from bench.seeing.staged_fire import StagedFire
from contracts.coverage import CameraMinute, CoverageReport, CoverageStage
from contracts.instant import SECOND, Instant

FRESH = Freshness(
    pictures_per_s=50.0, fair_s=20.0, p50_s=10.0, p95_s=21.0, max_s=30.0, ratio=1.05, starved=0, never=0, reports=4
)
RESULT = PipelineResult(
    machine="m", cameras=1_000, live=1_000, seconds=60.0, overloaded=True, freshness=FRESH,
    freshness_while_burning=None, fires=[StagedFire(camera_id="a", clip="yard", suspected_s=2.0, ticketed_s=6.0)],
    suspected_p50_s=2.0, suspected_p95_s=5.0, ticketed_p50_s=6.0, ticketed_p95_s=10.0, other_incidents={},
    dropped={}, dropped_while_burning={}, promotions={}, promotions_while_burning={}, cores={}, load_late_p99_ms=1,
)  # fmt: skip


def report(second: float, ages: Sequence[int | None]) -> CoverageReport:
    moment = Instant(round(second * SECOND))
    cameras = tuple(CameraMinute(str(number), 1, age) for number, age in enumerate(ages))
    return CoverageReport(
        id=str(second), site="s", service="inference", instance="0", stage=CoverageStage.ANALYSED,
        at=moment, started_at=Instant(0), window_s=60.0, cameras=cameras,
    )  # fmt: skip


def test_cameras_that_take_turns_are_as_old_as_their_share_of_the_looks() -> None:
    names = [str(number) for number in range(100)]
    told = freshness([report(s, [n // 5 for n in range(100)]) for s in (15, 30)], names, 5.0, Instant(0))
    assert told is not None
    assert (told.fair_s, told.starved, told.never, told.reports) == (20.0, 0, 0, 2)
    assert told.p50_s == pytest.approx(10.0, abs=0.5)
    assert told.ratio == pytest.approx(0.95, abs=0.05)


def test_camera_that_is_passed_over_and_camera_that_was_never_seen_are_starved() -> None:
    told = freshness([report(15, [0, 1, 14, None])], [str(n) for n in range(4)], 2.0, Instant(0))
    assert told is not None
    assert (told.starved, told.never, told.max_s) == (2, 1, 15.0)


def test_nothing_was_reported_then_nothing_is_said_of_freshness() -> None:
    assert freshness([], ["0"], 5.0, Instant(0)) is None
    assert freshness([report(15, [1])], ["0"], 0.0, Instant(0)) is None


def test_fire_that_nobody_saw_is_later_than_all_others() -> None:
    assert percentile([1.0, 2.0, None], 50) == 2.0
    assert percentile([1.0, 2.0, None], 95) is None
    assert percentile([], 50) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"live": 999}, "not all live"),
        ({"freshness": None}, "nothing was looked at"),
        ({"freshness": msgspec.structs.replace(FRESH, ratio=1.51)}, "N/C"),
        ({"freshness": msgspec.structs.replace(FRESH, starved=1)}, "starved"),
        ({"freshness_while_burning": msgspec.structs.replace(FRESH, starved=1)}, "starved"),
        ({"suspected_p95_s": 5.1}, "suspected"),
        ({"ticketed_p95_s": 10.1}, "ticketed"),
        ({"ticketed_p95_s": None}, "ticketed"),
    ],
)
def test_bound_that_is_not_kept_is_named(change: dict[str, object], said: str) -> None:
    assert RESULT.broken() == []
    [line] = msgspec.structs.replace(RESULT, **change).broken()
    assert said in line


def test_suspects_are_read_from_whole_lines_of_the_log_once(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    line = '{"source_id": "a", "reason": "fire", "event": "A camera is suspected"}'
    log.write_text(f'{{"event": "The API listens"}}\n{line}\n{line[:30]}')
    lines = SuspectLines(log)
    assert list(lines.new()) == [("a", "fire")]
    with log.open("a") as file:
        file.write(line[30:].replace("fire", "burst") + "\n")
    assert list(lines.new()) == [("a", "burst")]
    assert list(lines.new()) == []


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_whole_installation_sees_every_camera_and_a_staged_fire_becomes_a_ticket(short_dir: Path) -> None:
    given = argparse.Namespace(cameras=3, seconds=0.0, fires=1, seed=1, groups=4, inference=[])
    result = await measure(short_dir, given)
    assert result.live == 3
    assert result.freshness is not None
    assert (result.freshness.never, result.freshness.reports) == (0, 1)
    [fire] = result.fires
    assert fire.suspected_s is not None
    assert fire.ticketed_s is not None
    assert fire.suspected_s <= fire.ticketed_s
    assert not any(each.startswith("fire") for each in result.other_incidents)
