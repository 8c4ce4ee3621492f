from __future__ import annotations

import asyncio

import pytest

from contracts.catalogue_entry import CatalogueEntry
from contracts.errors import ConfigError, GridwhistleError, SourceMissing, SourceRefused, SourceUnreachable
from contracts.instant import from_rfc3339
from contracts.place import Place
from contracts.source import Camera, Catalogue, Platform, PlatformKind
from ingest.platforms.play import PlatformUrls, recording_url
from ingest.platforms.wvp import WvpSession
from ingest.platforms.wvp_catalogue import WvpCatalogue
from ingest.rtsp.credentials import Credentials
from runtime.clock import SystemClock
from sim.wvp_platform import PASSWORD, USER, WvpPlatform, serving

NVR = "15292100001180000001"
CAMERA = Camera(
    id="15292100001320000001",
    name="广场",
    place=Place(105.7, 38.8),
    owner="公安",
    platform="wvp-1",
    channel=f"{NVR}/15292100001320000001",
    live=True,
)
BEGIN, END = from_rfc3339("2026-11-22T16:04:12.500+08:00"), from_rfc3339("2026-11-22T16:05:12.500+08:00")


def session(platform: WvpPlatform, password: str = PASSWORD) -> WvpSession:
    return WvpSession("wvp-1", platform.url, Credentials(USER, password), SystemClock(), reply_s=2.0)


async def whole_catalogue(platform: WvpPlatform, page_size: int = 7) -> tuple[list[CatalogueEntry], list[str]]:
    wvp = session(platform)
    try:
        feed = WvpCatalogue(wvp, page_size=page_size)
        entries: list[CatalogueEntry] = []
        gaps: list[str] = []
        cursor = None
        while True:
            page = await feed.page(cursor)
            entries += page.entries
            gaps += page.gaps
            cursor = page.next_cursor
            if cursor is None:
                return entries, gaps
    finally:
        await wvp.close()


async def test_many_callers_log_in_once_and_an_expired_token_is_renewed_once() -> None:
    async with serving(WvpPlatform()) as platform:
        platform.add(NVR, 1)
        wvp = session(platform)
        await asyncio.gather(*(wvp.get("/api/device/query/devices", page=1, count=5) for _ in range(10)))
        assert platform.logins == 1
        platform.tokens.clear()
        answers = await asyncio.gather(*(wvp.get("/api/device/query/devices", page=1, count=5) for _ in range(10)))
        assert platform.logins == 2
        assert all(each["total"] == 1 for each in answers)
        await wvp.close()


async def test_wrong_password_is_refused_in_words_that_hold_no_secret() -> None:
    async with serving(WvpPlatform()) as platform:
        wvp = session(platform, "wrong-password")
        with pytest.raises(SourceRefused, match="用户名或密码错误") as refused:
            await wvp.get("/api/device/query/devices", page=1, count=5)
        assert refused.value.reason == "platform_refused"
        assert "wrong-password" not in str(refused.value)
        await wvp.close()


async def test_token_that_is_refused_again_and_again_ends_after_one_new_login() -> None:
    async with serving(WvpPlatform()) as platform:
        platform.fails["/api/device/query/devices"] = (401, {"code": 401, "msg": "请登录后重新请求"})
        wvp = session(platform)
        with pytest.raises(SourceRefused):
            await wvp.get("/api/device/query/devices", page=1, count=5)
        assert platform.logins == 2
        await wvp.close()


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, {"code": 100, "msg": "点播超时"}, "stream_unavailable"),
        (500, {"code": 500, "msg": "系统异常"}, "stream_unavailable"),
        (404, {"code": 404, "msg": "资源未找到"}, "platform_not_found"),
        (403, {"code": 403, "msg": "无权限操作"}, "platform_refused"),
        (502, None, "platform_unreachable"),
        (200, {"hello": "world"}, "platform_protocol"),
        (200, None, "platform_protocol"),
    ],
)
async def test_refusal_of_the_platform_has_its_reason(
    status: int, body: dict[str, object] | None, reason: str
) -> None:
    async with serving(WvpPlatform()) as platform:
        path = "/api/play/start/a/b"
        platform.fails[path] = (status, body)
        wvp = session(platform)
        with pytest.raises(GridwhistleError) as failed:
            await wvp.get(path)
        assert failed.value.reason == reason
        await wvp.close()


async def test_platform_that_is_down_is_asked_by_one_and_found_again() -> None:
    platform = WvpPlatform()
    async with serving(platform):
        pass
    wvp = session(platform)
    failures = await asyncio.gather(*(wvp.get("/x") for _ in range(100)), return_exceptions=True)
    assert all(isinstance(each, SourceUnreachable) and each.reason == "platform_unreachable" for each in failures)
    assert wvp.down
    async with serving(platform):
        platform.add(NVR, 1)
        async with asyncio.timeout(20):
            while wvp.down:
                try:
                    await wvp.get("/api/device/query/devices", page=1, count=1)
                except SourceUnreachable:
                    await SystemClock().asleep(0.05)
        assert platform.logins == 1
    await wvp.close()


async def test_every_channel_of_every_page_is_read_and_nothing_twice() -> None:
    async with serving(WvpPlatform()) as platform:
        counts = {f"152921000011800000{number:02d}": number * 5 for number in range(1, 6)}
        for number, (device, count) in enumerate(counts.items()):
            platform.add(device, count)
            for each in platform.channels[device]:
                each["deviceId"] = f"{each['deviceId'][:14]}{number:02d}{each['deviceId'][16:]}"
        for page_size in (2, 5, 100):
            entries, gaps = await whole_catalogue(platform, page_size)
            assert gaps == []
            assert len({each.id for each in entries}) == len(entries) == sum(counts.values())


async def test_entry_holds_the_fields_of_the_item_and_never_a_password() -> None:
    async with serving(WvpPlatform()) as platform:
        platform.add(NVR, 1)
        platform.devices[NVR]["geoCoordSys"] = "GCJ02"
        (entry,), _ = await whole_catalogue(platform)
        assert (entry.id, entry.name) == ("15292100001320000001", "广场1号")
        assert entry.channel == f"{NVR}/15292100001320000001"
        assert (entry.nvr, entry.coordinates, entry.secrecy) == (NVR, "GCJ02", "0")
        assert "never-read-this" not in repr(entry)
        platform.channels[NVR][0] |= {"gbLongitude": 105.7, "gbLatitude": 38.8, "gbSecrecy": 1}
        (corrected,), _ = await whole_catalogue(platform)
        assert (corrected.lon, corrected.coordinates, corrected.secrecy) == ("105.7", "", "1")


async def test_device_whose_channels_are_not_given_is_a_gap_and_the_pass_goes_on() -> None:
    async with serving(WvpPlatform()) as platform:
        platform.add(NVR, 3)
        platform.add("15292100011180000002", 2)
        platform.fails[f"/api/device/query/devices/{NVR}/channels"] = (200, {"code": 100, "msg": "设备尚未注册过"})
        entries, gaps = await whole_catalogue(platform)
        assert len(entries) == 2
        assert len(gaps) == 1
        assert NVR in gaps[0]


async def test_page_that_is_shorter_than_announced_is_a_gap() -> None:
    async with serving(WvpPlatform()) as platform:
        platform.add(NVR, 3)
        answer = {"code": 0, "msg": "成功", "data": {"total": 9, "list": []}}
        platform.fails[f"/api/device/query/devices/{NVR}/channels"] = (200, answer)
        entries, gaps = await whole_catalogue(platform)
        assert entries == []
        assert "9" in gaps[0]


def urls_of(platform: WvpPlatform, **more: object) -> tuple[PlatformUrls, Catalogue]:
    entry = Platform(id="wvp-1", kind=PlatformKind.WVP, base_url=platform.url, credentials="wvp", **more)  # type: ignore[arg-type]
    catalogue = Catalogue(
        site="152921", county="152921", version=1, cameras=(CAMERA,), sensors=(), platforms=(entry,)
    )
    return PlatformUrls({"wvp": Credentials(USER, PASSWORD)}, SystemClock()), catalogue


async def test_play_url_is_asked_for_and_the_stream_is_ended_only_where_we_may() -> None:
    for may_stop in (False, True):
        async with serving(WvpPlatform()) as platform:
            urls, catalogue = urls_of(platform, stop_streams=may_stop)
            await urls.use(catalogue)
            way = urls.way(CAMERA)
            play = await way.resolve(CAMERA)
            assert play.url == f"rtsp://127.0.0.1:1/{CAMERA.channel}"
            await way.release(CAMERA, play)
            assert platform.count("/api/play/stop/") == may_stop
            await urls.close()


async def test_recording_is_asked_for_in_beijing_time_and_given_back() -> None:
    async with serving(WvpPlatform()) as platform:
        urls, catalogue = urls_of(platform)
        await urls.use(catalogue)
        recording = await recording_url(urls, CAMERA, BEGIN, END)
        assert "2026-11-22 16:04:12 - 2026-11-22 16:05:13" in platform.requests
        assert recording.begin <= BEGIN
        assert recording.end >= END
        assert not recording.ranged
        await urls.way(CAMERA).release_recording(CAMERA, recording)
        assert platform.requests[-1] == f"/api/playback/stop/{CAMERA.channel}/{recording.stream}"
        await urls.close()


async def test_fixed_camera_plays_its_own_address_and_names_what_is_missing() -> None:
    urls = PlatformUrls({}, SystemClock())
    fixed = Camera(
        id="a", name="a", place=CAMERA.place, owner="公安", url="rtsp://h/1", recording_url="rtsp://h/r"
    )
    assert (await urls.way(fixed).resolve(fixed)).url == "rtsp://h/1"
    assert (await recording_url(urls, fixed, BEGIN, END)).ranged
    bare = Camera(id="b", name="b", place=CAMERA.place, owner="公安")
    with pytest.raises(SourceMissing):
        await urls.way(bare).resolve(bare)
    with pytest.raises(SourceMissing, match="no recordings"):
        await recording_url(urls, bare, BEGIN, END)


async def test_missing_entry_of_the_secrets_file_is_each_cameras_own_trouble() -> None:
    urls = PlatformUrls({}, SystemClock())
    platform = WvpPlatform()
    platform.url = "http://127.0.0.1:1"
    await urls.use(urls_of(platform)[1])
    with pytest.raises(ConfigError) as missing:
        urls.way(CAMERA)
    assert missing.value.reason == "no_credentials"


async def test_platform_keeps_its_login_while_its_entry_stays_the_same() -> None:
    async with serving(WvpPlatform()) as platform:
        urls, catalogue = urls_of(platform)
        for _ in range(3):
            await urls.use(catalogue)
            await urls.way(CAMERA).resolve(CAMERA)
        assert platform.logins == 1
        await urls.close()
