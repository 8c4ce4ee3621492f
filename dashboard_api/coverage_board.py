"""The coverage of now, worked out once a second at most however many walls ask."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from contracts import wire
from contracts.coverage import CoverageReport
from contracts.errors import MalformedMessage
from contracts.instant import SECOND, Instant
from contracts.source import HealthReport
from contracts.storm import StormReport
from dashboard_api.coverage import Coverage, coverage

if TYPE_CHECKING:
    from dashboard_api.database import DatabaseReader
    from dashboard_api.directory import Directory
    from runtime.clock import Clock
    from runtime.metrics import StageCounters

_FRESH_NS: Final = SECOND
STORMS_MAX: Final = 500


class CoverageBoard:
    """Reads what processes told, and keeps the outcome for a second. For one event loop."""

    def __init__(
        self, reader: DatabaseReader, directory: Callable[[], Directory], clock: Clock, counters: StageCounters
    ) -> None:
        self._reader = reader
        self._directory = directory
        self._clock = clock
        self._counters = counters
        self._one = asyncio.Lock()
        self._known: Coverage | None = None
        self._known_ns = 0

    async def now(self) -> Coverage:
        """The coverage, not older than a second; sets its gauges. Raises what reading the database raises."""
        async with self._one:
            now_ns = self._clock.monotonic_ns()
            if self._known is None or now_ns - self._known_ns >= _FRESH_NS:
                catalogue, now = self._directory().catalogue, self._clock.now()
                # Whoever scrapes the gauges while the database is away must not take what was for what is.
                self._gauge(coverage(catalogue, (), (), now))
                self._known = await self._reader.read(
                    lambda connection: coverage(
                        catalogue, read_reports(connection), read_storms(connection), now, read_lives(connection)
                    )
                )
                self._known_ns = now_ns
                self._gauge(self._known)
            return self._known

    def _gauge(self, known: Coverage) -> None:
        gauge = self._counters.gauge
        gauge("cameras_wanted", known.wanted)
        for stage, total in (("received", known.received), ("analysed", known.analysed)):
            gauge(f"cameras_{stage}_60s", total.seen)
            gauge(f"cameras_{stage}_unknown", total.unknown)
            gauge(f"pictures_{stage}_per_s", total.per_s or 0.0)
        gauge("coverage_instances_silent", sum(each.silent for each in known.instances))
        gauge("storms_on", len(known.storms))
        gauge("storms_cameras_away", sum(storm.away for storm in known.storms))


def read_reports(connection: sqlite3.Connection) -> list[CoverageReport]:
    """The newest report of every process; one that cannot be read is as good as none."""
    reports = []
    for row in connection.execute("SELECT body FROM coverage ORDER BY service, instance"):
        try:
            reports.append(wire.decode(row[0], CoverageReport))
        except MalformedMessage:
            continue
    return reports


def read_lives(connection: sqlite3.Connection) -> dict[tuple[str, str], Instant]:
    """When each process began, by service and instance, as its newest health report says."""
    lives = {}
    for row in connection.execute("SELECT body FROM health"):
        try:
            report = wire.decode(row[0], HealthReport)
        except MalformedMessage:
            continue
        lives[report.service, report.instance] = report.started_at
    return lives


def read_storms(connection: sqlite3.Connection) -> list[StormReport]:
    """The storms that are kept, newest first."""
    storms = []
    for row in connection.execute("SELECT body FROM storms ORDER BY began_at DESC, id LIMIT ?", (STORMS_MAX,)):
        try:
            storms.append(wire.decode(row[0], StormReport))
        except MalformedMessage:
            continue
    return storms
