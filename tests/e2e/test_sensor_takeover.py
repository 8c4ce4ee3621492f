"""A group of sensor workers at a real Mosquitto, one of which is killed: nothing is lost, and how long it takes.

Everything is what a site runs: the broker, `gridwhistle ingest --sensors` under the supervisor of `gridwhistle
run`, alerts with its database. Every message is an alarm with an id of its own.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from contracts import wire
from contracts.instant import SECOND, Instant
from contracts.source import HealthReport
from runtime.clock import SystemClock
from runtime.processes import ProcessGroup, ProcessSpec
from runtime.site import Site
from sim.stack import toml
from tests.alerts.county import county, external_ids_behind_tickets, rows
from tests.alerts.site_files import write_site
from tests.ingest.mosquitto import Publisher, mosquitto
from tests.ingest.sensor_worker import smoke

pytestmark = [pytest.mark.external, pytest.mark.slow, pytest.mark.timeout(180)]
CLOCK = SystemClock()
SENSORS = 24
PERIOD_S = 0.04


@dataclass
class Alarms:
    """What was said and when, and when it was first seen behind a ticket."""

    site: Site
    said: dict[str, Instant] = field(default_factory=dict)
    seen: dict[str, Instant] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    quiet: asyncio.Event = field(default_factory=asyncio.Event)

    async def speak(self, device: Publisher) -> None:
        """An alarm every 40 ms, in turn of all sensors, until quiet."""
        while not self.quiet.is_set():
            number = len(self.said)
            name = f"alarm-{number:04d}"
            self.said[name] = CLOCK.now()
            await device.publish(f"sensors/S-{number % SENSORS + 1:05d}/json", smoke(name))
            await CLOCK.asleep(PERIOD_S)

    async def watch(self) -> None:
        """Look into the database of alerts until all that was said is there."""
        while not (self.quiet.is_set() and len(self.seen) == len(self.said)):
            self.ids = await asyncio.to_thread(external_ids_behind_tickets, self.site.database_file)
            now = CLOCK.now()
            for each in self.ids:
                self.seen.setdefault(each, now)
            await CLOCK.asleep(0.1)

    def slowest_s(self) -> float:
        """From publishing to the ticket, the longest."""
        return max((self.seen[each] - self.said[each]) / SECOND for each in self.said)


def config_file(site: Site, folder: Path, port: int, *, state: str = "var", client_id: str = "") -> Path:
    """The configuration of a member of the group; another `state`: it stands on another machine."""
    file = folder / f"{state}.toml"
    paths = {"state": state, "run": str(site.run_dir), "grids": "grids.geojson", "catalogue": "catalogue.json"}
    mqtt = {"url": f"mqtt://127.0.0.1:{port}", "protocol": "5", "shared_group": "county", "client_id": client_id}
    file.write_text(toml({"site": {"id": site.id}, "paths": paths, "mqtt": mqtt}), encoding="utf-8")
    return file


def member(number: int, config: Path) -> ProcessSpec:
    program = [sys.executable, "-m", "gridwhistle", "ingest", "--sensors", "--instance", str(number)]
    return ProcessSpec(f"sensors-{number}", [*program, "--config", str(config)])


def listening(site: Site) -> set[str]:
    """Members that the broker took."""
    found = rows(site.database_file, "SELECT body FROM health WHERE service = 'ingest-sensors'")
    reports = [wire.decode(row["body"], HealthReport) for row in found]
    return {each.instance for each in reports if dict(each.gauges).get("broker_connected")}


async def until_listening(site: Site, *members: str) -> None:
    while not set(members) <= await asyncio.to_thread(listening, site):
        await CLOCK.asleep(0.1)


@asynccontextmanager
async def supervised(site: Site, *specs: ProcessSpec) -> AsyncIterator[ProcessGroup]:
    """The members as `gridwhistle run` keeps them alive."""
    stop = asyncio.Event()
    group = ProcessGroup(specs, site.run_dir / specs[0].name, CLOCK)
    task = asyncio.create_task(group.run(stop))
    try:
        yield group
    finally:
        stop.set()
        await task


async def test_killed_member_is_started_again_and_takes_up_its_session_without_a_loss(short_dir: Path) -> None:
    site = write_site(short_dir, sensors=SENSORS)
    async with mosquitto(short_dir) as port, county(site, producer="test"), Publisher(port) as device:
        config = config_file(site, short_dir, port)
        async with supervised(site, member(0, config), member(1, config)) as group:
            await until_listening(site, "sensors-0", "sensors-1")
            alarms = Alarms(site)
            tasks = [asyncio.create_task(each) for each in (alarms.speak(device), alarms.watch())]
            for _ in range(2):
                await CLOCK.asleep(3.0)
                os.kill(group.pids["sensors-1"], signal.SIGKILL)
            await CLOCK.asleep(4.0)
            alarms.quiet.set()
            await asyncio.gather(*tasks)
            assert group.restarts == {"sensors-0": 0, "sensors-1": 2}
        assert sorted(alarms.ids) == sorted(alarms.said), "each alarm behind one ticket, none twice"
    assert len(alarms.said) > 100
    print(f"\n{len(alarms.said)} alarms, two kills of a member: slowest to its ticket {alarms.slowest_s():.1f} s")


async def test_member_of_a_machine_that_is_gone_is_taken_over_by_its_number_on_another(short_dir: Path) -> None:
    """Nobody starts it again where it was; elsewhere its number and the client id of the group are enough."""
    site = write_site(short_dir, sensors=SENSORS)
    async with mosquitto(short_dir) as port, county(site, producer="test"), Publisher(port) as device:
        here = config_file(site, short_dir, port, client_id="county")
        there = config_file(site, short_dir, port, state="other", client_id="county")
        async with supervised(site, member(0, here)):
            victim = await asyncio.create_subprocess_exec(*member(1, here).command)
            await until_listening(site, "sensors-0", "sensors-1")
            alarms = Alarms(site)
            tasks = [asyncio.create_task(each) for each in (alarms.speak(device), alarms.watch())]
            await CLOCK.asleep(2.0)
            victim.kill()
            await victim.wait()
            # The broker keeps the share of the member that is gone: it never becomes the other's.
            while len(alarms.said) - len(alarms.seen) < 2 * SENSORS:
                await CLOCK.asleep(0.1)
            async with supervised(site, member(1, there)):
                await CLOCK.asleep(3.0)
                alarms.quiet.set()
                await asyncio.gather(*tasks)
        assert sorted(alarms.ids) == sorted(alarms.said)
    print(f"\n{len(alarms.said)} alarms, a machine lost: slowest to its ticket {alarms.slowest_s():.1f} s")
