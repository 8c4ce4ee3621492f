"""One connected wall: it starts with a snapshot or where it left off, then follows the feed at its own speed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import IntEnum
from typing import Final

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from contracts.errors import GridwhistleError
from contracts.instant import SECOND, to_rfc3339
from dashboard_api.changes import Batch, changes_message
from dashboard_api.config import ApiConfig
from dashboard_api.live import ChangeFeed
from runtime.clock import Clock
from runtime.metrics import StageCounters

HEARTBEAT_S: Final = 5.0
WAITING_S: Final = 1.0
CLOSING_S: Final = 20.0
"""How long a dropped wall may take to read why; then its connection ends without a word."""

_Attempt = Callable[[], Awaitable[bool]]


class Close(IntEnum):
    """Close codes of the live link (RFC 6455, 7.4.2: 4000-4999 are ours)."""

    RESTART = 1012
    TOO_SLOW = 4008
    BAD_CURSOR = 4400
    FULL = 4013


class Dropped(Exception):
    """This wall is let go, with a code and a sentence."""

    def __init__(self, code: Close, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class WallSession:
    """Speaks to one WebSocket. `after`: the last sequence that the wall has, None = it has nothing."""

    def __init__(
        self,
        socket: WebSocket,
        feed: ChangeFeed,
        config: ApiConfig,
        clock: Clock,
        counters: StageCounters,
        after: int | None,
    ) -> None:
        self._socket = socket
        self._feed = feed
        self._config = config
        self._clock = clock
        self._counters = counters
        self._after = after
        self._event = feed.listen()
        self._cursor = 0
        self._current_ns: int | None = None
        self._generation = 0

    async def run(self) -> None:
        """Serve the wall until it leaves, is dropped, or this process ends."""
        sending = asyncio.create_task(self._send_all())
        leaving = asyncio.create_task(self._until_gone())
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._feed.forget(self._event)
            for task in (sending, leaving):
                task.cancel()
                with suppress(asyncio.CancelledError, WebSocketDisconnect):
                    await task

    async def _until_gone(self) -> None:
        while (await self._socket.receive())["type"] != "websocket.disconnect":
            self._counters.count("live_messages_ignored")

    async def _send_all(self) -> None:
        try:
            await self._start()
            while True:
                await self._follow()
        except Dropped as dropped:
            self._counters.count("live_walls_dropped", dropped.code.name.lower())
            with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
                async with asyncio.timeout(CLOSING_S):
                    await self._socket.close(dropped.code, str(dropped))

    async def _start(self) -> None:
        self._current_ns = None
        self._generation = self._feed.generation
        if self._after is not None:
            cursor, self._after = self._after, None
            if await self._retry(lambda: self._resume(cursor)):
                return
        await self._retry(self._send_snapshot)

    async def _resume(self, cursor: int) -> bool:
        if await self._feed.catch_up(cursor, 1) is None:
            return False
        self._cursor = cursor
        await self._send(f'{{"type":"resumed","seq":{cursor},"at":"{self._now()}"}}')
        return True

    async def _send_snapshot(self) -> bool:
        snapshot = await self._feed.snapshot()
        self._cursor = snapshot.seq
        await self._send(snapshot.text)
        return True

    async def _retry(self, attempt: _Attempt) -> bool:
        while True:
            try:
                return await attempt()
            except GridwhistleError as error:
                await self._send(_waiting(error))
                self._check_closing()
                await self._clock.asleep(WAITING_S)

    async def _follow(self) -> None:
        """Send what is next, or wait for it."""
        self._check_closing()
        if self._generation != self._feed.generation:
            await self._start()
            return
        self._event.clear()
        if self._cursor < self._feed.floor:
            await self._refill()
            return
        batch = self._feed.message_after(self._cursor, self._config.live_batch_max)
        if batch is not None:
            await self._send_batch(batch)
            return
        if self._feed.known:
            self._current_ns = self._clock.monotonic_ns()
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await self._event.wait()
        except TimeoutError:
            await self._send(f'{{"type":"heartbeat","seq":{self._cursor},"at":"{self._now()}"}}')

    async def _refill(self) -> None:
        """A burst outran the ring, or the wall resumed from long ago: read on from the table. A wall that was
        up to date, fell out of the ring and still is not after the time-out is slow."""
        late_ns = self._clock.monotonic_ns() - self._current_ns if self._current_ns is not None else 0
        if late_ns > self._config.live_send_timeout_s * SECOND:
            raise Dropped(
                Close.TOO_SLOW,
                f"接收过慢: 落后超过 {self._config.live_backlog_max} 条 (too slow: too far behind); reconnect",
            )
        changes = None
        with suppress(GridwhistleError):
            changes = await self._feed.catch_up(self._cursor, self._config.live_batch_max)
        if changes is None:
            await self._start()
        elif changes:
            await self._send_batch(changes_message(changes, self._clock.now()))

    async def _send_batch(self, batch: Batch) -> None:
        await self._send(batch.text)
        self._cursor = batch.seq
        self._counters.count("live_changes_sent", n=batch.count)

    async def _send(self, text: str) -> None:
        try:
            async with asyncio.timeout(self._config.live_send_timeout_s):
                await self._socket.send_text(text)
        except TimeoutError:
            raise Dropped(
                Close.TOO_SLOW,
                f"接收过慢: {self._config.live_send_timeout_s:g} 秒未取走一条消息 (too slow: a message waited); "
                "reconnect",
            ) from None

    def _check_closing(self) -> None:
        if self._feed.closing:
            raise Dropped(Close.RESTART, "服务重启, 请重新连接 (restarting; reconnect)")

    def _now(self) -> str:
        return to_rfc3339(self._clock.now())


def _waiting(error: GridwhistleError) -> str:
    return msgspec.json.encode({"type": "waiting", "reason": error.reason, "message": str(error)}).decode()
