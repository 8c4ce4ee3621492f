"""The simulated county with parts that others made: GStreamer plays its streams, Mosquitto carries its sensors."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from contracts.source import SensorKind
from runtime.clock import SystemClock
from sim.county import build_county
from sim.encode import Encoder
from sim.mqtt_link import MqttLink
from sim.rtp_stream import EncodedPicture, LiveStream
from sim.rtsp_server import Mount, RtspServer
from sim.sensors import publish_alarms

CLOCK = SystemClock()
pytestmark = pytest.mark.external


@asynccontextmanager
async def serving(users: dict[str, str]) -> AsyncIterator[RtspServer]:
    stream = LiveStream("1", CLOCK)
    server = RtspServer("127.0.0.1", 0, CLOCK, {"/live/1": Mount(stream, users)})
    await server.start()
    feeding = asyncio.create_task(_feed(stream))
    try:
        yield server
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
        await server.close()


async def _feed(stream: LiveStream) -> None:
    encoder = Encoder(320, 240, 25.0, 0.4)
    noise = np.random.default_rng(1).integers(0, 90, (240, 320, 3), dtype=np.uint8)
    begun = CLOCK.monotonic_ns()
    for number in range(100_000):
        made = encoder.encode(np.roll(noise, number, axis=1), number * 0.04)
        assert made is not None
        stream.publish(EncodedPicture(made[0], made[1], begun + number * 40_000_000))
        await CLOCK.asleep(0.04)


@pytest.mark.parametrize("users", [{}, {"gw": "secret"}], ids=["open", "login"])
async def test_gstreamer_plays_a_stream_and_writes_its_pictures(tmp_path: Path, users: dict[str, str]) -> None:
    launch = shutil.which("gst-launch-1.0")
    if launch is None:
        pytest.skip("gst-launch-1.0 is absent (apt install gstreamer1.0-tools gstreamer1.0-plugins-good)")
    target = tmp_path / "played.h264"
    async with serving(users) as server:
        source = f"rtspsrc location=rtsp://127.0.0.1:{server.port}/live/1 protocols=tcp"
        login = " user-id=gw user-pw=secret" if users else ""
        pipeline = (
            f"{source}{login} ! rtph264depay ! h264parse ! video/x-h264,stream-format=byte-stream,alignment=au"
        )
        process = await asyncio.create_subprocess_exec(
            *(
                launch,
                "-q",
                *pipeline.split(),
                "!",
                "identity",
                "eos-after=40",
                "!",
                "filesink",
                f"location={target}",
            ),
            stderr=asyncio.subprocess.PIPE,
        )
        _, told = await asyncio.wait_for(process.communicate(), 50)
        assert process.returncode == 0, told.decode()
    assert target.read_bytes().count(b"\x00\x00\x01\x67") >= 2


@asynccontextmanager
async def mosquitto(tmp_path: Path) -> AsyncIterator[int]:
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        pytest.skip("mosquitto is absent (apt install mosquitto)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n")
    process = await asyncio.create_subprocess_exec(program, "-c", str(config), stderr=asyncio.subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.terminate()
        await process.wait()


async def test_alarms_reach_a_subscriber_through_mosquitto(tmp_path: Path) -> None:
    sensors = build_county(5, cameras_total=200, sensors_total=60).sensors
    smoke = [sensor for sensor in sensors if sensor.kind is SensorKind.SMOKE]
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[str] = asyncio.Queue()
    ready = asyncio.Event()
    async with mosquitto(tmp_path) as port:
        client = mqtt.Client(CallbackAPIVersion.VERSION2)

        def on_subscribe(*_: Any) -> None:
            loop.call_soon_threadsafe(ready.set)

        def on_message(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
            loop.call_soon_threadsafe(heard.put_nowait, message.topic)

        client.on_connect = lambda c, *_: c.subscribe("sensors/+/senml", qos=1)
        client.on_subscribe, client.on_message = on_subscribe, on_message
        client.reconnect_delay_set(1, 1)
        client.connect_async("127.0.0.1", port)
        client.loop_start()
        await asyncio.wait_for(ready.wait(), 20)
        link = MqttLink("127.0.0.1", port)
        link.start()
        assert len(await publish_alarms(link, smoke, 500, CLOCK)) == 500
        topics = [await asyncio.wait_for(heard.get(), 10) for _ in range(500)]
        assert topics == [f"sensors/{smoke[i % len(smoke)].id}/senml" for i in range(500)]
        await link.close()
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)
