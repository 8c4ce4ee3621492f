"""The simulated county as a service, met as the pipeline meets it: catalogue, RTSP, MQTT, webhook."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import av
import httpx
import msgspec
import numpy as np
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from contracts.errors import ConfigError
from contracts.source import Catalogue
from runtime.clock import SystemClock
from runtime.site import PathsConfig, Site, SiteConfig
from sim import service
from sim.config import SimConfig

CLOCK = SystemClock()
PATHS = PathsConfig(state="state", grids="grids.geojson", catalogue="catalogue.json")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def small_config(**changes: object) -> SimConfig:
    """A county that starts fast: a few cameras in the catalogue, ports of its own."""
    config = SimConfig(
        cameras_total=200,
        sensors_total=40,
        live_cameras=2,
        rtsp_port=free_port(),
        mqtt_port=free_port(),
        platform_port=free_port(),
        sensor_period_s=1.0,
        alarm_s=1.0,
    )
    return msgspec.structs.replace(config, **changes)


def write_plain_h264(path: Path) -> None:
    """Twenty grey pictures as a camera would have sent them."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"bf": "0", "g": "10", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for number in range(20):
            picture = np.full((120, 160, 3), 5 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))


def make_site(folder: Path) -> Site:
    return Site(SiteConfig(id="152921"), PATHS, folder)


@asynccontextmanager
async def running(site: Site, config: SimConfig) -> AsyncIterator[Catalogue]:
    service.prepare(site, config)
    stop = asyncio.Event()
    task = asyncio.create_task(service.run(site, config, CLOCK, stop))
    assert site.catalogue_file is not None
    try:
        yield msgspec.json.decode(site.catalogue_file.read_bytes(), type=Catalogue)
    finally:
        stop.set()
        await task


def watch(url: str, pictures: int) -> int:
    with av.open(url, options={"rtsp_transport": "tcp"}, timeout=20) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number + 1 == pictures:
                return frame.width
    return 0


async def watch_when_up(url: str, pictures: int) -> int:
    while True:
        try:
            return await asyncio.to_thread(watch, url, pictures)
        except ConnectionRefusedError:
            await CLOCK.asleep(0.1)


def alarm_ids(port: int) -> str:
    """The id of the first alarm that is heard."""
    found: list[str] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2)

    def on_message(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        found.extend(r["vs"] for r in json.loads(message.payload) if r["n"] == "alarm_id")
        if found:
            client.disconnect()

    client.on_connect = lambda c, *_: c.subscribe("sensors/+/senml", qos=1)
    client.on_message = on_message
    client.reconnect_delay_set(1, 1)
    client.connect_async("127.0.0.1", port)
    client.loop_forever(retry_first_connection=True)
    return found[0]


async def test_live_cameras_of_the_catalogue_play_and_the_smoke_detector_goes_off(tmp_path: Path) -> None:
    config = small_config()
    async with running(make_site(tmp_path), config) as catalogue:
        [first, second] = [camera for camera in catalogue.cameras if camera.live]
        assert first.url is not None
        assert second.url is not None
        alarm, *widths = await asyncio.gather(
            asyncio.to_thread(alarm_ids, config.mqtt_port),
            watch_when_up(first.url, 2),
            watch_when_up(second.url, 2),
        )
        assert widths == [640, 640]
        assert alarm.removesuffix("-1") in {sensor.id for sensor in catalogue.sensors}
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"http://127.0.0.1:{config.platform_port}/")).json()["received"] == 0


async def test_footage_takes_the_place_of_scenes_and_the_catalogue_claims_no_survey(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    write_plain_h264(folder / "a.mp4")
    config = small_config(footage=str(folder), mqtt_port=0, platform_port=0)
    async with running(make_site(tmp_path), config) as catalogue:
        live = [camera for camera in catalogue.cameras if camera.live]
        assert [(camera.zones, camera.homography) for camera in live] == [((), None)] * 2
        assert await watch_when_up(live[0].url or "", 30) == 160


async def test_a_taken_port_ends_the_start_in_words(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = small_config(rtsp_port=taken.getsockname()[1], live_cameras=0)
        with pytest.raises(ConfigError, match=r"sim\.rtsp_port"):
            await service.run(make_site(tmp_path), config, CLOCK, asyncio.Event())


def test_a_site_without_file_names_is_told_which_keys_to_set(tmp_path: Path) -> None:
    site = Site(SiteConfig(id="152921"), PathsConfig(), tmp_path)
    with pytest.raises(ConfigError, match=r"paths\.grids and paths\.catalogue"):
        service.prepare(site, SimConfig())


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"live_cameras": 4000}, "live_cameras"),
        ({"pictures_per_s": 0.5}, "pictures_per_s"),
        ({"rtsp_port": 70_000}, "rtsp_port"),
        ({"rtsp_user": "gw"}, "rtsp_password"),
        ({"broker": "somewhere"}, "host:port"),
        ({"alarm_s": -1.0}, "alarm_s"),
        ({"cameras_total": 10}, "cameras_total"),
    ],
)
def test_settings_that_do_not_fit_are_refused_by_name(changes: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        SimConfig(**changes)  # type: ignore[arg-type]
