"""Sensors over a real broker: what they publish, and alarms that are acknowledged or sent again."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from contracts.instant import SECOND, Instant
from contracts.source import SensorKind
from runtime.clock import SystemClock
from sim.broker import EmbeddedBroker
from sim.catalogue import SENSOR_SPECS
from sim.county import build_county
from sim.mqtt_link import MqttLink
from sim.sensors import ScheduledAlarm, SensorFleet, publish_alarms, senml, sensor_topic, usual_value

CLOCK = SystemClock()
COUNTY = build_county(5, cameras_total=200, sensors_total=60, sensor_period_s=1.0)
SMOKE = [sensor for sensor in COUNTY.sensors if sensor.kind is SensorKind.SMOKE]


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    running = EmbeddedBroker(0)
    await running.start()
    yield running
    await running.close()


@pytest.fixture
async def link(broker: EmbeddedBroker) -> AsyncIterator[MqttLink]:
    connection = MqttLink("127.0.0.1", broker.port, "publisher")
    connection.start()
    yield connection
    await connection.close()


class Listener:
    """Everything that is published, as (sensor id, SenML pack)."""

    def __init__(self, port: int) -> None:
        self.packs: asyncio.Queue[tuple[str, list[dict[str, Any]]]] = asyncio.Queue()
        self.ready = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False)
        self.client.on_connect = lambda client, *_: client.subscribe("sensors/+/senml", qos=1)
        self.client.on_subscribe = self._on_subscribe
        self.client.on_message = self._on_message
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def _on_subscribe(self, *_: Any) -> None:
        self._loop.call_soon_threadsafe(self.ready.set)

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        pack = (message.topic.split("/")[1], json.loads(message.payload))
        self._loop.call_soon_threadsafe(self.packs.put_nowait, pack)

    async def take(self, count: int) -> list[tuple[str, list[dict[str, Any]]]]:
        return [await asyncio.wait_for(self.packs.get(), 20) for _ in range(count)]

    async def close(self) -> None:
        self.client.disconnect()
        await asyncio.to_thread(self.client.loop_stop)


@pytest.fixture
async def listener(broker: EmbeddedBroker) -> AsyncIterator[Listener]:
    hearing = await asyncio.to_thread(_listen, asyncio.get_running_loop(), broker.port)
    await asyncio.wait_for(hearing.ready.wait(), 10)
    yield hearing
    await hearing.close()


def _listen(loop: asyncio.AbstractEventLoop, port: int) -> Listener:
    async def make() -> Listener:
        return Listener(port)

    return asyncio.run_coroutine_threadsafe(make(), loop).result(10)


async def test_every_sensor_publishes_within_its_period(link: MqttLink, listener: Listener) -> None:
    stop = asyncio.Event()
    fleet = SensorFleet(COUNTY.sensors, [], 5, link, CLOCK)
    running = asyncio.create_task(fleet.run(stop))
    packs = await listener.take(110)
    stop.set()
    await running
    assert {sensor_id for sensor_id, _ in packs} == {sensor.id for sensor in COUNTY.sensors}
    units = {sensor.id: sensor.unit for sensor in COUNTY.sensors}
    for sensor_id, records in packs:
        assert records[0]["bn"] == f"urn:gw:sensor:{sensor_id}:"
        assert abs(records[0]["bt"] - CLOCK.now() / SECOND) < 60
        if records[0]["n"] == "alarm":
            assert records[0]["v"] == 0
        else:
            assert records[0]["u"] == units[sensor_id]
    assert fleet.left_out == 0


async def test_a_scheduled_alarm_is_sent_at_once_and_stays_with_its_id(link: MqttLink, listener: Listener) -> None:
    stop = asyncio.Event()
    sensor = SMOKE[0]
    fleet = SensorFleet([sensor], [ScheduledAlarm(sensor.id, 1.5, "alarm-7")], 5, link, CLOCK)
    running = asyncio.create_task(fleet.run(stop))
    packs = [records for _, records in await listener.take(4)]
    stop.set()
    await running
    told = [[(r["n"], r.get("v", r.get("vs"))) for r in records] for records in packs]
    first = told.index([("alarm", 1), ("alarm_id", "alarm-7")])
    assert first <= 2
    assert all(records == [("alarm", 0)] for records in told[:first])
    assert all(records == told[first] for records in told[first:])


async def test_single_shot_alarms_arrive_once_each(link: MqttLink, listener: Listener) -> None:
    ids = await publish_alarms(link, SMOKE, 300, CLOCK, run="r1")
    packs = await listener.take(300)
    assert ids == [f"r1-{i:06d}" for i in range(300)]
    assert sorted(records[1]["vs"] for _, records in packs) == ids


async def test_alarms_are_sent_again_until_a_restarted_broker_acknowledges_them() -> None:
    broker = EmbeddedBroker(0)
    await broker.start()
    port = broker.port
    link = MqttLink("127.0.0.1", port, "publisher")
    link.start()
    sending = asyncio.create_task(publish_alarms(link, SMOKE, 400, CLOCK, rate_per_s=400, run="r2"))
    await asyncio.wait_for(link.connected.wait(), 10)
    await broker.close()
    while link.connected.is_set():
        await CLOCK.asleep(0.02)
    assert not sending.done()
    again = EmbeddedBroker(port)
    await again.start()
    assert len(await asyncio.wait_for(sending, 30)) == 400
    assert link.unacknowledged == 0
    await link.close()
    await again.close()


async def test_an_alarm_of_a_sensor_that_does_not_exist_is_refused(link: MqttLink) -> None:
    with pytest.raises(ValueError, match="do not exist"):
        SensorFleet(COUNTY.sensors, [ScheduledAlarm("nobody", 1.0, "a")], 5, link, CLOCK)


def test_a_pack_is_senml_with_base_name_base_time_and_one_value_per_record() -> None:
    at = Instant(1_700_000_000 * SECOND + 250_000_000)
    assert json.loads(senml("S1", at, alarm=True, alarm_id="a-1")) == [
        {"bn": "urn:gw:sensor:S1:", "bt": 1_700_000_000.25, "n": "alarm", "v": 1},
        {"n": "alarm_id", "vs": "a-1"},
    ]
    assert json.loads(senml("S1", at, value=21.5, unit="Cel")) == [
        {"bn": "urn:gw:sensor:S1:", "bt": 1_700_000_000.25, "n": "value", "u": "Cel", "v": 21.5}
    ]
    with pytest.raises(ValueError, match="alarm or a value"):
        senml("S1", at)


def test_quiet_values_are_repeatable_possible_and_far_from_alarm() -> None:
    for sensor in COUNTY.sensors:
        for tick in range(50):
            value = usual_value(sensor, 5, tick)
            assert value == usual_value(sensor, 5, tick)
            if value is None:
                assert sensor.unit == ""
                continue
            assert sensor.valid_min <= value <= sensor.valid_max
            assert value < {"Cel": 40, "%LEL": 10, "ppm": 20, "m": 0.1, "mA": 200}[sensor.unit]
    assert {sensor.kind for sensor in COUNTY.sensors} <= set(SENSOR_SPECS)
    assert re.fullmatch(r"sensors/\d{20}/senml", sensor_topic(SMOKE[0].id))
