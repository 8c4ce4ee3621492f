"""Servers that others wrote: GStreamer's RTSP server as cameras, Mosquitto as broker, both without a line of code
or configuration that knows of them."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.instant import SECOND
from contracts.source import Catalogue
from runtime.clock import SystemClock
from sim.alarm_drill import MOSQUITTO, broker, drill_stack, smoke_county
from sim.mqtt_link import MqttLink
from sim.sensors import publish_alarms
from sim.stack import ROOT, Stack, free_port
from tests.e2e import gstreamer_streams
from tests.e2e.gstreamer_streams import HEIGHT, KEY_EVERY, PATTERNS, RATE, WIDTH
from tests.ingest.gstreamer import SYSTEM_PYTHON, available
from tests.ingest.mosquitto import answering

pytestmark = [pytest.mark.external, pytest.mark.slow, pytest.mark.timeout(300)]
CLOCK = SystemClock()
ALARMS = 50


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """Skips where the outside servers are not installed."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed (apt install mosquitto)")
    if not available():
        pytest.skip("GStreamer's RTSP server with python3-gi and x264enc is not installed")


class GStreamer:
    """The server, on one port; may be started again."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        script = Path(gstreamer_streams.__file__)
        self._process = subprocess.Popen([SYSTEM_PYTHON, str(script), str(self.port)], stdout=subprocess.DEVNULL)
        asyncio.run(answering(self.port))

    def stop(self) -> None:
        """As a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def gstreamer() -> Iterator[GStreamer]:
    """A running server."""
    server = GStreamer()
    server.start()
    yield server
    server.stop()


def with_cameras(catalogue: Catalogue, port: int) -> tuple[Catalogue, list[str]]:
    """The catalogue with a live camera per stream, and their ids."""
    live = [
        msgspec.structs.replace(camera, url=f"rtsp://127.0.0.1:{port}{path}", live=True, platform="gstreamer")
        for camera, path in zip(catalogue.cameras[::31], PATTERNS, strict=False)
    ]
    changed = {camera.id: camera for camera in live}
    cameras = tuple(changed.get(camera.id, camera) for camera in catalogue.cameras)
    return msgspec.structs.replace(catalogue, cameras=cameras), list(changed)


@asynccontextmanager
async def installation(
    folder: Path, rtsp_port: int
) -> AsyncIterator[tuple[Stack, MqttLink, Catalogue, list[str]]]:
    """An installation with default settings between GStreamer and Mosquitto."""
    grids, smoke = smoke_county(ALARMS)
    catalogue, cameras = with_cameras(smoke, rtsp_port)
    port = free_port()
    stack = drill_stack(folder, port, grids, catalogue, CLOCK)
    async with broker(folder, port, outside=True) as running:
        assert running.name == "Mosquitto"
        await asyncio.to_thread(stack.start)
        link = MqttLink("127.0.0.1", port)
        link.start()
        try:
            await asyncio.to_thread(stack.wait_ready, 120)
            yield stack, link, catalogue, cameras
        finally:
            await link.close()
            await asyncio.to_thread(stack.stop)


async def until(stack: Stack, found: Callable[[], Awaitable[bool]], what: str) -> None:
    """Ask again and again, up to 90 s."""
    deadline_ns = CLOCK.monotonic_ns() + 90 * SECOND
    while not await found():
        assert CLOCK.monotonic_ns() < deadline_ns, f"{what}\n{stack.log_tail()}"
        await CLOCK.asleep(0.5)


async def services(stack: Stack) -> dict[str, dict[str, Any]]:
    health = await asyncio.to_thread(stack.get, "/api/v1/health")
    return {service["service"]: service for service in health["services"]}


async def states(stack: Stack, cameras: list[str]) -> list[tuple[str, str]]:
    """State and reason of each camera."""
    views = [await asyncio.to_thread(stack.get, f"/api/v1/sources/{camera}") for camera in cameras]
    return [(view["state"]["code"], view["reason"]["code"] if view["reason"] else "") for view in views]


async def test_gstreamer_and_mosquitto_then_pictures_are_analysed_and_alarms_become_tickets(
    short_dir: Path, gstreamer: GStreamer
) -> None:
    async with installation(short_dir, gstreamer.port) as (stack, link, catalogue, cameras):

        async def hears() -> bool:
            sensors = (await services(stack)).get("ingest-sensors")
            return sensors is not None and sensors["gauges"].get("broker_connected") == 1.0

        await until(stack, hears, "the installation does not hear Mosquitto")
        sent = await publish_alarms(link, catalogue.sensors, ALARMS, CLOCK)

        async def covered() -> bool:
            inference = (await services(stack)).get("inference")
            seen = inference is not None and inference["gauges"].get("cameras_covered_60s") == len(cameras)
            return seen and await states(stack, cameras) == [("live", "")] * len(cameras)

        await until(stack, covered, "not every camera is live and looked at")

        async def ticketed() -> bool:
            page = await asyncio.to_thread(stack.get, "/api/v1/tickets", limit=500)
            behind = Counter(alarm for ticket in page["items"] for alarm in ticket["external_ids"])
            return behind == Counter(sent)

        await until(stack, ticketed, "the tickets are not those of the alarms sent")
        assert [key for key in (await services(stack))["inference"]["counters"] if "refused" in key] == []

        await asyncio.to_thread(gstreamer.stop)

        async def gone() -> bool:
            return all(state == "faulted" for state, _ in await states(stack, cameras))

        await until(stack, gone, "nobody noticed that the cameras went away")
        await asyncio.to_thread(gstreamer.start)
        await until(stack, covered, "the cameras did not come back")


def probe(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    """`gridwhistle probe`, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "gridwhistle", "probe", url, *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_probe_of_a_gstreamer_stream_prints_what_it_is(gstreamer: GStreamer) -> None:
    done = probe(f"rtsp://127.0.0.1:{gstreamer.port}/gate", "--seconds", "10")
    assert done.returncode == 0, done.stderr
    printed = dict(line.strip().split(": ", 1) for line in done.stdout.splitlines()[1:] if ": " in line)
    assert printed["编码 codec"] == "H264"
    assert printed["尺寸 size"] == f"{WIDTH}x{HEIGHT}"
    assert float(printed["帧率 rate"].removesuffix(" /s")) == pytest.approx(RATE, abs=1.5)
    interval = float(printed["关键帧间隔 key-picture interval"].removesuffix(" s"))
    assert interval == pytest.approx(KEY_EVERY / RATE, abs=0.2)
    offset = re.fullmatch(r"([+-]\d+\.\d+) s", printed["时钟偏差 clock offset"])
    assert offset is not None, "no RTCP sender report was seen"
    assert abs(float(offset[1])) < 2.0
    assert "TCP interleaved" in printed["传输 transport"]
    assert "GStreamer" in printed["服务器 server"]


def test_probe_of_a_missing_stream_says_so_in_words(gstreamer: GStreamer) -> None:
    done = probe(f"rtsp://127.0.0.1:{gstreamer.port}/nowhere")
    assert done.returncode == 1
    assert "404" in done.stderr
    assert "Traceback" not in done.stderr
