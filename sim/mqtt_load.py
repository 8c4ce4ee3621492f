"""A publisher for load: MQTT 3.1.1 with QoS 1 straight on a socket, many messages in one write.

A client library spends more on each message than the pipeline under test does, on the same cores. What this one
leaves out it does not need: it never subscribes, and does not come back when the broker goes.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from typing import Final

from contracts.errors import SourceUnreachable

IN_FLIGHT_MAX: Final = 4_000
"""Messages without PUBACK; further ones wait here."""
_CONNACK, _PUBACK = 0x20, 0x40


class LoadPublisher(asyncio.Protocol):
    """One connection. `acknowledged` counts PUBACKs of the broker."""

    def __init__(self, client_id: str = "load") -> None:
        self.acknowledged = 0
        self.sent = 0
        self._client_id = client_id
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._moved = asyncio.Event()
        self._accepted = asyncio.get_running_loop().create_future()

    @classmethod
    async def connect(cls, host: str, port: int, client_id: str = "load") -> LoadPublisher:
        """A publisher that the broker accepted. Raises SourceUnreachable."""
        publisher = cls(client_id)
        try:
            await asyncio.get_running_loop().create_connection(lambda: publisher, host, port)
        except OSError as error:
            raise SourceUnreachable(f"无法连接 MQTT 服务器 {host}:{port} (cannot connect): {error}") from None
        await publisher._accepted
        return publisher

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for a clean session without keep-alive."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        name = self._client_id.encode()
        body = b"\x00\x04MQTT\x04\x02\x00\x00" + struct.pack(">H", len(name)) + name
        transport.write(b"\x10" + _length(len(body)) + body)

    def data_received(self, data: bytes) -> None:
        """CONNACK and PUBACK, four bytes each."""
        self._received += data
        whole = len(self._received) // 4 * 4
        for at in range(0, whole, 4):
            kind = self._received[at]
            if kind == _PUBACK:
                self.acknowledged += 1
            elif kind == _CONNACK and not self._accepted.done():
                self._accepted.set_result(None)
        del self._received[:whole]
        self._moved.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The broker went: whoever waits is told."""
        self._transport = None
        self._moved.set()
        if not self._accepted.done():
            self._accepted.set_exception(SourceUnreachable("MQTT 服务器拒绝连接 (the broker refused)"))

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Send (topic, payload) pairs, QoS 1; waits while too many have no PUBACK. Raises SourceUnreachable."""
        while self.sent - self.acknowledged + len(messages) > IN_FLIGHT_MAX:
            await self._progress()
        if self._transport is None:
            raise SourceUnreachable("与 MQTT 服务器的连接结束 (the connection ended)")
        written = bytearray()
        for topic, payload in messages:
            name = topic.encode()
            self.sent += 1
            head = struct.pack(">H", len(name)) + name + struct.pack(">H", self.sent % 65_535 + 1)
            written += b"\x32" + _length(len(head) + len(payload)) + head + payload
        self._transport.write(bytes(written))

    async def settle(self) -> None:
        """Wait until the broker has acknowledged everything. Raises SourceUnreachable."""
        while self.acknowledged < self.sent:
            await self._progress()

    async def _progress(self) -> None:
        if self._transport is None:
            raise SourceUnreachable("与 MQTT 服务器的连接结束 (the connection ended)")
        self._moved.clear()
        await self._moved.wait()

    def close(self) -> None:
        """Leave in order."""
        if self._transport is not None:
            self._transport.write(b"\xe0\x00")
            self._transport.close()


def _length(value: int) -> bytes:
    """The variable byte integer of MQTT 3.1.1, 2.2.3."""
    found = bytearray()
    while True:
        value, low = divmod(value, 128)
        found.append(low | (128 if value else 0))
        if not value:
            return bytes(found)
