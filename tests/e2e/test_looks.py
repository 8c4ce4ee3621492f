"""Looks from end to end: real cameras over RTSP, the camera worker, inference, alerts and the API, in one loop."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import httpx
import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from contracts import wire
from contracts.incident import Incident, Reason
from contracts.place import Place
from contracts.source import Camera
from dashboard_api.app import run as run_api
from dashboard_api.config import ApiConfig
from inference.config import EvidenceConfig, InferenceConfig, LookConfig
from inference.service import run as run_inference
from ingest.config import IngestConfig
from ingest.worker import run as run_ingest
from runtime.clock import SystemClock
from runtime.site import PathsConfig, Site, SiteConfig
from sim.rtp_stream import EncodedPicture, LiveStream
from sim.rtsp_server import Mount, RtspServer
from sim.scenes import SceneKind, make_scene
from sim.stack import free_port
from tests.alerts.county import County, county
from tests.alerts.records import COUNTY, SITE, smoke
from tests.alerts.site_files import catalogue, write_site
from tests.inference.pictures import Bgr, encode_groups, noisy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
CLOCK = SystemClock()
MODELS = Path(__file__).resolve().parents[2] / "models"
GROUP = 50
"""Pictures from one key picture to the next: two seconds at 25 a second."""
SQUARE, COVERED, GONE = "15292101001321000001", "15292101001321000002", "15292101001321000003"


@dataclass
class Running:
    """Everything that runs, and who talks to it."""

    alerts: County
    client: httpx.AsyncClient

    async def look(self, source_id: str) -> httpx.Response:
        return await self.client.post("/api/v1/looks", json={"source_id": source_id, "reason": "核查"})

    async def until_live(self, *source_ids: str) -> None:
        quoted = ", ".join(f"'{each}'" for each in source_ids)
        live = f"SELECT 1 FROM sources WHERE id IN ({quoted}) AND state IN ('live', 'blind') "
        await self.alerts.until(f"{live} GROUP BY 1 HAVING count(*) = {len(source_ids)}", 60)


@asynccontextmanager
async def running(folder: Path, scenes: Mapping[str, Sequence[Bgr]]) -> AsyncIterator[Running]:
    """Cameras that play their scenes over and over; one of the catalogue is played by nobody."""
    write_site(folder)
    streams = {id_: LiveStream(id_, CLOCK) for id_ in scenes}
    server = RtspServer("127.0.0.1", 0, CLOCK, {f"/{id_}": Mount(each) for id_, each in streams.items()})
    await server.start()

    async def play(id_: str) -> None:
        units = encode_groups(scenes[id_], group=GROUP)
        while True:
            for key, data, _ in units:
                streams[id_].publish(EncodedPicture(data, key, CLOCK.monotonic_ns()))
                await CLOCK.asleep(0.04)

    listed = catalogue()
    [first] = listed.cameras
    cameras = tuple(
        replace(
            first, id=id_, name=id_, live=True, credentials=None, url=f"rtsp://127.0.0.1:{server.port}/{id_}",
            zones=(replace(first.zones[0], id=f"zone-{id_}"),),
        )
        for id_ in (*scenes, GONE)
    )  # fmt: skip
    (folder / "catalogue.json").write_bytes(msgspec.json.encode(replace(listed, cameras=placed(cameras))))
    site = Site(
        SiteConfig(id=SITE, county=COUNTY),
        PathsConfig(state="var", grids="grids.geojson", catalogue="catalogue.json", models=str(MODELS)),
        folder,
    )
    stop, port = asyncio.Event(), free_port()
    inference = InferenceConfig(rest_s=0.0, evidence=EvidenceConfig(reserve_mb=0), look=LookConfig(fresh_s=0.5))
    playing = [asyncio.create_task(play(id_)) for id_ in scenes]
    async with county(site) as alerts:
        services = [
            asyncio.create_task(run_ingest(site, IngestConfig(), CLOCK, stop)),
            asyncio.create_task(run_inference(site, inference, CLOCK, stop)),
            asyncio.create_task(run_api(site, ApiConfig(port=port), CLOCK, stop)),
        ]
        try:
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False
            ) as client:
                await alerts.until("SELECT 1 FROM sources", 60)
                yield Running(alerts, client)
        finally:
            stop.set()
            await asyncio.wait_for(asyncio.gather(*services), 60)
            for task in playing:
                task.cancel()
            await asyncio.gather(*playing, return_exceptions=True)
            await server.close()


def placed(cameras: Sequence[Camera]) -> tuple[Camera, ...]:
    """Each in a fire zone of its own, too far from the others to see what they see."""
    return tuple(
        replace(each, place=Place(each.place.lon, each.place.lat + 0.002 * n, None, None, f"fz-{n}", each.id))
        for n, each in enumerate(cameras)
    )


async def test_cameras_answer_seen_blind_and_not_live_to_people_and_to_an_alarm(
    short_dir: Path,
) -> None:
    square, _ = make_scene(SceneKind.SQUARE_FILLING, 3).render(90.0)
    grey = np.full((192, 320, 3), 90, np.uint8)
    scenes = {
        SQUARE: [noisy(square, n % 10) for n in range(GROUP)],
        COVERED: [noisy(grey, n % 5) for n in range(GROUP)],
    }
    async with running(short_dir, scenes) as made:
        await made.until_live(SQUARE, COVERED)
        [seen] = (await made.look(SQUARE)).json()["cameras"]
        assert seen["outcome"]["code"] == "seen"
        assert {each["name"]["code"]: each["count"] for each in seen["counts"]}["person"] >= 10
        assert -10 < seen["age_s"] < 10
        [picture] = seen["evidence"]
        shown = await made.client.get(picture["url"])
        assert hashlib.sha256(shown.content).hexdigest() == picture["sha256"]
        drawn = cv2.imdecode(np.frombuffer(shown.content, np.uint8), cv2.IMREAD_COLOR)
        assert drawn is not None
        assert drawn.shape[1] == picture["width"] <= 640

        [blind] = (await made.look(COVERED)).json()["cameras"]
        assert (blind["outcome"]["code"], blind["reason"]["code"]) == ("blind", "covered")
        assert blind["evidence"] == []

        [gone] = (await made.look(GONE)).json()["cameras"]
        assert (gone["outcome"]["code"], gone["reason"]["code"]) == ("unanswered", "not_live")

        unknown = await made.look("15292101001321009999")
        assert (unknown.status_code, unknown.json()["reason"]) == (404, "source_not_found")

        place = placed([replace(catalogue().cameras[0], id=SQUARE)])[0].place
        await made.alerts.send(smoke(1, CLOCK.now(), place=place))
        await made.alerts.until("SELECT 1 FROM incidents WHERE instr(body, CAST('looked_at' AS BLOB))", 30)
        rows = made.alerts.rows("SELECT body FROM incidents")
        decisions = [each for row in rows for each in wire.decode(row["body"], Incident).decisions]
        assert [each.text for each in decisions if each.reason is Reason.LOOKED_AT] == [f"{SQUARE} 未见目标"]
