"""A real full disk: the state folder is a file system of 12 MB that something else fills to the last byte."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from contracts import topics, wire
from contracts.errors import ConfigError
from contracts.source import HealthReport
from runtime.clock import SystemClock
from runtime.site import PathsConfig, Site, SiteConfig
from sim.small_disk import fill, free_bytes
from sim.small_disk import small_disk as mounted
from tests.alerts.county import CONFIG, County, county
from tests.alerts.records import COUNTY, SITE, smoke
from tests.alerts.site_files import write_site

CLOCK = SystemClock()


@pytest.fixture
def small_disk(short_dir: Path) -> Iterator[Path]:
    folder = short_dir / "disk"
    try:
        with mounted(folder, 12):
            yield folder
    except ConfigError as error:
        pytest.skip(str(error))


def health(here: County) -> HealthReport:
    [row] = here.rows("SELECT body FROM health WHERE service = 'alerts'")
    return wire.decode(row["body"], HealthReport)


async def tickets(here: County, number: int) -> None:
    async with asyncio.timeout(30):
        while len(here.rows("SELECT id FROM tickets")) < number:
            await CLOCK.asleep(0.05)


@pytest.mark.external
@pytest.mark.slow
async def test_full_disk_tickets_go_on_from_the_reserve_then_wait_and_nothing_is_lost(
    short_dir: Path, small_disk: Path
) -> None:
    write_site(short_dir)
    site = Site(
        SiteConfig(id=SITE, county=COUNTY),
        PathsConfig(state="disk", run="run", grids="grids.geojson", catalogue="catalogue.json"),
        short_dir,
    )
    config = msgspec.structs.replace(CONFIG, reserve_mib=4)
    async with county(site, config) as here:
        await here.send(smoke(0, CLOCK.now()))
        async with asyncio.timeout(20):
            while not (small_disk / "reserve.bin").exists():
                await CLOCK.asleep(0.05)

        filler = fill(small_disk, "filler")
        assert free_bytes(small_disk) < 4096
        await here.send(*(smoke(number, CLOCK.now()) for number in range(1, 101)))
        assert not (small_disk / "reserve.bin").exists()
        async with asyncio.timeout(20):
            while ("reserve_released", 1) not in health(here).counters:
                await CLOCK.asleep(0.05)
        committed = here.rows("SELECT body FROM incidents")

        second = fill(small_disk, "second")
        waiting = asyncio.create_task(
            here.send(*(smoke(number, CLOCK.now()) for number in range(101, 2001)), timeout_s=50)
        )
        acknowledged, _ = await asyncio.wait({waiting}, timeout=2.0)
        assert not acknowledged
        assert await here.requests.request(topics.REQUEST_GRIDS, b"", timeout_s=5)
        assert len(here.rows("SELECT body FROM incidents")) >= len(committed)

        filler.unlink()
        second.unlink()
        await waiting
        behind: set[str] = set()
        for row in here.rows("SELECT body FROM incidents"):
            behind.update(msgspec.msgpack.decode(row["body"][1:])["external_ids"])
        assert behind == {f"alarm-{number}" for number in range(2001)}
