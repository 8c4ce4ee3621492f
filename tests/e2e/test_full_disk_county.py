"""The disk of a whole running installation is filled to the last byte while alarms come, and freed again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import ConfigError
from contracts.instant import SECOND
from contracts.source import Sensor
from runtime.clock import SystemClock
from sim.alarm_drill import broker, drill_stack, smoke_county
from sim.mqtt_link import MqttLink
from sim.sensors import senml, sensor_topic
from sim.small_disk import fill, free_bytes, small_disk
from sim.stack import Stack, free_port

CLOCK = SystemClock()
SENSORS = 400
MIB = 1024 * 1024


@dataclass
class Installation:
    """A running installation on a small disk, and what was sent to it."""

    stack: Stack
    link: MqttLink
    sensors: tuple[Sensor, ...]
    sent: list[str] = field(default_factory=list)

    async def alarms(self, count: int) -> None:
        """Good alarms, each of which the broker has."""
        for _ in range(count):
            sensor = self.sensors[len(self.sent) % SENSORS]
            self.sent.append(f"alarm-{len(self.sent):05d}")
            payload = senml(sensor.id, CLOCK.now(), alarm=True, alarm_id=self.sent[-1])
            await self.link.publish(sensor_topic(sensor.id), payload)

    async def health(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The health page, and what alerts says of itself on it."""
        health = await asyncio.to_thread(self.stack.get, "/api/v1/health")
        services = {service["service"]: service for service in health["services"]}
        return health, services.get("alerts", {"counters": {}, "gauges": {}})

    async def behind_tickets(self) -> Counter[str]:
        """How often each alarm stands behind a ticket."""
        behind: Counter[str] = Counter()
        more: dict[str, str | int] = {"limit": 500}
        while True:
            page = await asyncio.to_thread(self.stack.get, "/api/v1/tickets", **more)
            for ticket in page["items"]:
                behind.update(ticket["external_ids"])
            if page["next"] is None:
                return behind
            more["cursor"] = page["next"]

    async def until(self, found: Callable[[], Awaitable[bool]], what: str) -> None:
        """Ask again and again, up to a minute."""
        deadline_ns = CLOCK.monotonic_ns() + 60 * SECOND
        while not await found():
            assert CLOCK.monotonic_ns() < deadline_ns, f"{what}\n{self.stack.log_tail()}"
            await CLOCK.asleep(0.3)

    async def all_committed(self) -> bool:
        return await self.behind_tickets() == Counter(self.sent)


@pytest.fixture
def disk(short_dir: Path) -> Iterator[Path]:
    """The state folder `var` of an installation in `short_dir`, 64 MB large."""
    try:
        with small_disk(short_dir / "var", 64):
            yield short_dir / "var"
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.fixture
async def installation(short_dir: Path, disk: Path) -> AsyncIterator[Installation]:
    port = free_port()
    grids, catalogue = smoke_county(SENSORS)
    stack = drill_stack(short_dir, port, grids, catalogue, CLOCK)
    async with broker(short_dir, port, outside=False):
        await asyncio.to_thread(stack.start)
        link = MqttLink("127.0.0.1", port)
        link.start()
        try:
            await asyncio.to_thread(stack.wait_ready, 120)
            here = Installation(stack, link, catalogue.sensors)

            async def ready() -> bool:
                health, alerts = await here.health()
                hears = any(each["gauges"].get("broker_connected") for each in health["services"])
                return hears and bool(alerts["gauges"].get("store_reserve_bytes"))

            await here.until(ready, "the installation does not hear its sensors, or holds no reserve")
            yield here
        finally:
            await link.close()
            await asyncio.to_thread(stack.stop)


@pytest.mark.external
@pytest.mark.slow
@pytest.mark.timeout(420)
async def test_full_disk_then_said_on_the_wall_alarms_wait_and_after_freeing_all_are_tickets_once(
    installation: Installation, disk: Path
) -> None:
    here = installation
    pids = here.stack.pids()
    await here.alarms(20)
    await here.until(here.all_committed, "no tickets on a healthy disk")

    fillers = [fill(disk, "filler")]
    assert free_bytes(disk) < 4096
    await here.alarms(60)
    await here.until(here.all_committed, "no tickets from the reserve")

    async def reserve_is_told() -> bool:
        health, alerts = await here.health()
        counted = alerts["counters"].get("commits_failed:disk_full", 0) >= 1
        return counted and health["status"] == "degraded" and "预留空间" in health["message"]

    await here.until(reserve_is_told, "the wall does not say that the reserve is in use")

    fillers.append(fill(disk, "second"))
    committed = len(here.sent)
    await here.alarms(200)

    async def full_is_told() -> bool:
        health, _ = await here.health()
        return bool(health["status"] == "down" and "磁盘已满" in health["message"])

    await here.until(full_is_told, "the wall does not say that the disk is full")
    behind = await here.behind_tickets()
    assert set(here.sent[:committed]) <= set(behind)
    assert len(behind) < len(here.sent), "the disk was not full"
    assert here.stack.pids() == pids

    for filler in fillers:
        filler.unlink()
    await here.until(here.all_committed, "alarms were lost on the full disk, or are there twice")
    assert here.stack.pids() == pids, "a process was started again"
    _, alerts = await here.health()
    assert alerts["counters"]["reserve_released"] == 1
