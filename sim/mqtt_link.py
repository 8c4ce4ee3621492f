"""A publisher that knows when the broker has a message: paho-mqtt in its own thread, awaited from the loop."""

from __future__ import annotations

import asyncio
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

IN_FLIGHT_MAX = 200
"""Messages without PUBACK; further ones wait here."""


class MqttLink:
    """One connection to a broker; reconnects by itself and sends again what has no PUBACK (QoS 1).

    `connected` is set while the connection stands.
    """

    def __init__(self, host: str, port: int, client_id: str = "") -> None:
        self.connected = asyncio.Event()
        self._address = host, port
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=not client_id)
        self._client.max_inflight_messages_set(IN_FLIGHT_MAX)
        self._client.reconnect_delay_set(1, 5)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = lambda *_: self._tell(self.connected.clear)
        self._client.on_publish = lambda _c, _u, mid, *_: self._tell(self._acknowledged, mid)

    @property
    def unacknowledged(self) -> int:
        """Messages that wait for their PUBACK."""
        return len(self._waiting)

    def start(self) -> None:
        """Connect in the background, again and again until it works."""
        self._client.connect_async(*self._address)
        self._client.loop_start()

    async def close(self) -> None:
        """Disconnect; what has no PUBACK is given up."""
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)
        for future in self._waiting.values():
            future.cancel()

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1 and wait until the broker acknowledged it, however long that takes."""
        async with self._room:
            info = self._client.publish(topic, payload, qos=1, retain=retain)
            future = self._waiting[info.mid] = self._loop.create_future()
            # paho's thread tells of the PUBACK through the loop, so never before the future stands here.
            await future

    def _on_connect(self, _client: mqtt.Client, _data: object, _flags: object, reason: Any, _more: object) -> None:
        if not reason.is_failure:
            self._tell(self.connected.set)

    def _tell(self, callback: Any, *args: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback, *args)

    def _acknowledged(self, mid: int) -> None:
        future = self._waiting.pop(mid, None)
        if future is not None and not future.done():
            future.set_result(None)
