"""Request and answer, and published changes, over ZeroMQ.

Request: [id, kind, body]; answer: [id, b"+", body] or [id, b"-", refusal as MessagePack].
Change: [sequence (8 bytes big-endian), kind, body].
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import zmq

from contracts.errors import CommandRefused, GridwhistleError, LinkClosed
from contracts.wire import DOES_NOT_PARSE
from runtime.listener import Listener
from runtime.log import get_log
from runtime.request_link import RequestHandler
from runtime.zmq_socket import close_socket, open_socket, receive, receive_now, send_now

if TYPE_CHECKING:
    from runtime.clock import Clock


class _Refusal(msgspec.Struct):
    reason: str
    message: str
    allowed: tuple[str, ...] = ()


_refusal_decoder = msgspec.msgpack.Decoder(_Refusal)


class ZmqRequestClient:
    """The asker's end. Made inside the running event loop."""

    def __init__(self, endpoint: str, clock: Clock) -> None:
        self._clock = clock
        self._endpoint = endpoint
        self._next = 0
        self._open: dict[bytes, asyncio.Future[bytes]] = {}
        self.malformed = 0
        self._socket = open_socket(zmq.DEALER, endpoint, bind=False, hwm=1_000)
        self._listener = Listener(endpoint, self._listen(), self._refuse_all)

    async def request(self, kind: str, body: bytes, *, timeout_s: float) -> bytes:
        """See RequestClient."""
        self._listener.check()
        self._next += 1
        name = self._next.to_bytes(8, "big")
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._open[name] = future
        try:
            if not send_now(self._socket, [name, kind.encode(), body]):
                raise LinkClosed(f"the link {self._endpoint} is full; is the process behind it running?")
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            raise LinkClosed(
                f"no answer to '{kind}' from {self._endpoint} within {timeout_s:g} s; is its process running?"
            ) from None
        finally:
            self._open.pop(name, None)

    async def _listen(self) -> None:
        while True:
            parts = await receive(self._socket, 5.0)
            while parts is not None:
                self._on_answer(parts)
                parts = receive_now(self._socket)

    def _on_answer(self, parts: list[bytes]) -> None:
        if len(parts) != 3:
            self.malformed += 1
            return
        future = self._open.get(parts[0])
        if future is None or future.done():
            return
        if parts[1] == b"+":
            future.set_result(parts[2])
            return
        try:
            refusal = _refusal_decoder.decode(parts[2])
        except DOES_NOT_PARSE:
            # Whoever asked runs into its time-out; ending here would leave all later askers without an answer.
            self.malformed += 1
            return
        future.set_exception(CommandRefused(refusal.message, reason=refusal.reason, allowed=refusal.allowed))

    async def close(self) -> None:
        """See RequestClient."""
        await self._listener.close()
        self._refuse_all()
        close_socket(self._socket)

    def _refuse_all(self) -> None:
        for future in self._open.values():
            if not future.done():
                future.set_exception(LinkClosed("the link was closed before the answer came"))


class ZmqRequestServer:
    """The answerer's end; binds. At most `in_work_max` requests are in work; more are refused as busy."""

    def __init__(self, endpoint: str, clock: Clock, *, in_work_max: int = 256) -> None:
        self._clock = clock
        self._in_work_max = in_work_max
        self._tasks: set[asyncio.Task[None]] = set()
        self.malformed = 0
        self.busy = 0
        self._socket = open_socket(zmq.ROUTER, endpoint, bind=True, hwm=1_000)

    async def serve(self, handler: RequestHandler) -> None:
        """See RequestServer."""
        try:
            while True:
                parts = await receive(self._socket, 5.0)
                while parts is not None:
                    self._on_request(parts, handler)
                    parts = receive_now(self._socket)
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            close_socket(self._socket)

    def _on_request(self, parts: list[bytes], handler: RequestHandler) -> None:
        if len(parts) != 4:
            self.malformed += 1
            return
        asker, name, kind, body = parts
        if len(self._tasks) >= self._in_work_max:
            self.busy += 1
            self._refuse(asker, name, CommandRefused("太忙, 请稍后再试 (busy, ask again)", reason="busy"))
            return
        task = asyncio.create_task(self._answer(asker, name, kind.decode("utf-8", "replace"), body, handler))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, asker: bytes, name: bytes, kind: str, body: bytes, handler: RequestHandler) -> None:
        try:
            answer = await handler(kind, body)
        except GridwhistleError as error:
            self._refuse(asker, name, error)
        except Exception as bug:  # noqa: BLE001 - one asker's bad luck must not end the service
            get_log().error("A request failed by a defect", kind=kind, error=repr(bug))
            self._refuse(
                asker, name, GridwhistleError(f"内部错误 (internal error): {type(bug).__name__}", reason="bug")
            )
        else:
            send_now(self._socket, [asker, name, b"+", answer])

    def _refuse(self, asker: bytes, name: bytes, error: GridwhistleError) -> None:
        allowed = error.allowed if isinstance(error, CommandRefused) else ()
        body = msgspec.msgpack.encode(_Refusal(error.reason, str(error), allowed))
        send_now(self._socket, [asker, name, b"-", body])


class ZmqChangePublisher:
    """Alerts' end; binds."""

    def __init__(self, endpoint: str) -> None:
        self._socket = open_socket(zmq.PUB, endpoint, bind=True, hwm=10_000)

    async def publish(self, sequence: int, kind: str, body: bytes) -> None:
        """See ChangePublisher."""
        send_now(self._socket, [sequence.to_bytes(8, "big"), kind.encode(), body])

    async def close(self) -> None:
        """See ChangePublisher."""
        close_socket(self._socket)


class ZmqChangeSubscriber:
    """A listener's end."""

    def __init__(self, endpoint: str, clock: Clock) -> None:
        self._clock = clock
        self._socket = open_socket(zmq.SUB, endpoint, bind=False, hwm=10_000)

    async def receive(self, *, wait_s: float) -> tuple[int, str, bytes] | None:
        """See ChangeSubscriber."""
        parts = await receive(self._socket, wait_s)
        if parts is None or len(parts) != 3 or len(parts[0]) != 8:
            return None
        return int.from_bytes(parts[0], "big"), parts[1].decode("utf-8", "replace"), parts[2]

    async def close(self) -> None:
        """See ChangeSubscriber."""
        close_socket(self._socket)
