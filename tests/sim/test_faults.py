"""Each fault is as bad as it claims, over real sockets; the source beside it plays on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import av
import numpy as np
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from contracts.instant import SECOND
from contracts.source import SensorKind
from runtime.clock import SystemClock
from sim import faults
from sim.broker import EmbeddedBroker
from sim.county import build_county
from sim.encode import Encoder
from sim.mqtt_link import MqttLink
from sim.rtp_stream import EncodedPicture, LiveStream
from sim.rtsp_server import Mount, RtspServer

CLOCK = SystemClock()
SENSOR = next(s for s in build_county(5, cameras_total=200, sensors_total=40).sensors if s.kind is SensorKind.HEAT)


@asynccontextmanager
async def serving() -> AsyncIterator[RtspServer]:
    stream = LiveStream("1", CLOCK)
    mounts = {"/live/1": Mount(stream), **faults.fault_mounts(stream, CLOCK)}
    server = RtspServer("127.0.0.1", 0, CLOCK, mounts)
    await server.start()
    feeding = asyncio.create_task(_feed(stream))
    await stream.ready.wait()
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
        await CLOCK.asleep(0.02)


async def talk(server: RtspServer, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    """The first bytes that DESCRIBE is answered with."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    url = f"rtsp://127.0.0.1:{server.port}{path}"
    writer.write(f"DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
    return reader, writer, await asyncio.wait_for(reader.read(64), 10)


async def play(server: RtspServer, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that plays `path` on channel 0."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    url = f"rtsp://127.0.0.1:{server.port}{path}"
    writer.write(f"SETUP {url} RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n".encode())
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode()
    session = next(line for line in head.split("\r\n") if line.startswith("Session")).split(" ")[1].split(";")[0]
    writer.write(f"PLAY {url} RTSP/1.0\r\nCSeq: 2\r\nSession: {session}\r\n\r\n".encode())
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    return reader, writer


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """RTP packets until something else comes, which is yielded last with a `!` before it."""
    while True:
        head = await reader.read(1)
        if head != b"$":
            yield b"!" + head
            return
        _, high, low = await reader.readexactly(3)
        yield await reader.readexactly(high * 256 + low)


async def test_garbage_answers_with_bytes_that_are_no_rtsp() -> None:
    async with serving() as server:
        _, writer, answer = await talk(server, "/fault/garbage")
        assert answer
        assert not answer.startswith(b"RTSP")
        writer.close()


async def test_silent_never_answers_and_the_others_are_served_meanwhile() -> None:
    async with serving() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"DESCRIBE rtsp://x/fault/silent RTSP/1.0\r\nCSeq: 1\r\n\r\n")
        _, other, answer = await talk(server, "/live/1")
        assert answer.startswith(b"RTSP/1.0 200 ")
        assert reader._buffer == b""  # type: ignore[attr-defined]
        writer.close()
        other.close()


@pytest.mark.parametrize(("path", "code"), [("/fault/refused", b"401"), ("/fault/missing", b"404")])
async def test_refused_and_missing_paths_answer_with_their_code(path: str, code: bytes) -> None:
    async with serving() as server:
        _, writer, answer = await talk(server, path)
        assert answer.startswith(b"RTSP/1.0 " + code)
        writer.close()


async def test_stall_plays_and_then_sends_nothing_on_an_open_connection() -> None:
    async with serving() as server:
        reader, writer = await play(server, "/fault/stall")
        other_reader, other = await play(server, "/live/1")
        markers = 0
        async for packet in frames(reader):
            markers += packet[1] >> 7 if packet[1] & 0x7F == 96 else 0
            if markers == faults.STALL_AFTER:
                break
        later = 0
        async for packet in frames(other_reader):
            later += packet[1] >> 7 if packet[1] & 0x7F == 96 else 0
            if later == 25:
                break
        assert reader._buffer == b""  # type: ignore[attr-defined]
        assert not reader.at_eof()
        writer.close()
        other.close()


@pytest.mark.parametrize(("path", "end"), [("/fault/cut", b"!"), ("/fault/noise", None)])
async def test_a_stream_that_ends_badly_in_the_middle(path: str, end: bytes | None) -> None:
    async with serving() as server:
        reader, writer = await play(server, path)
        try:
            last = [packet async for packet in frames(reader)][-1]
        except ConnectionResetError:
            last = b"!"
        assert last[:1] == b"!"
        assert end is None or last == end
        assert path == "/fault/cut" or last != b"!"
        writer.close()


async def test_truncated_pictures_arrive_and_do_not_decode_cleanly() -> None:
    def watch(url: str) -> int:
        bad = 0
        with av.open(url, options={"rtsp_transport": "tcp"}, timeout=10) as container:
            decoder = av.CodecContext.create("h264", "r")
            decoder.options = {"err_detect": "explode"}
            extra = container.streams.video[0].codec_context.extradata
            for number, packet in enumerate(container.demux(video=0)):
                try:
                    decoder.decode(av.Packet((extra or b"") + bytes(packet)))
                except av.FFmpegError:
                    bad += 1
                if number == 20:
                    return bad
        return bad

    async with serving() as server:
        base = f"rtsp://127.0.0.1:{server.port}"
        good, bad = await asyncio.gather(
            asyncio.to_thread(watch, f"{base}/live/1"), asyncio.to_thread(watch, f"{base}/fault/truncated")
        )
        assert good == 0
        assert bad > 5


@pytest.fixture
async def heard() -> AsyncIterator[tuple[MqttLink, asyncio.Queue[mqtt.MQTTMessage], int]]:
    """A link to a broker, and what a subscriber to `sensors/#` hears."""
    broker = EmbeddedBroker(0)
    await broker.start()
    loop = asyncio.get_running_loop()
    messages: asyncio.Queue[mqtt.MQTTMessage] = asyncio.Queue()
    ready = asyncio.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="hearing")
    client.on_connect = lambda c, *_: c.subscribe("sensors/#", qos=1)

    def on_subscribe(*_: Any) -> None:
        loop.call_soon_threadsafe(ready.set)

    def on_message(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        loop.call_soon_threadsafe(messages.put_nowait, message)

    client.on_subscribe, client.on_message = on_subscribe, on_message
    client.connect_async("127.0.0.1", broker.port)
    client.loop_start()
    await asyncio.wait_for(ready.wait(), 10)
    link = MqttLink("127.0.0.1", broker.port)
    link.start()
    yield link, messages, broker.port
    await link.close()
    client.disconnect()
    await asyncio.to_thread(client.loop_stop)
    await broker.close()


Heard = tuple[MqttLink, "asyncio.Queue[mqtt.MQTTMessage]", int]


async def test_a_payload_of_100_mb_goes_through_the_broker_and_small_ones_after_it(heard: Heard) -> None:
    link, messages, _ = heard
    await faults.publish_huge(link, SENSOR)
    await faults.publish_invalid_json(link, SENSOR)
    first = await asyncio.wait_for(messages.get(), 40)
    second = await asyncio.wait_for(messages.get(), 10)
    assert len(first.payload) == faults.HUGE_BYTES
    assert len(second.payload) < 100


async def test_broken_payloads_are_broken_in_the_way_that_they_claim(heard: Heard) -> None:
    link, messages, _ = heard
    await faults.publish_invalid_json(link, SENSOR)
    await faults.publish_wrong_shape(link, SENSOR)
    await faults.publish_not_text(link, SENSOR)
    cut, shape, binary = [bytes((await asyncio.wait_for(messages.get(), 10)).payload) for _ in range(3)]
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut)
    assert isinstance(json.loads(shape), list)
    with pytest.raises(UnicodeDecodeError):
        binary.decode()


async def test_unknown_sensor_impossible_value_and_old_alarm_are_well_formed(heard: Heard) -> None:
    link, messages, _ = heard
    await faults.publish_unknown_sensor(link, CLOCK)
    await faults.publish_impossible_value(link, CLOCK, SENSOR)
    await faults.publish_old(link, CLOCK, SENSOR)
    told: list[Any] = [json.loads((await asyncio.wait_for(messages.get(), 10)).payload) for _ in range(3)]
    assert SENSOR.id not in told[0][0]["bn"]
    assert told[1][0]["v"] == -999.0
    assert 590 < CLOCK.now() / SECOND - told[2][0]["bt"] < 700


async def test_a_retained_old_alarm_waits_for_new_subscribers_until_it_is_cleared(heard: Heard) -> None:
    link, messages, port = heard
    await faults.publish_retained_old(link, CLOCK, SENSOR)
    assert (await asyncio.wait_for(messages.get(), 10)).retain == 0
    assert [message.retain for message in await asyncio.to_thread(_first_messages, port)] == [1]
    await faults.clear_retained(link, SENSOR)
    await asyncio.wait_for(messages.get(), 10)
    assert await asyncio.to_thread(_first_messages, port) == []


def _first_messages(port: int) -> list[mqtt.MQTTMessage]:
    """What a new subscriber gets before the answer to an unsubscription."""
    got: list[mqtt.MQTTMessage] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda c, *_: c.subscribe("sensors/#", qos=1)
    client.on_message = lambda _c, _u, message: got.append(message)
    client.on_subscribe = lambda c, *_: c.unsubscribe("sensors/#")
    client.on_unsubscribe = lambda c, *_: c.disconnect()
    client.connect("127.0.0.1", port)
    client.loop_forever()
    return got
