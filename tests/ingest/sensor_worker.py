"""The sensor worker as it runs in its process, real brokers, and what detectors say; for tests."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from contracts.instant import SECOND
from contracts.place import Place
from contracts.source import Sensor, SensorKind
from ingest.config import MqttConfig
from ingest.mqtt.worker import run
from runtime.clock import SystemClock
from runtime.site import Site
from sim.broker import EmbeddedBroker
from tests.ingest.alerts_end import SITE, AlertsEnd
from tests.ingest.mosquitto import mosquitto

ROOT = Path(__file__).resolve().parents[2]
PLACE = Place(105.7, 38.8, "152921001001001", name="东关市场")
SMOKE = Sensor(
    id="S-17", name="感烟", kind=SensorKind.SMOKE, place=PLACE, owner="消防", unit="", valid_min=0, valid_max=1
)
HEAT = Sensor(
    id="H-1",
    name="感温",
    kind=SensorKind.HEAT,
    place=PLACE,
    owner="消防",
    unit="Cel",
    valid_min=-40,
    valid_max=300,
)


def topic(sensor_id: str, form: str = "json") -> str:
    return f"county/{SITE}/sensor/{sensor_id}/{form}"


def smoke(alarm_id: str | None, value: int = 1, **more: Any) -> str:
    return json.dumps({"value": value, "time": SystemClock().now() / SECOND, "alarm_id": alarm_id, **more})


@asynccontextmanager
async def working(site: Site, port: int, **config: Any) -> AsyncIterator[asyncio.Task[None]]:
    """The worker as it runs in its process."""
    config.setdefault("protocol", "3.1.1")
    config.setdefault("url", f"mqtt://127.0.0.1:{port}")
    stop = asyncio.Event()
    task = asyncio.create_task(
        run(
            site,
            MqttConfig(catalogue_poll_s=0.2, **config),
            SystemClock(),
            stop,
        )
    )
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


async def connected(end: AlertsEnd) -> None:
    """The worker reported that the broker took it."""
    await end.until(lambda: any(dict(each.gauges).get("broker_connected") for each in end.reports))


@asynccontextmanager
async def embedded(folder: Path) -> AsyncIterator[int]:
    broker = EmbeddedBroker(0)
    await broker.start()
    try:
        yield broker.port
    finally:
        await broker.close()


BROKERS = [
    pytest.param(embedded, id="embedded"),
    pytest.param(mosquitto, id="mosquitto", marks=pytest.mark.external),
]

_VICTIM = """
import asyncio, json, sys
from pathlib import Path
from ingest.config import MqttConfig
from ingest.mqtt.worker import run
from runtime.clock import SystemClock
from tests.ingest.alerts_end import site_in
config = MqttConfig(url=sys.argv[2], **json.loads(sys.argv[3]))
asyncio.run(run(site_in(Path(sys.argv[1])), config, SystemClock(), asyncio.Event()))
"""


async def start_victim(folder: Path, port: int, **config: Any) -> asyncio.subprocess.Process:
    """A worker in a process of its own, to be killed."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", _VICTIM, str(folder), f"mqtt://127.0.0.1:{port}", json.dumps(config), cwd=ROOT
    )
