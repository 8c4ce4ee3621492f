"""The alerts service under test: run in this loop over real ZeroMQ links and a real SQLite file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import create_engine, text

from alerts import service
from alerts.config import AlertsConfig, WebhookConfig
from contracts import topics, wire
from contracts.command import Command, CommandAnswer, CommandKind
from contracts.instant import Instant
from contracts.principal import Principal, Role
from contracts.source import SourceChange, SourceKind, SourceState
from runtime.clock import Clock, SystemClock
from runtime.site import Site
from runtime.zmq_log import ZmqLogSender
from runtime.zmq_request import ZmqChangeSubscriber, ZmqRequestClient
from tests.alerts.records import SITE

OPERATOR = Principal(id="u-1", name="张三", role=Role.OPERATOR, unit="指挥中心")
CONFIG = AlertsConfig(reserve_mib=1, idle_s=0.05)


def rows(file: Path, statement: str) -> list[dict[str, Any]]:
    """What another process sees in the database."""
    engine = create_engine(f"sqlite:///{file}")
    try:
        with engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(text(statement))]
    finally:
        engine.dispose()


def command(kind: CommandKind, at: Instant, **fields: Any) -> Command:
    return Command(site=SITE, kind=kind, principal=OPERATOR, at=at, **fields)


@dataclass
class County:
    """The service and everybody around it."""

    site: Site
    clock: Clock
    log: ZmqLogSender
    requests: ZmqRequestClient
    changes: ZmqChangeSubscriber
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, *records: msgspec.Struct, timeout_s: float = 15.0) -> None:
        """Hand records over and wait until they are committed."""
        await asyncio.wait_for(self.log.send([wire.encode(record) for record in records]), timeout_s)

    async def ask(self, asked: Command) -> CommandAnswer:
        body = await self.requests.request(topics.REQUEST_COMMAND, wire.encode(asked), timeout_s=10.0)
        return wire.decode(body, CommandAnswer)

    async def close(self) -> None:
        await self.log.close()
        await self.requests.close()
        await self.changes.close()

    def rows(self, statement: str) -> list[dict[str, Any]]:
        return rows(self.site.database_file, statement)

    async def until(self, statement: str, timeout_s: float = 20.0) -> None:
        """Wait until a query finds something."""
        async with asyncio.timeout(timeout_s):
            while not self.rows(statement):
                await self.clock.asleep(0.02)

    async def listen(self) -> int:
        """Make sure that the subscription stands; returns the sequence number of the last change so far."""
        for number in count(1):
            change = SourceChange(
                id=f"listen-{number}",
                site=SITE,
                source_id=f"listen-{number}",
                kind=SourceKind.SENSOR,
                state=SourceState.LIVE,
                at=self.clock.now(),
            )
            await self.send(change)
            if await self.changes.receive(wait_s=0.2) is not None:
                break
        last = int(self.rows("SELECT max(seq) AS seq FROM changes")[0]["seq"])
        while (missed := await self.changes.receive(wait_s=0.2)) is not None:
            assert missed[0] <= last
        return last

    async def heard(self, number: int) -> list[tuple[int, str, bytes]]:
        """The next `number` published changes."""
        found: list[tuple[int, str, bytes]] = []
        while len(found) < number:
            change = await self.changes.receive(wait_s=10.0)
            assert change is not None, f"only {len(found)} of {number} changes were published"
            found.append(change)
        return found


def open_links(site: Site, clock: Clock, producer: str = "ingest-sensors") -> County:
    """The links of a county whose service runs elsewhere."""
    return County(
        site=site,
        clock=clock,
        log=ZmqLogSender(site.endpoint(topics.LOG), producer, clock),
        requests=ZmqRequestClient(site.endpoint(topics.COMMAND), clock),
        changes=ZmqChangeSubscriber(site.endpoint(topics.CHANGES), clock),
    )


@asynccontextmanager
async def links(site: Site, clock: Clock, producer: str = "ingest-sensors") -> AsyncIterator[County]:
    """Talk to a service that somebody else started."""
    opened = open_links(site, clock, producer)
    try:
        await opened.requests.request(topics.REQUEST_GRIDS, b"", timeout_s=30.0)
        yield opened
    finally:
        await opened.close()


@asynccontextmanager
async def county(
    site: Site,
    config: AlertsConfig = CONFIG,
    *,
    clock: Clock | None = None,
    webhook: WebhookConfig | None = None,
    producer: str = "ingest-sensors",
) -> AsyncIterator[County]:
    """Start the service, wait until it answers, stop it in order; its failure is the test's failure."""
    clock = clock or SystemClock()
    opened = open_links(site, clock, producer)
    task = asyncio.create_task(service.run(site, config, clock, opened.stop, webhook=webhook or WebhookConfig()))
    try:
        ready = asyncio.create_task(opened.requests.request(topics.REQUEST_GRIDS, b"", timeout_s=30.0))
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            ready.cancel()
            await task
        await ready
        yield opened
        opened.stop.set()
        await asyncio.wait_for(task, 20)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await opened.close()


def external_ids_behind_tickets(file: Path) -> list[str]:
    """The devices' own alarm ids behind all tickets, with repetitions if there are any."""
    found: list[str] = []
    for row in rows(file, "SELECT i.body FROM tickets t JOIN incidents i ON i.id = t.incident_id"):
        found.extend(wire.decode(row["body"], _Behind).external_ids)
    return sorted(found)


class _Behind(msgspec.Struct):
    external_ids: Sequence[str]
