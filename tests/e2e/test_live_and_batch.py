"""M51: the same clip, once over RTSP through the whole chain and once as a file, gives the same incidents."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import msgspec
import pytest
from msgspec.structs import replace

from alerts.given import load_policy, policy_file_of
from alerts.rematch import believed, live_incidents, match
from contracts.instant import Instant
from contracts.place import Zone, ZoneKind
from contracts.source import Camera
from gridwhistle import show_matches
from inference.config import EvidenceConfig, InferenceConfig, PromotionConfig
from inference.reanalyse import reanalyse
from inference.service import run as run_inference
from ingest.config import IngestConfig
from ingest.worker import run as run_ingest
from runtime.clock import SystemClock
from runtime.site import PathsConfig, Site, SiteConfig
from sim.rtp_stream import EncodedPicture, LiveStream
from sim.rtsp_server import Mount, RtspServer
from sim.scenes import SceneKind, make_scene
from tests.alerts.county import CONFIG, county, rows
from tests.alerts.records import COUNTY, SITE
from tests.alerts.site_files import catalogue, write_site
from tests.inference.pictures import Bgr, encode_groups

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
CLOCK = SystemClock()
MODELS = Path(__file__).resolve().parents[2] / "models"
RATE, GROUP = 10, 20
"""Pictures a second, and from one key picture to the next: two seconds."""
QUIET_S, BURNING_S = 4, 10
WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
INFERENCE = InferenceConfig(
    rest_s=0.0, evidence=EvidenceConfig(reserve_mb=0), promotion=PromotionConfig(cameras_max=0)
)
"""Nothing is promoted: both see the key pictures and no others."""


def pictures(begin_s: float, seconds: int) -> list[Bgr]:
    """A yard by day; it burns from its second 60 on."""
    scene = make_scene(SceneKind.FIRE_STARTING, 3)
    return [scene.render(begin_s + n / RATE)[0] for n in range(seconds * RATE)]


def write_clip(path: Path, scenes: Sequence[Bgr]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"sc_threshold": "0"})
        stream.height, stream.width = scenes[0].shape[:2]
        stream.pix_fmt, stream.codec_context.gop_size = "yuv420p", GROUP
        for index, bgr in enumerate(scenes):
            frame = av.VideoFrame.from_ndarray(bgr, format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


class Player:
    """A camera in a quiet yard, until it is told to play the clip once and to be quiet again."""

    def __init__(self, stream: LiveStream, quiet: Sequence[Bgr], clip: Sequence[Bgr]) -> None:
        self._stream = stream
        self._quiet = encode_groups(quiet, group=GROUP)
        self._clip = encode_groups(clip, group=GROUP)
        self._waiting: asyncio.Future[Instant] | None = None

    async def clip(self) -> Instant:
        """Play the clip; when its first picture was taken."""
        self._waiting = asyncio.get_running_loop().create_future()
        return await self._waiting

    async def play(self) -> None:
        due_ns = CLOCK.monotonic_ns()
        while True:
            units = self._quiet
            if self._waiting is not None and not self._waiting.done():
                units = self._clip
                self._waiting.set_result(Instant(CLOCK.now() + due_ns - CLOCK.monotonic_ns()))
            for key, data, _ in units:
                await CLOCK.asleep(max(due_ns - CLOCK.monotonic_ns(), 0) / 1e9)
                self._stream.publish(EncodedPicture(data, key, due_ns))
                due_ns += 1_000_000_000 // RATE


def listed_camera(port: int) -> Camera:
    zone = Zone(id="yard", name="后院", kind=ZoneKind.FIRE, polygon=WHOLE)
    url = f"rtsp://127.0.0.1:{port}/yard"
    return replace(catalogue().cameras[0], live=True, credentials=None, url=url, zones=(zone,))


async def test_same_clip_live_and_from_a_file_gives_the_same_incidents_and_no_ticket_twice(
    short_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = pictures(50.0, 2)
    clip = pictures(50.0, QUIET_S) + pictures(95.0, BURNING_S)
    file = await asyncio.to_thread(write_clip, short_dir / "clip.mp4", clip)
    write_site(short_dir)
    stream = LiveStream("yard", CLOCK)
    server = RtspServer("127.0.0.1", 0, CLOCK, {"/yard": Mount(stream)})
    await server.start()
    camera = listed_camera(server.port)
    (short_dir / "catalogue.json").write_bytes(msgspec.json.encode(replace(catalogue(), cameras=(camera,))))
    site = Site(
        SiteConfig(id=SITE, county=COUNTY),
        PathsConfig(state="var", grids="grids.geojson", catalogue="catalogue.json", models=str(MODELS)),
        short_dir,
    )
    stop, player = asyncio.Event(), Player(stream, quiet, clip)
    async with county(site, CONFIG) as alerts:
        playing = asyncio.create_task(player.play())
        services = [
            asyncio.create_task(run_ingest(site, IngestConfig(), CLOCK, stop)),
            asyncio.create_task(run_inference(site, INFERENCE, CLOCK, stop)),
        ]
        try:
            await alerts.until("SELECT 1 FROM sources WHERE kind = 'camera' AND state = 'live'", 60)
            began = await player.clip()
            await alerts.until("SELECT 1 FROM tickets", 60)
            await alerts.until("SELECT 1 FROM incidents WHERE type LIKE 'fire.%' AND state = 'A2'", 60)
        finally:
            stop.set()
            await asyncio.wait_for(asyncio.gather(*services), 60)
            playing.cancel()
            with suppress(asyncio.CancelledError):
                await playing
            await server.close()
    before = rows(site.database_file, "SELECT id, body FROM tickets ORDER BY id")

    report = await asyncio.to_thread(
        reanalyse, [file], site=site, config=INFERENCE, out=short_dir / "out", camera=camera, start=began,
        every_s=0.0, keep_evidence=False,
    )  # fmt: skip
    policy = load_policy(policy_file_of(site, CONFIG))
    found = believed(report.records(), SITE, COUNTY, policy)
    matches = match(found, live_incidents(site.database_file, found))

    assert {each.type.value for each in found} >= {"fire.flame_suspected"}
    assert [each.live is not None for each in matches] == [True] * len(found)
    for each in matches:
        assert each.live is not None
        assert each.live.place.zone_id == each.found.place.zone_id == "yard"
        assert each.apart_s == pytest.approx(0.0, abs=1.0)
    show_matches(report.records(), site, policy)
    assert f"(live incidents matched) {len(found)}/{len(found)}" in capsys.readouterr().out
    live_fires = rows(site.database_file, "SELECT id FROM incidents WHERE type LIKE 'fire.%'")
    assert {row["id"] for row in live_fires} == {each.live.id for each in matches if each.live is not None}
    assert rows(site.database_file, "SELECT id, body FROM tickets ORDER BY id") == before
