"""A running API over a seeded county: real uvicorn on a free port, real SQLite, real ZeroMQ."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from contracts import topics
from contracts.delivery import DeliveryState
from contracts.instant import Instant
from dashboard_api.app import listen, make_services, serve
from dashboard_api.config import ApiConfig
from dashboard_api.services import Services
from runtime.clock import Clock, SystemClock
from runtime.metrics import StageCounters
from runtime.site import PathsConfig, Site, SiteConfig
from runtime.zmq_request import ZmqChangeSubscriber, ZmqRequestClient
from tests.dashboard_api.county_records import (
    POLICY,
    SITE,
    catalogue,
    county,
    make_delivery,
    make_events,
    make_health,
    make_mute,
    make_pair,
    make_source_changes,
)
from tests.dashboard_api.county_store import AlertsStandIn, CountyStore
from tests.dashboard_api.coverage_records import make_reports


def make_site(folder: Path, *, exercise: bool = False) -> Site:
    run = Path(tempfile.mkdtemp(prefix="gw-", dir=folder))
    site = SiteConfig(id=SITE, name="阿拉善左旗", county=SITE, exercise=exercise)
    return Site(site, PathsConfig(state="state", run=str(run)), folder)


def seed(site: Site, now: Instant, *, pairs: int = 24, exercise: bool = False) -> CountyStore:
    """The evening: incidents with tickets and pictures, sources, health, refusals, deliveries, a mute."""
    store = CountyStore(site.database_file)
    store.put(make_source_changes(now), now)
    made = [make_pair(number, now, site.evidence_dir, exercise=exercise) for number in range(pairs)]
    store.put([record for pair in made for record in pair], now)
    for _, ticket in made:
        store.put_events(make_events(ticket))
    if made:
        store.put([make_delivery(made[0][1], DeliveryState.DELIVERED, now)], now)
    store.put([make_mute(now)], now)
    for health in make_health(now):
        store.put_report(health)
    for coverage in make_reports(now):
        store.put_report(coverage)
    store.put_refusal("malformed", "S-017", 3, now, "无效 JSON (invalid JSON at byte 12)")
    store.put_refusal("unknown_source", "", 1, now, "目录中没有 S-999 (not in the catalogue)")
    store.put_meta(grids_version="1", catalogue_version="1", policy_version="1", epoch="1")
    return store


@dataclass
class RunningApi:
    """What a test needs of a running API."""

    site: Site
    services: Services
    store: CountyStore
    alerts: AlertsStandIn
    port: int
    stop: asyncio.Event

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/api/v1/live"


@asynccontextmanager
async def running_api(
    folder: Path,
    config: ApiConfig | None = None,
    *,
    pairs: int = 24,
    exercise: bool = False,
    clock: Clock | None = None,
) -> AsyncIterator[RunningApi]:
    """Seed a county and serve it until the block ends."""
    config = config or ApiConfig(port=0)
    clock = clock or SystemClock()
    site = make_site(folder, exercise=exercise)
    store = await asyncio.to_thread(seed, site, clock.now(), pairs=pairs, exercise=exercise)
    stand_in = AlertsStandIn(site, store, clock, catalogue(county()), county().grids, POLICY)
    client = ZmqRequestClient(site.endpoint(topics.COMMAND), clock)
    services = make_services(site, config, clock, client, StageCounters("api"))
    subscriber = ZmqChangeSubscriber(site.endpoint(topics.CHANGES), clock)
    stop = asyncio.Event()
    await services.snapshots.refresh()
    listening = listen(config)
    api = RunningApi(site, services, store, stand_in, listening.getsockname()[1], stop)
    tasks = [
        asyncio.create_task(services.feed.run(subscriber, stop)),
        asyncio.create_task(services.snapshots.keep_fresh(stop)),
        asyncio.create_task(serve(services, listening, stop)),
    ]
    try:
        yield api
    finally:
        stop.set()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        await stand_in.close()
        await subscriber.close()
        await client.close()
        await services.register.close()
        await services.reader.close()
        store.close()
