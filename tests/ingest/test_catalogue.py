from __future__ import annotations

import asyncio
from pathlib import Path

from contracts import topics
from contracts.source import Sensor
from ingest.catalogue import CatalogueCopy
from runtime.clock import SystemClock
from runtime.site import Site
from runtime.zmq_request import ZmqRequestClient
from tests.ingest.alerts_end import SITE, alerts_end, site_in
from tests.ingest.sensor_worker import SMOKE


async def first(site: Site, stop: asyncio.Event, *, of: str = SITE) -> tuple[Sensor, ...] | None:
    client = ZmqRequestClient(site.endpoint(topics.COMMAND), SystemClock())
    try:
        copy = CatalogueCopy(client, site.state_dir / "copy.bin", of, SystemClock(), ask_s=0.2)
        catalogue = await copy.first(stop)
        return catalogue.sensors if catalogue is not None else None
    finally:
        await client.close()


async def test_catalogue_kept_on_disk_serves_while_alerts_is_away(short_dir: Path) -> None:
    site = site_in(short_dir)
    async with alerts_end(site, sensors=(SMOKE,)):
        assert await first(site, asyncio.Event()) == (SMOKE,)
    assert await first(site, asyncio.Event()) == (SMOKE,)


async def test_without_alerts_and_copy_it_waits_until_stopped(short_dir: Path) -> None:
    site = site_in(short_dir)
    site.run_dir.mkdir(parents=True)
    stop = asyncio.Event()
    waiting = asyncio.create_task(first(site, stop))
    await SystemClock().asleep(0.5)
    assert not waiting.done()
    stop.set()
    assert await waiting is None


async def test_broken_copy_and_catalogue_of_another_site_are_not_used(short_dir: Path) -> None:
    site = site_in(short_dir)
    site.state_dir.mkdir(parents=True)
    (site.state_dir / "copy.bin").write_bytes(b"\x01garbage")
    stop = asyncio.Event()
    async with alerts_end(site, sensors=(SMOKE,)):
        waiting = asyncio.create_task(first(site, stop, of="150621"))
        await SystemClock().asleep(0.5)
        assert not waiting.done()
        stop.set()
        assert await waiting is None
