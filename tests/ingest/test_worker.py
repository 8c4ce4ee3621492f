from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import av
import msgspec
import pytest

from contracts import topics
from contracts.errors import ConfigError
from contracts.frame import Codec, Frame, FrameHeader
from contracts.place import Place
from contracts.source import Camera, SourceState, TransportPolicy
from ingest.config import IngestConfig
from ingest.worker import run
from runtime.clock import SystemClock
from runtime.site import Site
from runtime.zmq_latest import ZmqLatestPuller
from tests.ingest.alerts_end import AlertsEnd, alerts_end, site_in
from tests.ingest.gstreamer import gstreamer
from tests.ingest.rtsp_server import Script, ScriptedServer, clip_media, clip_sdp
from tests.ingest.test_probe import recording

PLACE = Place(105.7, 38.8, "152921001001001")


def camera(name: str, url: str | None, **more: Any) -> Camera:
    return Camera(id=name, name=name, place=PLACE, owner="公安", url=url, live=more.pop("live", True), **more)


@asynccontextmanager
async def working(site: Site, **config: Any) -> AsyncIterator[ZmqLatestPuller]:
    """The worker as it runs in its process, and inference's end of its link."""
    fast = {"catalogue_poll_s": 0.2, "backoff_first_s": 0.05, "backoff_max_s": 0.1, "sweep_s": 0.05}
    stop = asyncio.Event()
    site.run_dir.mkdir(parents=True, exist_ok=True)
    task = asyncio.create_task(run(site, IngestConfig(**(fast | config)), SystemClock(), stop))
    puller = ZmqLatestPuller([site.endpoint(f"{topics.FRAMES}-0")], SystemClock())
    try:
        yield puller
    finally:
        await puller.close()
        stop.set()
        await asyncio.wait_for(task, 20)


async def pull(puller: ZmqLatestPuller, wanted: set[str]) -> dict[str, Frame]:
    """One picture of each of these cameras."""
    found: dict[str, Frame] = {}
    async with asyncio.timeout(30):
        while wanted - found.keys():
            headers: list[FrameHeader] = await puller.headers(limit=100, wait_s=1.0)
            for frame in await puller.pull([(each.source_id, each.sequence) for each in headers]):
                found[frame.header.source_id] = frame
    return found


def decoded_size(frame: Frame) -> tuple[int, int]:
    decoder = av.CodecContext.create(frame.header.codec.value, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    pictures = [*decoder.decode(av.Packet(frame.data)), *decoder.decode(None)]
    assert len(pictures) == 1
    return pictures[0].width, pictures[0].height


def state(end: AlertsEnd, name: str, wanted: SourceState, reason: str = "") -> Callable[[], bool]:
    """Whether the newest change of a source says so."""

    def holds() -> bool:
        mine = [each for each in end.changes if each.source_id == name]
        return bool(mine) and (mine[-1].state, mine[-1].reason) == (wanted, reason)

    return holds


async def test_cameras_of_the_catalogue_are_received_and_bad_ones_have_their_reasons(short_dir: Path) -> None:
    site = site_in(short_dir)
    async with (
        ScriptedServer(Script(media=clip_media(times=2))) as good,
        ScriptedServer(Script(media=clip_media())) as forbidden,
        ScriptedServer(Script(greeting=b"HTTP/1.0 400 no\r\n\r\n")) as garbage,
        ScriptedServer(Script(status={"DESCRIBE": 404})) as missing,
        ScriptedServer(Script(password="right", media=clip_media())) as locked,
        ScriptedServer(Script(media=clip_media(times=1))) as stalling,
    ):
        site.state_dir.mkdir(parents=True)
        secrets = site.state_dir / "secrets.toml"
        secrets.write_text('[wrong]\nuser = "admin"\npassword = "wrong"\n')
        secrets.chmod(0o600)
        cameras = (
            camera("good", good.url),
            camera("file", str(recording(short_dir / "a.mp4"))),
            camera("secret", forbidden.url, secrecy=True),
            camera("forbidden", forbidden.url, forbidden_place=True),
            camera("off", forbidden.url, live=False),
            camera("garbage", garbage.url),
            camera("missing", missing.url),
            camera("locked", locked.url, credentials="wrong"),
            camera("unnamed", locked.url, credentials="nobody"),
            camera("password", "rtsp://u:p@127.0.0.1/x"),
            camera("stalling", stalling.url),
        )
        async with (
            alerts_end(site, cameras=cameras) as end,
            working(site, secrets="secrets.toml", stall_s=0.5, key_stall_s=5.0) as puller,
        ):
            frames = await pull(puller, {"good", "file", "stalling"})
            assert decoded_size(frames["good"]) == decoded_size(frames["file"]) == (160, 96)
            assert frames["good"].header.codec is Codec.H264
            assert frames["good"].header.size == len(frames["good"].data)
            expected = [
                ("secret", SourceState.OFF, "secrecy"),
                ("forbidden", SourceState.OFF, "forbidden_place"),
                ("off", SourceState.OFF, "not_live"),
                ("garbage", SourceState.FAULTED, "garbage"),
                ("missing", SourceState.FAULTED, "not_found"),
                ("locked", SourceState.FAULTED, "refused_credentials"),
                ("unnamed", SourceState.FAULTED, "no_credentials"),
                ("password", SourceState.FAULTED, "password_in_url"),
                ("file", SourceState.LIVE, ""),
            ]
            for name, wanted, reason in expected:
                await end.until(state(end, name, wanted, reason))
            await end.until(lambda: any((e.source_id, e.reason) == ("stalling", "stall") for e in end.changes))
            await end.until(lambda: end.counter("ingest-cameras", "pictures_received") > 6)
            assert forbidden.connections == 0, "secret and forbidden cameras are never opened"
            assert missing.connections == 1, "404 is not asked again soon"
            assert locked.connections == 1
            assert garbage.connections > 1
            assert not any(":p@" in each.detail for each in end.changes)


async def test_catalogue_change_adds_and_removes_without_disturbing_the_others(short_dir: Path) -> None:
    site = site_in(short_dir)
    async with (
        ScriptedServer(Script(media=clip_media())) as first,
        ScriptedServer(Script(media=clip_media())) as second,
    ):
        stays = camera("stays", first.url + "/stays")
        cameras = (stays, camera("goes", first.url + "/goes"))
        async with alerts_end(site, cameras=cameras) as end, working(site) as puller:
            await pull(puller, {"stays", "goes"})
            end.catalogue = msgspec.structs.replace(
                end.catalogue, version=2, cameras=(stays, camera("comes", second.url))
            )
            await pull(puller, {"comes"})
            await first.until(lambda: "TEARDOWN" in first.methods())
            ended = [uri for method, uri, _ in first.requests if method == "TEARDOWN"]
            assert len(ended) == 1
            assert [uri for m, uri, _ in first.requests if m == "OPTIONS"].count(first.url + "/stays") == 1
            await end.until(state(end, "goes", SourceState.OFF, "removed"))
        assert first.methods().count("TEARDOWN") == 2, "the other one when the worker ended"


async def test_other_codec_over_rtsp_falls_to_ffmpeg_and_bad_content_has_its_reason(short_dir: Path) -> None:
    site = site_in(short_dir)
    (short_dir / "noise.mp4").write_bytes(b"\x00\x01noise" * 500)
    async with ScriptedServer(Script(sdp=clip_sdp(codec="MP4V-ES"))) as server:
        cameras = (
            camera("mpeg4", server.url),
            camera("noise", str(short_dir / "noise.mp4")),
            camera("gone", str(short_dir / "gone.mp4")),
            camera("scheme", "concat://etc"),
        )
        async with alerts_end(site, cameras=cameras) as end, working(site, stall_s=0.5):
            await server.until(lambda: server.methods().count("DESCRIBE") >= 2)
            await end.until(state(end, "noise", SourceState.FAULTED, "garbage"))
            await end.until(state(end, "gone", SourceState.FAULTED, "not_found"))
            await end.until(state(end, "scheme", SourceState.FAULTED, "url"))


async def test_secrets_file_that_others_can_read_stops_the_start(short_dir: Path) -> None:
    site = site_in(short_dir)
    site.state_dir.mkdir(parents=True)
    secrets = site.state_dir / "secrets.toml"
    secrets.write_text('[a]\nuser = "u"\npassword = "hidden"\n')
    secrets.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600") as caught:
        await run(site, IngestConfig(secrets="secrets.toml"), SystemClock(), asyncio.Event())
    assert "hidden" not in str(caught.value)


@pytest.mark.external
async def test_gstreamer_cameras_deliver_a_key_picture_a_second(short_dir: Path) -> None:
    site = site_in(short_dir)
    async with gstreamer() as url:
        cameras = (camera("a", url), camera("b", url))
        async with alerts_end(site, cameras=cameras) as end, working(site) as puller:
            frames = await pull(puller, {"a", "b"})
            assert decoded_size(frames["a"]) == (320, 240)
            await end.until(lambda: end.counter("ingest-cameras", "pictures_received") >= 6)
            gauges = dict(end.reports[-1].gauges)
            # What it did not send in time, on a machine that does much else, is its loss, and then seen as such.
            assert gauges["key_pictures_lost"] <= gauges["packets_lost"]


@pytest.mark.external
@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize(
    ("protocols", "transport"),
    [("all", TransportPolicy.TCP), ("all", TransportPolicy.UDP), ("udp", TransportPolicy.TCP)],
)
@pytest.mark.parametrize("password", ["", "s3cret"])
async def test_gstreamer_camera_is_received_over_each_transport_with_and_without_login(
    short_dir: Path, codec: str, protocols: str, transport: TransportPolicy, password: str
) -> None:
    site = site_in(short_dir)
    site.state_dir.mkdir(parents=True)
    secrets = site.state_dir / "secrets.toml"
    secrets.write_text('[gst]\nuser = "admin"\npassword = "s3cret"\n')
    secrets.chmod(0o600)
    user = "admin" if password else ""
    async with gstreamer(user, password, codec=codec, protocols=protocols) as url:
        cameras = (camera("gst", url, transport=transport, credentials="gst" if password else None),)
        async with alerts_end(site, cameras=cameras) as end, working(site, secrets="secrets.toml") as puller:
            frames = await pull(puller, {"gst"})
            assert frames["gst"].header.codec is (Codec.H264 if codec == "h264" else Codec.HEVC)
            assert decoded_size(frames["gst"]) == (320, 240)
            await end.until(state(end, "gst", SourceState.LIVE))
            await end.until(lambda: end.counter("ingest-cameras", "pictures_received") >= 4)
            gauges = dict(end.reports[-1].gauges)
            # What it did not send in time, on a machine that does much else, is its loss, and then seen as such.
            assert gauges["key_pictures_lost"] <= gauges["packets_lost"]


async def test_policies_that_act_are_counted_and_one_that_is_off_is_the_cameras_reason(short_dir: Path) -> None:
    site = site_in(short_dir)
    media = clip_media(channel=2, times=2)
    async with ScriptedServer(Script(media=media, channels="2-3")) as server:
        cameras = (camera("taken", server.url), camera("strict", server.url))
        async with (
            alerts_end(site, cameras=cameras) as end,
            working(site, rtsp_policies={"strict": ["-channel_chosen"]}) as puller,
        ):
            await pull(puller, {"taken"})
            await end.until(state(end, "strict", SourceState.FAULTED, "rtsp_policy_off"))
            await end.until(lambda: end.counter("ingest-cameras", "rtsp_policies_used:channel_chosen") >= 1)
            strict = [change for change in end.changes if change.source_id == "strict"][-1]
            assert "channel_chosen" in strict.detail


async def test_camera_that_was_live_is_asked_again_soon_where_its_recorder_says_404_for_a_while(
    short_dir: Path,
) -> None:
    """A recorder is back before its cameras are; one that never was live is left alone for minutes."""
    site = site_in(short_dir)
    script = Script(media=clip_media(times=2))
    async with ScriptedServer(script) as server, ScriptedServer(Script(status={"DESCRIBE": 404})) as other:
        cameras = (camera("lost", server.url), camera("never", other.url))
        async with alerts_end(site, cameras=cameras) as end, working(site, refused_retry_s=300.0) as puller:
            await pull(puller, {"lost"})
            await end.until(state(end, "never", SourceState.FAULTED, "not_found"))
            script.status["DESCRIBE"] = 404
            asked = server.methods().count("DESCRIBE")
            server.hang_up()
            await server.until(lambda: server.methods().count("DESCRIBE") >= asked + 3)
            del script.status["DESCRIBE"]
            await pull(puller, {"lost"})
        assert other.methods().count("DESCRIBE") == 1
