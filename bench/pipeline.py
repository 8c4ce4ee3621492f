"""Ingest, inference and alerts together on this machine: how fresh cameras are kept, how soon a fire is seen.

    python -m bench.pipeline --cameras 1000 --seconds 120 --fires 20 --json

`gridwhistle run` as it is, fed by load servers on the same machine: yards by day and night, squares and roads, all
quiet, really encoded, 640x360 at 25 pictures a second with a key picture every 2 s. First all cameras are live
and looked at once; then `--seconds` of quiet are measured; then the pictures of one camera after another begin to
burn.

C is what inference looked at per second in the quiet time, N/C how old looks become if all take turns. The last
line is one JSON object; the status is 1 when a bound is not kept: p95 of the ages over 1.5 N/C, a camera not
looked at for 4 N/C, a fire suspected after 5 s or ticketed after 10 s at p95. See docs/design/looking.md.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Final

import msgspec
import numpy as np

from bench.ingest import settings
from bench.load.county_clips import GROUPS
from bench.load.program import run_program
from bench.load.progress import tell
from bench.load.usage import usage
from bench.seeing.books import Books
from bench.seeing.county import RunningCounty, running_county
from bench.seeing.freshness import RATIO_MAX, STARVED_TIMES, Freshness, freshness
from bench.seeing.staged_fire import FIRE, SUSPECTED_S_MAX, TICKETED_S_MAX, StagedFire, staged_fires
from contracts.coverage import CoverageReport
from contracts.errors import LinkClosed
from contracts.instant import SECOND, Instant
from runtime.clock import Clock, SystemClock

_LIVE_S: Final = 400.0
_LOOKED_AT_S: Final = 240.0
_POLL_S: Final = 1.0
_OVERLOADED: Final = 0.1
"""Of the pictures looked at: when more than that share of them are passed over, the box is overloaded."""
_PASSED_OVER: Final = ("replaced", "stale")
"""Reasons of pictures that waited for a look and got none."""


class PipelineResult(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a run. `cores` by process: ours, and `load`, what the load servers take of the same machine.

    `overloaded`: more than a tenth of what was looked at was passed over. `dropped`: pictures that were not looked
    at, by reason, in the quiet time (`replaced`: a newer one of the same camera came first). `promotions`: asked
    for and prolonged by reason, in the quiet time and while it burns. `*_p95_s` of fires: None when too many of
    them were not suspected or ticketed at all. `other_incidents`: what else was seen where nothing happens.
    """

    machine: str
    cameras: int
    live: int
    seconds: float
    overloaded: bool
    freshness: Freshness | None
    freshness_while_burning: Freshness | None
    starved_times: float = STARVED_TIMES
    fires: list[StagedFire]
    suspected_p50_s: float | None
    suspected_p95_s: float | None
    ticketed_p50_s: float | None
    ticketed_p95_s: float | None
    other_incidents: dict[str, int]
    dropped: dict[str, int]
    dropped_while_burning: dict[str, int]
    promotions: dict[str, int]
    promotions_while_burning: dict[str, int]
    cores: dict[str, float]
    load_late_p99_ms: int

    def broken(self) -> list[str]:
        """The bounds that are not kept, in words."""
        said = []
        if self.live < self.cameras:
            said.append(f"在线 {self.live}/{self.cameras} (not all live)")
        fresh = self.freshness
        if fresh is None:
            said.append("没有画面被分析 (nothing was looked at)")
        elif fresh.ratio > RATIO_MAX:
            said.append(f"p95 {fresh.p95_s} s = {fresh.ratio} N/C > {RATIO_MAX}")
        for each in (fresh, self.freshness_while_burning):
            if each is not None and each.starved:
                said += [f"{each.starved} 路超过 {STARVED_TIMES:g} N/C 未看 (starved)"]
        for name, p95, most in (
            ("起疑 (suspected)", self.suspected_p95_s, SUSPECTED_S_MAX),
            ("工单 (ticketed)", self.ticketed_p95_s, TICKETED_S_MAX),
        ):
            if self.fires and (p95 is None or p95 > most):
                said.append(f"{name} p95 {p95} s > {most:g} s")
        return said


def percentile(values: Sequence[float | None], percent: float) -> float | None:
    """Of the values; one that is missing is greater than all others, and None when it would be the answer."""
    if not values:
        return None
    found = float(np.percentile([np.inf if each is None else each for each in values], percent, method="higher"))
    return round(found, 2) if np.isfinite(found) else None


class Quiet(msgspec.Struct):
    """What was counted between two moments."""

    reports: list[CoverageReport] = []
    seconds: float = 0.0
    counters: dict[str, int] = {}
    cores: dict[str, float] = {}

    @property
    def whole(self) -> bool:
        """Whether there is enough for figures."""
        return bool(self.reports) and self.seconds > 0

    def per_s(self, name: str) -> float:
        """A counter of inference."""
        return self.counters.get(name, 0) / self.seconds if self.seconds else 0.0

    def by_reason(self, name: str) -> dict[str, int]:
        """A counter of inference that has reasons."""
        head = f"{name}:"
        return {name.removeprefix(head): n for name, n in self.counters.items() if name.startswith(head) and n}


class Meter:
    """Counts between its making and `read`: reports of coverage as they come, counters and CPU at both ends."""

    def __init__(self, running: RunningCounty, books: Books) -> None:
        self._running = running
        self._books = books
        self._first = books.health("inference")
        self._cpu = self._cpu_s()
        self._began_ns = running.clock.monotonic_ns()
        known = books.analysed()
        self._reports: dict[Instant, CoverageReport] = {}
        self._before = Instant(0) if known is None else known.at

    def poll(self) -> None:
        """Take the newest report, if it is another one."""
        report = self._books.analysed()
        if report is not None and report.at > self._before:
            self._reports[report.at] = report

    def read(self) -> Quiet:
        """All since the beginning."""
        last = self._books.health("inference")
        if self._first is None or last is None or last.at <= self._first.at:
            return Quiet(list(self._reports.values()))
        before = dict(self._first.counters)
        wall_s = (self._running.clock.monotonic_ns() - self._began_ns) / SECOND
        cpu = self._cpu_s()
        return Quiet(
            list(self._reports.values()),
            (last.at - self._first.at) / SECOND,
            {name: total - before.get(name, 0) for name, total in last.counters},
            {name: round((cpu[name] - self._cpu.get(name, 0.0)) / wall_s, 3) for name in cpu},
        )

    def _cpu_s(self) -> dict[str, float]:
        pids = {name: [pid] for name, pid in self._running.stack.pids().items()}
        pids["load"] = [server.pid for server in self._running.servers.values()]
        found = {}
        for name, each in pids.items():
            try:
                found[name] = sum(usage(pid).cpu_s for pid in each)
            except ProcessLookupError:
                continue
        return found


async def measure(folder: Path, given: argparse.Namespace) -> PipelineResult:
    """The whole run. Raises ConfigError, LinkClosed."""
    clock = SystemClock()
    inference = {"inference": settings(given.inference)}
    async with running_county(folder, given.cameras, clock, groups=given.groups, settings=inference) as running:
        books = Books(running.stack.database)
        live = await until_live(books, given.cameras, clock)
        since = await until_looked_at(books, given.cameras, clock)
        cameras = [each.camera.id for each in running.cameras]
        quiet = await quiet_time(Meter(running, books), given.seconds, clock)
        meter = Meter(running, books)
        watching = asyncio.create_task(poll_forever(meter, clock))
        try:
            fires = await staged_fires(running, given.fires, Random(given.seed))
        finally:
            watching.cancel()
        burning = meter.read()
        statuses = await running.statuses()
        per_s = quiet.per_s("pictures_analysed")
        dropped = quiet.by_reason("pictures_dropped")
        on_fire = {each.camera_id for each in fires}
        return PipelineResult(
            machine=f"{platform.machine()}, Python {platform.python_version()}",
            cameras=given.cameras,
            live=live,
            seconds=round(quiet.seconds, 1),
            overloaded=sum(dropped.get(each, 0) for each in _PASSED_OVER) > _OVERLOADED * per_s * quiet.seconds,
            freshness=freshness(quiet.reports, cameras, per_s, since),
            freshness_while_burning=freshness(burning.reports, cameras, burning.per_s("pictures_analysed"), since),
            fires=fires,
            suspected_p50_s=percentile([each.suspected_s for each in fires], 50),
            suspected_p95_s=percentile([each.suspected_s for each in fires], 95),
            ticketed_p50_s=percentile([each.ticketed_s for each in fires], 50),
            ticketed_p95_s=percentile([each.ticketed_s for each in fires], 95),
            other_incidents=others(books, on_fire),
            dropped=dropped,
            dropped_while_burning=burning.by_reason("pictures_dropped"),
            promotions=quiet.by_reason("promotions"),
            promotions_while_burning=burning.by_reason("promotions"),
            cores=quiet.cores,
            load_late_p99_ms=max(each.late_p99_ms for each in statuses),
        )


def others(books: Books, on_fire: Iterable[str]) -> dict[str, int]:
    """Incidents by type, without the fires that were staged and what operations alone hear of."""
    burnt, found = set(on_fire), dict[str, int]()
    for each in books.incidents():
        if not each.operations and not (each.type in FIRE and burnt & set(each.source_ids)):
            found[each.type.value] = found.get(each.type.value, 0) + 1
    return found


async def until_live(books: Books, cameras: int, clock: Clock) -> int:
    """Wait until all are live; how many are after the time for it."""
    deadline_ns = clock.monotonic_ns() + round(_LIVE_S * SECOND)
    while True:
        live = await asyncio.to_thread(books.live)
        if live >= cameras or clock.monotonic_ns() > deadline_ns:
            tell(f"在线 (live) {live:,}/{cameras:,}")
            return live
        await clock.asleep(_POLL_S)


async def until_looked_at(books: Books, cameras: int, clock: Clock) -> Instant:
    """Wait until each was looked at once, or long enough; from when on it could have been.

    Raises LinkClosed when inference looks at nothing.
    """
    since, began_ns = clock.now(), clock.monotonic_ns()
    while True:
        report = await asyncio.to_thread(books.health, "inference")
        seen = 0 if report is None else int(dict(report.gauges).get("cameras_covered_60s", 0))
        waited_s = (clock.monotonic_ns() - began_ns) / SECOND
        if seen >= cameras or waited_s > _LOOKED_AT_S:
            break
        await clock.asleep(_POLL_S)
    if not seen:
        raise LinkClosed("推理进程没有分析任何画面 (inference looked at nothing)")
    tell(f"看过 (looked at) {seen:,}/{cameras:,}")
    return since


async def quiet_time(meter: Meter, seconds: float, clock: Clock) -> Quiet:
    """Measure for so long, and until at least one report of coverage and another one of health came."""
    deadline_ns = clock.monotonic_ns() + round(seconds * SECOND)
    while clock.monotonic_ns() < deadline_ns or not meter.read().whole:
        await clock.asleep(_POLL_S)
        await asyncio.to_thread(meter.poll)
    return meter.read()


async def poll_forever(meter: Meter, clock: Clock) -> None:
    """Take the reports as they come, until cancelled."""
    while True:
        await asyncio.to_thread(meter.poll)
        await clock.asleep(_POLL_S)


def options() -> argparse.Namespace:
    """The command line. Defaults are short, for `make bench`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=100, help="路数 cameras")
    parser.add_argument("--seconds", type=float, default=30.0, help="平静时段时长 length of the quiet time, s")
    parser.add_argument("--fires", type=int, default=3, help="先后起火次数 fires, one after another")
    parser.add_argument("--seed", type=int, default=1, help="起火地点与时刻 where and when they break out")
    parser.add_argument("--groups", type=int, default=GROUPS, help="片段的画面组数 groups of pictures of a clip")
    parser.add_argument(
        "--inference", action="append", default=[], metavar="KEY=VALUE", help="[inference] 的设置 settings"
    )
    parser.add_argument("--json", action="store_true", help="仅末行 JSON the last line alone")
    return parser.parse_args()


def main() -> int:
    """Measure and print."""
    given = options()

    async def work(folder: Path) -> PipelineResult:
        result = await measure(folder, given)
        for line in result.broken():
            tell(f"未达标 (bound not kept): {line}")
        if not given.json:
            for name, value in msgspec.to_builtins(result).items():
                print(f"{name:<24} {value}")
        return result

    return run_program(work, lambda result: not result.broken())


if __name__ == "__main__":
    sys.exit(main())
