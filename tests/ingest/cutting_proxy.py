"""A TCP proxy between worker and broker that cuts the connection at the worker's next PUBACK, when told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PUBACK = 0x40


class CuttingProxy:
    """`cut_at_puback` True: the next PUBACK ends the connection and never reaches the broker."""

    def __init__(self, broker_port: int) -> None:
        self.cut_at_puback = False
        self.cuts = 0
        self.port = 0
        self._broker_port = broker_port
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_broker = await asyncio.open_connection("127.0.0.1", self._broker_port)
        ends = (writer, to_broker[1])
        self._writers.update(ends)
        down = asyncio.create_task(self._down(to_broker[0], writer))
        try:
            await self._up(reader, to_broker[1])
        except OSError:
            pass
        finally:
            down.cancel()
            for end in ends:
                end.transport.abort()
                self._writers.discard(end)

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Packet by packet, so that what stands before the PUBACK still arrives."""
        while head := await reader.read(1):
            length = bytearray()
            while not length or length[-1] >= 0x80:
                length += await reader.readexactly(1)
            size = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(length))
            body = await reader.readexactly(size)
            if self.cut_at_puback and head[0] & 0xF0 == PUBACK:
                self.cut_at_puback = False
                self.cuts += 1
                return
            writer.write(head + length + body)
            await writer.drain()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def cutting_proxy(broker_port: int) -> AsyncIterator[CuttingProxy]:
    """A running proxy."""
    proxy = CuttingProxy(broker_port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for writer in list(proxy._writers):
            writer.transport.abort()
        await server.wait_closed()
