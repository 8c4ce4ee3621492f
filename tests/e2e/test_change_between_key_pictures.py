"""A change between two key pictures, through the real worker and its links to inference, is looked at first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from contracts import topics
from contracts.frame import ActivityNotice, FrameHeader, Suspicion
from contracts.source import Camera
from inference.schedule import Scheduler
from ingest.config import IngestConfig
from ingest.worker import run as run_ingest
from runtime.clock import SystemClock
from runtime.zmq_latest import ZmqLatestPuller
from sim.alerts_end import alerts_end, site_in
from sim.h264 import split_annexb
from sim.rtp_stream import EncodedPicture, LiveStream
from sim.rtsp_server import Mount, RtspServer
from tests.inference.pictures import camera, encode_groups, moving

pytestmark = pytest.mark.slow
CLOCK = SystemClock()
CAMERAS = 24
RATE, GROUP = 25, 75
"""Pictures a second, and from one key picture to the next: three seconds."""
WARM_GROUPS = 10
WITHIN = 2 * RATE
"""Two seconds of stream time, in pictures."""
CHANGED = 7


@dataclass
class Streams:
    """Cameras whose pictures between two key pictures have a size of their own, and one that may change."""

    mounts: dict[str, Mount] = field(default_factory=dict)
    streams: list[LiveStream] = field(default_factory=list)
    factor: float = 1.0
    """Of the pictures of CHANGED."""
    pictures: int = 0
    """Sent of each camera."""

    def __post_init__(self) -> None:
        key, other = (unit for _, unit, _ in encode_groups(moving(2), group=2))
        self._key = split_annexb(key)
        self._slice = next(nal for nal in split_annexb(other) if nal[0] & 0x1F == 1)
        self._rng = np.random.default_rng(3)
        for number in range(CAMERAS):
            stream = LiveStream(f"cam{number}", CLOCK)
            self.streams.append(stream)
            self.mounts[f"/cam/{number}"] = Mount(stream)

    def is_key(self, number: int, picture: int) -> bool:
        """Whether this is a key picture of camera `number`; not those of all come at once."""
        return (picture + number * 3) % GROUP == 0

    def send(self) -> None:
        """One picture of each camera."""
        for number, stream in enumerate(self.streams):
            taken_ns = CLOCK.monotonic_ns()
            if self.is_key(number, self.pictures):
                stream.publish_units(list(self._key), EncodedPicture(b"", True, taken_ns))
                continue
            usual = 300.0 * (1 + number % 5) * float(np.exp(self._rng.normal(0.0, 0.2)))
            size = round(usual * (self.factor if number == CHANGED else 1.0))
            body = self._slice + bytes(max(size - len(self._slice), 0))
            stream.publish_units([body[: max(size, 8)]], EncodedPicture(b"", False, taken_ns))
        self.pictures += 1


@dataclass
class Inference:
    """The scheduler of inference at its end of the link; it decodes nothing."""

    puller: ZmqLatestPuller
    scheduler: Scheduler
    headers: list[FrameHeader] = field(default_factory=list)
    notices: list[ActivityNotice] = field(default_factory=list)

    async def follow(self) -> None:
        while True:
            for header in await self.puller.headers(limit=1_000, wait_s=0.5):
                self.headers.append(header)
                self.scheduler.announce(header, CLOCK.now())
            for notice in self.puller.notices():
                self.notices.append(notice)
                self.scheduler.notice(notice, CLOCK.now())

    def of(self, source_id: str) -> int:
        return sum(header.source_id == source_id for header in self.headers)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[Streams, Inference]]:
    """The camera worker between a real RTSP server and the scheduler, warm."""
    streams = Streams()
    server = RtspServer("127.0.0.1", 0, CLOCK, streams.mounts)
    await server.start()
    listed = tuple(
        Camera(
            id=source_id(number), name=str(number), place=camera().place, owner="t", live=True,
            url=f"rtsp://127.0.0.1:{server.port}/cam/{number}",
        )
        for number in range(CAMERAS)
    )  # fmt: skip
    site, stop = site_in(folder), asyncio.Event()
    async with alerts_end(site, cameras=listed):
        puller = ZmqLatestPuller([site.endpoint(f"{topics.FRAMES}-0")], CLOCK)
        scheduler = Scheduler(bound_s=60.0, rest_s=0.0, age_max_s=60.0)
        inference = Inference(puller, scheduler)
        tasks = [
            asyncio.create_task(run_ingest(site, IngestConfig(connect_burst=CAMERAS), CLOCK, stop)),
            asyncio.create_task(inference.follow()),
        ]
        try:
            while min(inference.of(source_id(number)) for number in range(CAMERAS)) < WARM_GROUPS:
                await play(streams)
            yield streams, inference
        finally:
            stop.set()
            await asyncio.wait_for(tasks[0], 30)
            tasks[1].cancel()
            with suppress(asyncio.CancelledError):
                await tasks[1]
            await puller.close()
            await server.close()


def source_id(number: int) -> str:
    return f"1529210000132{number:07d}"


async def play(streams: Streams) -> None:
    streams.send()
    await CLOCK.asleep(1 / RATE)


async def play_to(streams: Streams, after_key: int) -> None:
    """Until so many pictures of CHANGED came behind a key picture."""
    while not streams.is_key(CHANGED, streams.pictures - after_key):
        await play(streams)


async def test_burst_begins_behind_a_key_picture_then_inference_knows_long_before_the_next_one(
    short_dir: Path,
) -> None:
    async with running(short_dir) as (streams, inference):
        await play_to(streams, after_key=3)
        inference.notices.clear()
        seen = inference.of(source_id(CHANGED))
        streams.factor, begun = 6.0, streams.pictures
        while not any(each.suspicion is Suspicion.BURST for each in inference.notices):
            assert streams.pictures - begun <= WITHIN
            await play(streams)
        assert inference.of(source_id(CHANGED)) == seen, "no key picture came since"
        assert {each.source_id for each in inference.notices} == {source_id(CHANGED)}
        old = inference.scheduler.pick(CAMERAS, CLOCK.now())
        assert len(old) == CAMERAS, "what waits shows nothing of it, and is looked at in its turn"
        while inference.of(source_id(CHANGED)) == seen:
            await play(streams)
        assert inference.scheduler.pick(1, CLOCK.now())[0].source_id == source_id(CHANGED)


async def test_somebody_comes_shortly_before_a_key_picture_then_that_camera_is_first_of_all_within_two_seconds(
    short_dir: Path,
) -> None:
    async with running(short_dir) as (streams, inference):
        await play_to(streams, after_key=GROUP - WITHIN + 8)
        seen = inference.of(source_id(CHANGED))
        streams.factor, begun = 1.9, streams.pictures
        while inference.of(source_id(CHANGED)) == seen:
            assert streams.pictures - begun <= WITHIN
            await play(streams)
        chosen = [each.source_id for each in inference.scheduler.pick(CAMERAS, CLOCK.now())]
    assert len(chosen) == CAMERAS
    assert chosen[0] == source_id(CHANGED)
