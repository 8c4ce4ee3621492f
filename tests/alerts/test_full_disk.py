"""A real full disk: the state folder is a file system of 12 MB that something else fills to the last byte."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from contracts import topics, wire
from contracts.source import HealthReport
from runtime.clock import SystemClock
from runtime.site import PathsConfig, Site, SiteConfig
from tests.alerts.county import CONFIG, County, county
from tests.alerts.records import COUNTY, SITE, smoke
from tests.alerts.site_files import write_site

CLOCK = SystemClock()
MIB = 1024 * 1024


@pytest.fixture
def small_disk(short_dir: Path) -> Iterator[Path]:
    folder = short_dir / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "none", str(folder)]
    done = subprocess.run(mount, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, name: str) -> Path:
    """Take every byte that is left."""
    file = folder / name
    with file.open("wb", buffering=0) as stream:
        for size in (MIB, 4096, 1):
            try:
                while True:
                    stream.write(b"x" * size)
            except OSError:
                continue
    status = os.statvfs(folder)
    assert status.f_bavail * status.f_frsize < 4096
    return file


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
