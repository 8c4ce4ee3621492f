"""An outside platform: a real HTTP server that keeps what it gets and answers as it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.body)
        return loaded


@dataclass
class Receiver:
    """`script` holds answers for the next requests, (status, headers); afterwards 204. Status 0: never answers."""

    port: int = 0
    script: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    grown: asyncio.Condition = field(default_factory=asyncio.Condition)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/tickets"

    async def got(self, number: int, timeout_s: float = 20.0) -> list[Request]:
        async with self.grown:
            await asyncio.wait_for(self.grown.wait_for(lambda: len(self.requests) >= number), timeout_s)
        return list(self.requests)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        status, extra = self.script.pop(0) if self.script else (204, {})
        async with self.grown:
            self.requests.append(Request(headers, body))
            self.grown.notify_all()
        if status == 0:
            await reader.read()
            return False
        content = b"" if status == 204 else b"as scripted"
        lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in extra.items())]
        if content:
            lines.append(f"Content-Length: {len(content)}")
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + content)
        await writer.drain()
        return True

    def close(self) -> None:
        for writer in self._open:
            writer.close()


@asynccontextmanager
async def receiver(*script: tuple[int, dict[str, str]]) -> AsyncIterator[Receiver]:
    platform = Receiver(script=list(script))
    server = await asyncio.start_server(platform.serve, "127.0.0.1", 0)
    platform.port = server.sockets[0].getsockname()[1]
    try:
        yield platform
    finally:
        platform.close()
        server.close()
        await server.wait_closed()
