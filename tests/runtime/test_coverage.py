from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import pytest

from contracts import wire
from contracts.coverage import CameraMinute, CoverageReport, CoverageStage
from contracts.errors import LinkOverflow
from contracts.instant import SECOND, Instant
from runtime.clock import SimClock
from runtime.coverage import CoverageTeller
from runtime.metrics import StageCounters
from runtime.minute import MinuteBook

COUNTY = 3_700


class Told:
    """A log link that takes everything, or nothing."""

    def __init__(self) -> None:
        self.reports: list[CoverageReport] = []
        self.full = False

    async def send(self, payloads: Sequence[bytes], *, deadline_s: float | None = None) -> None:
        assert deadline_s is not None, "a report must not wait for ever"
        if self.full:
            raise LinkOverflow("full")
        self.reports += [wire.decode(payload, CoverageReport) for payload in payloads]

    async def close(self) -> None:
        raise AssertionError("not the teller's to close")


class Bench:
    """A process with cameras, and the time that it is given."""

    def __init__(self, *cameras: tuple[str, int | None]) -> None:
        self.clock = SimClock()
        self.clock.advance(7.0)
        self.cameras: Iterable[tuple[str, int | None]] = cameras
        self.book = MinuteBook()
        self.counters = StageCounters("ingest-cameras")
        self.teller = CoverageTeller(
            CoverageStage.RECEIVED, self.book, lambda: self.cameras, self.counters, "s", "ingest-0", self.clock
        )

    def picture(self, name: str) -> None:
        self.book.count(name, self.clock.monotonic_ns())


def test_report_tells_of_every_camera_also_of_those_that_nothing_came_from() -> None:
    bench = Bench(("a", None), ("b", None), ("patrol", 80), ("never", 0))
    for _ in range(40):
        bench.picture("a")
        bench.clock.advance(2.0)
    bench.picture("b")
    bench.picture("patrol")
    bench.clock.advance(60.5)
    report = bench.teller.report()
    # 147.5 s: the minute is 75 to 135; a came every other second until 85, b and the one on patrol at 87 s.
    assert report.cameras == (
        CameraMinute("a", 6, 50),
        CameraMinute("b", 1, 48),
        CameraMinute("patrol", 1, 48, 80),
        CameraMinute("never", 0, None, 0),
    )
    assert report.at == Instant(bench.clock.now() - round(12.5 * SECOND))
    assert report.window_s == 60.0
    assert bench.counters.value("cameras_received_60s") == 3
    assert bench.counters.value("pictures_received_per_s") == 8 / 60


def test_young_process_says_how_long_it_was_there() -> None:
    bench = Bench(("a", None))
    assert bench.teller.report().window_s == 0.0
    bench.clock.advance(1.0)
    for _ in range(14):
        bench.picture("a")
        bench.clock.advance(0.5)
    report = bench.teller.report()
    assert (report.window_s, report.cameras) == (8.0, (CameraMinute("a", 14, 0),))
    assert bench.counters.value("pictures_received_per_s") == 14 / 8


def test_clock_that_is_set_back_changes_no_count_and_no_age() -> None:
    bench = Bench(("a", None))
    bench.picture("a")
    bench.clock.advance(10.0)
    bench.clock.jump(-3_600.0)
    assert bench.teller.report().cameras == (CameraMinute("a", 1, 8),)


async def test_report_leaves_at_the_end_of_every_quarter_and_a_full_link_costs_one() -> None:
    bench, told = Bench(("a", None)), Told()
    telling = asyncio.create_task(bench.teller.tell_forever(told))
    while len(told.reports) < 2:
        await asyncio.sleep(0)  # noqa: TID251 - lets the teller run; its clock is simulated
    told.full = True
    while not bench.counters.total("coverage_not_sent", "link_overflow"):
        await asyncio.sleep(0)  # noqa: TID251
    told.full = False
    while len(told.reports) < 4:
        await asyncio.sleep(0)  # noqa: TID251
    telling.cancel()
    start = told.reports[0].at
    quarters = [(report.at - start) / SECOND for report in told.reports]
    assert quarters[:2] == [0.0, 15.0]
    assert all(quarter % 15 == 0 for quarter in quarters)
    assert quarters[2] > 30.0, "what could not be sent is not sent later"
    assert len({report.id for report in told.reports}) == len(told.reports)
    assert {report.started_at for report in told.reports} == {bench.teller.started_at}


@pytest.mark.parametrize("round_s", [None, 80])
def test_report_of_a_county_is_one_small_record(round_s: int | None) -> None:
    bench = Bench(*((f"1529210000132{number:07d}", round_s) for number in range(COUNTY)))
    for name, _ in bench.cameras:
        bench.picture(name)
    bench.clock.advance(3_000.0)
    size = len(wire.encode(bench.teller.report()))
    assert size < 32 * COUNTY, "below one batch of the log link, 256 KiB"
