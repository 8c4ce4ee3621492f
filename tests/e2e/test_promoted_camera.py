"""A real camera over RTSP, the camera worker and inference: promoted on suspicion, and looked at on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts import topics, wire
from contracts.control import LookAnswer, LookOutcome, LookRequest
from contracts.observation import IncidentType
from contracts.place import ZoneKind
from contracts.source import Camera
from inference.config import EvidenceConfig, InferenceConfig, LookConfig
from inference.service import run as run_inference
from ingest.config import IngestConfig
from ingest.worker import run as run_ingest
from runtime.clock import SystemClock
from runtime.site import PathsConfig, Site, SiteConfig
from runtime.zmq_request import ZmqRequestClient
from sim.alerts_end import SITE, AlertsEnd, alerts_end
from sim.rtp_stream import EncodedPicture, LiveStream
from sim.rtsp_server import Mount, RtspServer
from sim.scenes import SceneKind, make_scene
from tests.inference.pictures import Bgr, camera, encode_groups, noisy, zone

pytestmark = pytest.mark.slow
CLOCK = SystemClock()
MODELS = Path(__file__).resolve().parents[2] / "models"
GROUP = 100
"""Pictures from one key picture to the next: four seconds at 25 a second."""


class Running:
    """The chain as it runs: what is played may be changed at any moment."""

    def __init__(self, site: Site, end: AlertsEnd, camera_: Camera) -> None:
        self.site = site
        self.end = end
        self.camera = camera_
        self.scenes: Sequence[Bgr] = []
        self.client = ZmqRequestClient(site.endpoint(topics.CONTROL_INFERENCE), CLOCK)

    def counted(self, service: str, name: str) -> int:
        return self.end.counter(service, name)

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await CLOCK.asleep(0.05)

    async def look(self, **wish: Any) -> LookAnswer:
        request = LookRequest(id="look", source_id=self.camera.id, **wish)
        body = await self.client.request(topics.REQUEST_LOOK, wire.encode(request), timeout_s=20)
        return wire.decode(body, LookAnswer)


@asynccontextmanager
async def running(folder: Path, scenes: Sequence[Bgr]) -> AsyncIterator[Running]:
    """One live camera that plays `scenes` over and over, and the two services that take it in."""
    units = encode_groups(scenes, group=GROUP)
    stream = LiveStream("cam", CLOCK)
    server = RtspServer("127.0.0.1", 0, CLOCK, {"/cam": Mount(stream)})
    await server.start()

    async def play() -> None:
        while True:
            for key, data, _ in units:
                stream.publish(EncodedPicture(data, key, CLOCK.monotonic_ns()))
                await CLOCK.asleep(0.04)

    site = Site(SiteConfig(id=SITE), PathsConfig(state="state", run="run", models=str(MODELS)), folder)
    listed = camera(zone(ZoneKind.STANDING))
    listed = Camera(
        id=listed.id, name=listed.name, place=listed.place, owner=listed.owner, zones=listed.zones, live=True,
        url=f"rtsp://127.0.0.1:{server.port}/cam",
    )  # fmt: skip
    stop = asyncio.Event()
    config = InferenceConfig(rest_s=0.0, evidence=EvidenceConfig(reserve_mb=0), look=LookConfig(fresh_s=0.5))
    async with alerts_end(site, cameras=(listed,)) as end:
        tasks = [
            asyncio.create_task(play()),
            asyncio.create_task(run_ingest(site, IngestConfig(), CLOCK, stop)),
            asyncio.create_task(run_inference(site, config, CLOCK, stop)),
        ]
        made = Running(site, end, listed)
        try:
            yield made
        finally:
            stop.set()
            await asyncio.wait_for(asyncio.gather(*tasks[1:]), 30)
            tasks[0].cancel()
            with suppress(asyncio.CancelledError):
                await tasks[0]
            await made.client.close()
            await server.close()


async def test_look_is_answered_long_before_the_next_key_picture_once_the_camera_is_promoted(
    short_dir: Path,
) -> None:
    """Key pictures come every four seconds; a promoted camera shows something new at once."""
    square, _ = make_scene(SceneKind.SQUARE_FILLING, 3).render(90.0)
    async with running(short_dir, [noisy(square, n % 10) for n in range(GROUP)]) as made:
        await made.until(lambda: made.counted("inference", "pictures_analysed") >= 1)
        first = await made.look(within_s=9.0, kind=IncidentType.CROWD_DENSITY)
        await CLOCK.asleep(0.6)
        second = await made.look(within_s=3.0, kind=IncidentType.CROWD_DENSITY)
        await made.until(lambda: made.counted("inference", "pictures_followed") >= 20)
    assert first.outcome is second.outcome is LookOutcome.SEEN
    assert first.event_time is not None
    assert second.event_time is not None
    assert 0 < second.event_time - first.event_time < GROUP * 40_000_000, "not the next key picture"
    assert dict(first.counts)["person"] >= 10
    assert made.counted("ingest-cameras", "promotions:look") >= 1


async def test_fire_that_is_suspected_has_its_camera_promoted_and_is_confirmed_from_the_pictures_between(
    short_dir: Path,
) -> None:
    scene = make_scene(SceneKind.FIRE_STARTING, 3)
    burning = [scene.render(90.0 + n / 25)[0] for n in range(GROUP)]
    async with running(short_dir, burning) as made:
        await made.end.until(
            lambda: any(each.type is IncidentType.FLAME_SUSPECTED for each in made.end.observations), 60
        )
        await made.until(lambda: made.counted("ingest-cameras", "promotions:fire") >= 1)
        await made.until(lambda: made.counted("inference", "pictures_followed") >= 20)
    flame = next(each for each in made.end.observations if each.type is IncidentType.FLAME_SUSPECTED)
    assert flame.samples >= 3
    report = made.end.newest("inference")
    assert report is not None
    assert not [name for name, _ in report.counters if name.startswith("pictures_refused")]


async def test_covered_camera_is_said_to_be_blind(short_dir: Path) -> None:
    grey = np.full((192, 320, 3), 90, np.uint8)
    async with running(short_dir, [noisy(grey, n % 5) for n in range(GROUP)]) as made:
        await made.until(lambda: made.counted("inference", "pictures_analysed") >= 1)
        answer = await made.look(within_s=9.0)
        nowhere = await made.look(zone_id="no such zone")
    assert (answer.outcome, answer.reason) == (LookOutcome.BLIND, "covered")
    assert nowhere.reason == "unknown_zone"
