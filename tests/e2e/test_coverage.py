"""The coverage of the last minute, every part real: RTSP cameras with a count of their own, the worker, inference,
alerts and the API as processes; a camera is cut off, then all of them at once, then ingest is killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from contracts.instant import SECOND
from contracts.source import Catalogue
from runtime.clock import SystemClock
from runtime.whole_file import write_whole
from sim.county import build_county
from sim.export import catalogue_json, grids_geojson
from sim.rtp_stream import EncodedPicture, LiveStream
from sim.rtsp_message import Request, response
from sim.rtsp_server import Mount, RtspServer
from sim.stack import ROOT, Stack
from tests.inference.pictures import encode_groups, noisy, textured

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]
CLOCK = SystemClock()
CAMERAS = 24
"""Enough for a storm."""
GROUP, RATE = 4, 2
"""A key picture every two seconds."""


class Cameras:
    """RTSP cameras on one server. `shown`: when each published a key picture; `away`: those that refuse and send
    nothing."""

    def __init__(self) -> None:
        self.streams = [LiveStream(f"cam{number}", CLOCK) for number in range(CAMERAS)]
        self.shown: list[list[int]] = [[] for _ in range(CAMERAS)]
        self.away: set[int] = set()
        mounts = {
            f"/cam/{number}": Mount(stream, answer=self._answer(number))
            for number, stream in enumerate(self.streams)
        }
        self._server = RtspServer("127.0.0.1", 0, CLOCK, mounts)
        self._units = encode_groups([noisy(textured(seed=5), n) for n in range(GROUP * 5)], group=GROUP)

    @asynccontextmanager
    async def playing(self) -> AsyncIterator[Cameras]:
        await self._server.start()
        feeding = asyncio.create_task(self._feed())
        try:
            yield self
        finally:
            feeding.cancel()
            with suppress(asyncio.CancelledError):
                await feeding
            await self._server.close()

    def url(self, number: int) -> str:
        return f"rtsp://127.0.0.1:{self._server.port}/cam/{number}"

    def cut(self, *numbers: int) -> None:
        """As a power cut does: the connections end, and nobody answers well any more."""
        self.away.update(numbers)
        for number in numbers:
            stream = self.streams[number]
            for viewer in [*stream._playing, *stream._waiting]:
                viewer.cut_off()

    def _answer(self, number: int) -> Callable[[Request], bytes | None]:
        def answer(request: Request) -> bytes | None:
            return response(503, request.headers.get("cseq", "0")) if number in self.away else None

        return answer

    async def _feed(self) -> None:
        while True:
            for key, data, _ in self._units:
                for number, stream in enumerate(self.streams):
                    if number in self.away:
                        continue
                    if key:
                        self.shown[number].append(CLOCK.now())
                    stream.publish(EncodedPicture(data, key, CLOCK.monotonic_ns()))
                await CLOCK.asleep(1 / RATE)


class Services:
    """The services of an installation, each a process that a test may kill."""

    def __init__(self, folder: Path, cameras: Cameras) -> None:
        self.stack = Stack(folder, {"sim": {"enabled": False}}, CLOCK)
        county = build_county(152921, cameras_total=CAMERAS + 10, sensors_total=0)
        shown = [camera for camera in county.cameras if not camera.secrecy]
        live = [
            msgspec.structs.replace(camera, url=cameras.url(number), live=True, platform="street-1", zones=())
            for number, camera in enumerate(shown[:CAMERAS])
        ]
        off = shown[CAMERAS]
        self.ids = [camera.id for camera in live]
        catalogue = Catalogue(site="152921", county="152921", version=1, cameras=(*live, off), sensors=())
        write_whole(folder / "var/county/grids.geojson", grids_geojson(county.grids))
        write_whole(folder / "var/county/catalogue.json", catalogue_json(catalogue))
        self.stack.write_config()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        with self.stack.log_file.open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "gridwhistle", name, "--config", str(self.stack.config_file)],
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )

    def kill(self, name: str) -> None:
        """SIGKILL: no last word."""
        process = self._processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait(30)

    async def get(self, path: str, **parameters: str | int) -> Any:
        return await asyncio.to_thread(self.stack.get, f"/api/v1/{path}", **parameters)

    async def coverage(self, met: Callable[[dict[str, Any]], bool], what: str, seconds: float = 120.0) -> Any:
        """The first coverage that meets a condition."""
        deadline_ns = CLOCK.monotonic_ns() + round(seconds * SECOND)
        found: Any = None
        while True:
            with suppress(httpx.HTTPError):
                found = await self.get("coverage")
                if met(found):
                    return found
            assert CLOCK.monotonic_ns() < deadline_ns, f"{what}: {found}\n{self.stack.log_tail()}"
            await CLOCK.asleep(0.25)


@asynccontextmanager
async def installation(folder: Path, cameras: Cameras) -> AsyncIterator[Services]:
    services = Services(folder, cameras)
    try:
        for name in ("alerts", "api", "inference", "ingest"):
            services.start(name)
        yield services
    finally:
        await asyncio.to_thread(services.close)


def seconds_of(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def all_seen(count: int) -> Callable[[dict[str, Any]], bool]:
    return lambda found: found["received"]["seen"] == found["analysed"]["seen"] == count


async def test_cut_camera_leaves_the_number_a_storm_is_told_and_a_killed_ingest_is_named(short_dir: Path) -> None:
    cameras = Cameras()
    async with cameras.playing(), installation(short_dir, cameras) as services:
        found = await services.coverage(all_seen(CAMERAS), "not every camera is received and analysed")
        assert found["wanted"] == CAMERAS
        assert [(each["reason"]["code"], each["count"]) for each in found["idle"]] == [("not_live", 1)]

        cameras.cut(0)
        found = await services.coverage(lambda c: c["received"]["seen"] == CAMERAS - 1, "the cut camera stays")
        ingest = next(each for each in found["instances"] if each["stage"] == "received")
        [gone] = (await services.get("coverage/cameras", received="no"))["items"]
        assert gone["id"] == services.ids[0]
        assert gone["state"]["code"] in ("faulted", "connecting", "stale")
        last = seconds_of(gone["received"]["last_at"])
        assert abs(last - cameras.shown[0][-1] / SECOND) < 2.0
        assert 60.0 <= seconds_of(ingest["at"]) - last <= 76.0, "in the first report after a minute, not before"
        rows = (await services.get("coverage/cameras", received="yes", limit=500))["items"]
        assert len(rows) == CAMERAS - 1
        end_ns = round(seconds_of(ingest["at"]) * SECOND)
        for row in rows:
            number = services.ids.index(row["id"])
            sent = sum(end_ns - 60 * SECOND <= at < end_ns for at in cameras.shown[number])
            assert abs(row["received"]["pictures"] - sent) <= 1, "the camera's own count of that minute"
            assert row["analysed"]["pictures"] >= 1
        total = sum(row["received"]["pictures"] for row in rows)
        assert found["received"]["per_s"] == pytest.approx(total / 60, abs=0.01)
        assert found["storms"] == []

        others = range(1, CAMERAS)
        cameras.cut(*others)
        [storm] = (await services.coverage(lambda c: bool(c["storms"]), "no storm is told"))["storms"]
        assert storm["cameras"] == len(others)
        assert storm["away"] == len(others)
        assert [(each["code"], each["cameras"]) for each in storm["places"]] == [("street-1", len(others))]
        cameras.away.difference_update(others)
        await services.coverage(lambda c: not c["storms"], "the storm does not end")
        [kept] = (await services.get("storms"))["items"]
        assert (kept["id"], kept["state"], kept["back"]) == (storm["id"], "ended", len(others))

        await asyncio.to_thread(services.kill, "ingest")
        found = await services.coverage(
            lambda c: any(each["silent"] for each in c["instances"]), "the killed ingest is not named"
        )
        [silent] = [each for each in found["instances"] if each["silent"]]
        assert (silent["instance"], silent["unknown"]) == ("ingest-0", CAMERAS)
        assert silent["age_s"] > 60
        assert (found["received"]["seen"], found["received"]["unknown"]) == (0, CAMERAS)
        assert found["received"]["per_s"] is None
        cameras.away.clear()
        services.start("ingest")
        found = await services.coverage(all_seen(CAMERAS), "the new ingest is not believed")
        assert not any(each["silent"] for each in found["instances"])
