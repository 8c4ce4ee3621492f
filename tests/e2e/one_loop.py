"""Everything in one loop: real cameras over RTSP, the camera worker, inference, alerts and the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
from msgspec.structs import replace

from alerts.config import AlertsConfig
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
from sim.stack import free_port
from tests.alerts.county import CONFIG, County, county
from tests.alerts.records import COUNTY, SITE
from tests.alerts.site_files import catalogue, write_site
from tests.inference.pictures import Bgr, encode_groups

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
async def running(
    folder: Path,
    scenes: Mapping[str, Sequence[Bgr]],
    *,
    recordings: Mapping[str, str] | None = None,
    alerts_config: AlertsConfig = CONFIG,
) -> AsyncIterator[Running]:
    """Cameras that play their scenes over and over; one of the catalogue is played by nobody.

    `recordings`: where the recording of a camera is played back, by camera.
    """
    recorded = recordings or {}
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
            recording_url=recorded.get(id_), zones=(replace(first.zones[0], id=f"zone-{id_}"),),
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
    async with county(site, alerts_config) as alerts:
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
