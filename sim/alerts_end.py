"""A stand-in for alerts on the links of ingest: hands out a catalogue, commits and keeps what arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from contracts import topics, wire
from contracts.coverage import CoverageReport
from contracts.observation import Observation
from contracts.source import Camera, Catalogue, HealthReport, Sensor, SourceChange
from contracts.storm import StormReport
from runtime.clock import SystemClock
from runtime.log_link import Position
from runtime.site import PathsConfig, Site, SiteConfig
from runtime.zmq_log import ZmqLogReceiver
from runtime.zmq_request import ZmqRequestServer

SITE = "152921"
_KEPT: Final = 1_000


def site_in(folder: Path) -> Site:
    """A site whose sockets and state lie in `folder`."""
    return Site(SiteConfig(id=SITE), PathsConfig(state="state", run="run"), folder)


class AlertsEnd:
    """What ingest said so far. `commits` False holds all acknowledgements back.

    `sources` holds the latest change of each source. Unless `remembers`, only the newest changes and reports are
    kept besides, for runs of hours.
    """

    def __init__(self, catalogue: Catalogue, *, remembers: bool = True) -> None:
        self.catalogue = catalogue
        self.sources: dict[str, SourceChange] = {}
        self.commits = True
        self._remembers = remembers
        self.observations: list[Observation] = []
        self.changes: list[SourceChange] = []
        self.reports: list[HealthReport] = []
        self.coverage: list[CoverageReport] = []
        self.storms: list[StormReport] = []
        self.changed = asyncio.Condition()

    async def _answer(self, kind: str, body: bytes) -> bytes:  # noqa: ARG002 - RequestHandler
        assert kind == topics.REQUEST_CATALOGUE
        return wire.encode(self.catalogue)

    async def _receive(self, receiver: ZmqLogReceiver) -> None:
        held: list[Position] = []
        while True:
            for entry in await receiver.receive(limit=1000, wait_s=0.05):
                match wire.decode_log_record(entry.payload):
                    case Observation() as observation:
                        self.observations.append(observation)
                    case SourceChange() as change:
                        self.changes.append(change)
                        self.sources[change.source_id] = change
                    case HealthReport() as report:
                        self.reports.append(report)
                    case CoverageReport() as coverage:
                        self.coverage.append(coverage)
                    case StormReport() as storm:
                        self.storms.append(storm)
                held.append(Position(entry.producer, entry.incarnation, entry.sequence))
            if self.commits and held:
                await receiver.commit(held)
                held = []
            if not self._remembers:
                for records in (self.observations, self.changes, self.reports, self.coverage, self.storms):
                    del records[:-_KEPT]
            async with self.changed:
                self.changed.notify_all()

    async def until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait for what arrived to meet a condition."""
        async with asyncio.timeout(seconds), self.changed:
            await self.changed.wait_for(condition)

    def newest(self, service: str) -> HealthReport | None:
        """The newest report of a service."""
        return next((report for report in reversed(self.reports) if report.service == service), None)

    def counter(self, service: str, key: str) -> int:
        """A counter of the newest report of a service, 0 when it was never counted."""
        report = self.newest(service)
        return 0 if report is None else dict(report.counters).get(key, 0)


@asynccontextmanager
async def alerts_end(
    site: Site,
    *,
    cameras: tuple[Camera, ...] = (),
    sensors: tuple[Sensor, ...] = (),
    remembers: bool = True,
) -> AsyncIterator[AlertsEnd]:
    """Run the alerts end of a site."""
    site.run_dir.mkdir(parents=True, exist_ok=True)
    catalogue = Catalogue(site=SITE, county=SITE, version=1, cameras=cameras, sensors=sensors)
    end = AlertsEnd(catalogue, remembers=remembers)
    clock = SystemClock()
    receiver = ZmqLogReceiver(site.endpoint(topics.LOG), clock)
    server = ZmqRequestServer(site.endpoint(topics.COMMAND), clock)
    tasks = [asyncio.create_task(end._receive(receiver)), asyncio.create_task(server.serve(end._answer))]
    try:
        yield end
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await receiver.close()
