"""The embedded broker with paho-mqtt as the client, over real sockets."""

from __future__ import annotations

import asyncio
import queue
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from contracts.errors import ConfigError
from sim.broker import EmbeddedBroker


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    running = EmbeddedBroker(0)
    await running.start()
    yield running
    await running.close()


class Subscriber:
    """A client with a persistent session that subscribes to `t/#` with QoS 1."""

    def __init__(self, port: int, name: str, *, manual_ack: bool = False) -> None:
        self.messages: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
        self._subscribed: queue.Queue[None] = queue.Queue()
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=name, clean_session=False, manual_ack=manual_ack
        )
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *_: self._subscribed.put(None)
        self.client.on_message = lambda _c, _u, message: self.messages.put(message)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self._subscribed.get(timeout=10)

    def _on_connect(self, *_: Any) -> None:
        self.client.subscribe("t/#", qos=1)

    def take(self, count: int) -> list[mqtt.MQTTMessage]:
        return [self.messages.get(timeout=30) for _ in range(count)]

    def leave(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def die(self) -> None:
        """As a process that is killed: the socket closes without a DISCONNECT."""
        self.client.loop_stop()
        socket = self.client.socket()
        assert socket is not None
        socket.close()


@contextmanager
def publisher(port: int) -> Iterator[mqtt.Client]:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", port)
    client.loop_start()
    yield client
    client.disconnect()
    client.loop_stop()


def publish(port: int, payloads: list[str], *, qos: int = 1, topic: str = "t/x", retain: bool = False) -> None:
    """Publish, wait for every PUBACK, disconnect at once."""
    with publisher(port) as client:
        infos = [client.publish(topic, payload, qos=qos, retain=retain) for payload in payloads]
        for info in infos:
            info.wait_for_publish(10)


async def test_a_burst_arrives_whole_and_in_order_though_the_publisher_leaves_at_once(
    broker: EmbeddedBroker,
) -> None:
    subscriber = await asyncio.to_thread(Subscriber, broker.port, "one")
    sent = [f"m{i}" for i in range(500)]
    await asyncio.to_thread(publish, broker.port, sent)
    got = await asyncio.to_thread(subscriber.take, 500)
    assert [m.payload.decode() for m in got] == sent
    await asyncio.to_thread(subscriber.leave)


async def test_messages_for_an_absent_client_wait_and_come_without_the_retain_flag(broker: EmbeddedBroker) -> None:
    subscriber = await asyncio.to_thread(Subscriber, broker.port, "one")
    await asyncio.to_thread(subscriber.leave)
    await asyncio.to_thread(publish, broker.port, ["a", "b", "c"])
    back = await asyncio.to_thread(Subscriber, broker.port, "one")
    got = await asyncio.to_thread(back.take, 3)
    assert [(m.payload, m.retain, m.dup) for m in got] == [(b"a", 0, 0), (b"b", 0, 0), (b"c", 0, 0)]
    await asyncio.to_thread(back.leave)


async def test_unacknowledged_messages_come_again_after_the_subscriber_was_killed(broker: EmbeddedBroker) -> None:
    subscriber = await asyncio.to_thread(Subscriber, broker.port, "one", manual_ack=True)
    await asyncio.to_thread(publish, broker.port, [f"m{i}" for i in range(250)])
    first = await asyncio.to_thread(subscriber.take, 3)
    subscriber.client.ack(first[0].mid, 1)
    await asyncio.to_thread(subscriber.die)
    back = await asyncio.to_thread(Subscriber, broker.port, "one")
    got = {m.payload for m in await asyncio.to_thread(back.take, 249)}
    assert got >= {b"m%d" % i for i in range(1, 250)}
    await asyncio.to_thread(back.leave)


async def test_a_session_that_is_taken_over_goes_on_receiving(broker: EmbeddedBroker) -> None:
    old = await asyncio.to_thread(Subscriber, broker.port, "one")
    old.client.reconnect_delay_set(30, 60)
    new = await asyncio.to_thread(Subscriber, broker.port, "one")
    await asyncio.to_thread(publish, broker.port, ["a", "b"])
    got = await asyncio.to_thread(new.take, 2)
    assert [m.payload for m in got] == [b"a", b"b"]
    await asyncio.to_thread(new.leave)
    await asyncio.to_thread(old.leave)


async def test_a_publication_of_qos_0_is_not_raised_to_qos_1(broker: EmbeddedBroker) -> None:
    subscriber = await asyncio.to_thread(Subscriber, broker.port, "one")
    await asyncio.to_thread(publish, broker.port, ["a"], qos=0)
    [message] = await asyncio.to_thread(subscriber.take, 1)
    assert message.qos == 0
    await asyncio.to_thread(subscriber.leave)


async def test_a_retained_message_reaches_a_later_subscriber_marked_as_retained(broker: EmbeddedBroker) -> None:
    await asyncio.to_thread(publish, broker.port, ["old"], topic="t/r", retain=True)
    subscriber = await asyncio.to_thread(Subscriber, broker.port, "one")
    [message] = await asyncio.to_thread(subscriber.take, 1)
    assert (message.payload, message.retain) == (b"old", 1)
    await asyncio.to_thread(subscriber.leave)


async def test_clients_that_say_nothing_or_garbage_leave_no_socket_behind(broker: EmbeddedBroker) -> None:
    for said in (b"", b"\x10", b"GET / HTTP/1.1\r\n\r\n", b"\x10\xff\xff\xff\xff\xff"):
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        writer.write(said)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
    silent = await asyncio.open_connection("127.0.0.1", broker.port)
    subscriber = await asyncio.to_thread(Subscriber, broker.port, "one")
    await asyncio.to_thread(subscriber.leave)
    await broker.close()
    assert await asyncio.wait_for(silent[0].read(), 10) == b""
    silent[1].close()


async def test_clients_that_are_gone_when_they_are_answered_are_no_unhandled_exception(
    broker: EmbeddedBroker,
) -> None:
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
    wrong_version = b"\x10\x10\x00\x04MQTT\x09\x02\x00\x3c\x00\x04abcd"
    for said in (wrong_version, b"\x10\x7f" + b"G" * 127, b"GET / HTTP/1.1\r\n\r\n"):
        for pause_s in (0.0, 0.001, 0.01) * 3:
            client = socket.create_connection(("127.0.0.1", broker.port))
            client.send(said)
            await asyncio.sleep(pause_s)  # noqa: TID251
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
    subscriber = await asyncio.to_thread(Subscriber, broker.port, "one")
    await asyncio.to_thread(subscriber.leave)
    await broker.close()
    assert told == []


async def test_a_taken_port_is_refused_in_words(broker: EmbeddedBroker) -> None:
    with pytest.raises(ConfigError, match=r"sim\.mqtt_port"):
        await EmbeddedBroker(broker.port).start()
