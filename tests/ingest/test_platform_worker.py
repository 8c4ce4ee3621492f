"""The real camera worker over a real WVP interface and real RTSP sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from structlog.testing import capture_logs

from contracts.instant import SECOND, Instant
from contracts.registration import Registration, ShareGrant
from contracts.source import Camera, Platform, PlatformKind, SourceState
from runtime.clock import SystemClock
from runtime.site import Site
from sim.wvp_platform import PASSWORD, USER, WvpPlatform, serving
from tests.ingest.alerts_end import alerts_end, site_in
from tests.ingest.rtsp_server import Script, ScriptedServer, clip_media
from tests.ingest.test_worker import PLACE, pull, state, working

NVR = "15292100001180000001"


def channel(serial: int, **more: Any) -> Camera:
    camera_id = f"15292100001320{serial:06d}"
    return Camera(
        id=camera_id,
        name=camera_id,
        place=PLACE,
        owner="公安",
        platform="wvp-1",
        channel=f"{NVR}/{camera_id}",
        live=True,
        **more,
    )


def with_secrets(folder: Path) -> Site:
    site = site_in(folder)
    site.state_dir.mkdir(parents=True)
    secrets = site.state_dir / "secrets.toml"
    secrets.write_text(f'[wvp]\nuser = "{USER}"\npassword = "{PASSWORD}"\n')
    secrets.chmod(0o600)
    return site


def wvp(platform: WvpPlatform, **more: Any) -> Platform:
    return Platform(id="wvp-1", kind=PlatformKind.WVP, base_url=platform.url, credentials="wvp", **more)


async def test_play_url_is_asked_for_at_every_connection_and_again_after_a_loss(short_dir: Path) -> None:
    site = with_secrets(short_dir)
    async with (
        serving(WvpPlatform()) as platform,
        ScriptedServer(Script(media=clip_media())) as first,
        ScriptedServer(Script(media=clip_media())) as second,
        alerts_end(site, cameras=(channel(1),)) as end,
    ):
        platform.stream_url = first.url + "/{channel}"
        end.catalogue = msgspec.structs.replace(end.catalogue, platforms=(wvp(platform),))
        async with working(site, secrets="secrets.toml", stall_s=0.5) as puller:
            await pull(puller, {channel(1).id})
            # The media server moved: the loss of the stream leads to the new address, not to the old one.
            platform.stream_url = second.url + "/{channel}"
            await second.until(lambda: "PLAY" in second.methods())
            assert platform.count("/api/play/start/") >= 2
            assert platform.logins == 1


async def test_platform_that_is_down_faults_its_cameras_with_one_line_in_the_log(short_dir: Path) -> None:
    site = with_secrets(short_dir)
    platform = WvpPlatform()
    cameras = tuple(channel(serial) for serial in range(1, 31))
    async with serving(platform):
        pass
    async with (
        ScriptedServer(Script(media=clip_media(times=2))) as stream,
        alerts_end(site, cameras=cameras) as end,
    ):
        platform.stream_url = stream.url + "/{channel}"
        end.catalogue = msgspec.structs.replace(end.catalogue, platforms=(wvp(platform),))
        with capture_logs() as lines:
            async with working(site, secrets="secrets.toml") as puller:
                for camera in cameras:
                    await end.until(state(end, camera.id, SourceState.FAULTED, "platform_unreachable"))
                assert [each["event"] for each in lines].count("A platform does not answer") == 1
                assert not [each for each in lines if each["event"] == "A camera's session ended"]
                async with serving(platform):
                    await pull(puller, {each.id for each in cameras})
                    assert [each["event"] for each in lines].count("A platform answers again") == 1
                    assert platform.logins == 1
        assert not any(PASSWORD in repr(each) for each in lines)


async def test_channel_that_the_platform_cannot_play_leaves_the_others_alone(short_dir: Path) -> None:
    site = with_secrets(short_dir)
    broken = msgspec.structs.replace(channel(3), channel="nonsense")
    async with (
        serving(WvpPlatform()) as platform,
        ScriptedServer(Script(media=clip_media(times=2))) as stream,
        alerts_end(site, cameras=(channel(1), channel(2), broken)) as end,
    ):
        platform.stream_url = stream.url + "/{channel}"
        platform.unplayable.add(channel(2).id)
        end.catalogue = msgspec.structs.replace(end.catalogue, platforms=(wvp(platform),))
        async with working(site, secrets="secrets.toml") as puller:
            await pull(puller, {channel(1).id})
            await end.until(state(end, channel(2).id, SourceState.FAULTED, "stream_unavailable"))
            await end.until(state(end, channel(3).id, SourceState.FAULTED, "no_channel"))


async def test_changed_camera_alone_is_opened_anew_and_registrations_disturb_nobody(short_dir: Path) -> None:
    site = with_secrets(short_dir)
    cameras = tuple(channel(serial) for serial in range(1, 6))
    async with (
        serving(WvpPlatform()) as platform,
        ScriptedServer(Script(media=clip_media())) as stream,
        alerts_end(site, cameras=cameras) as end,
    ):
        platform.stream_url = stream.url + "/{channel}"
        end.catalogue = msgspec.structs.replace(end.catalogue, platforms=(wvp(platform),))
        async with working(site, secrets="secrets.toml", stall_s=30.0) as puller:
            await pull(puller, {each.id for each in cameras})
            before = stream.connections
            changed = msgspec.structs.replace(cameras[2], name="改名")
            end.catalogue = msgspec.structs.replace(
                end.catalogue,
                version=2,
                cameras=(*cameras[:2], changed, *cameras[3:]),
                registrations=tuple(Registration(camera_id=each.id, filing_number="备-1") for each in cameras),
            )
            await stream.until(lambda: stream.connections == before + 1)
            await end.until(lambda: end.counter("ingest-cameras", "sessions_begun") == len(cameras) + 1)
            opened = [uri for method, uri, _ in stream.requests if method == "DESCRIBE"]
            assert len(opened) == len(cameras) + 1
            assert sum(changed.id in uri for uri in opened) == 2


async def test_camera_is_closed_when_its_grant_expires_and_opened_by_a_new_one(short_dir: Path) -> None:
    site = with_secrets(short_dir)
    now = SystemClock().now()
    grant = ShareGrant(
        id="g-1", owner="公安", purpose="联动指挥", begins=Instant(0), expires=Instant(now + 4 * SECOND)
    )
    async with (
        ScriptedServer(Script(media=clip_media())) as stream,
        alerts_end(site) as end,
    ):
        mine = msgspec.structs.replace(channel(1), url=stream.url, channel="", platform="")
        end.catalogue = msgspec.structs.replace(end.catalogue, cameras=(mine,), grants=(grant,))
        async with working(site) as puller:
            await pull(puller, {mine.id})
            await end.until(state(end, mine.id, SourceState.OFF, "grant_expired"))
            await stream.until(lambda: "TEARDOWN" in stream.methods())
            renewed = msgspec.structs.replace(grant, id="g-2", expires=Instant(now + 3600 * SECOND))
            end.catalogue = msgspec.structs.replace(end.catalogue, version=2, grants=(grant, renewed))
            await end.until(state(end, mine.id, SourceState.LIVE))


async def test_secret_and_forbidden_cameras_of_a_platform_are_never_asked_for(short_dir: Path) -> None:
    site = with_secrets(short_dir)
    cameras = (channel(1, secrecy=True), channel(2, forbidden_place=True), channel(3))
    async with (
        serving(WvpPlatform()) as platform,
        ScriptedServer(Script(media=clip_media())) as stream,
        alerts_end(site, cameras=cameras) as end,
    ):
        platform.stream_url = stream.url + "/{channel}"
        end.catalogue = msgspec.structs.replace(end.catalogue, platforms=(wvp(platform),))
        async with working(site, secrets="secrets.toml") as puller:
            await pull(puller, {channel(3).id})
            await end.until(state(end, channel(1).id, SourceState.OFF, "secrecy"))
            await end.until(state(end, channel(2).id, SourceState.OFF, "forbidden_place"))
        asked = [each for each in platform.requests if "/play/start/" in each]
        assert {each.rpartition("/")[2] for each in asked} == {channel(3).id}
