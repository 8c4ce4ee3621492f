"""The Log link over ZeroMQ: DEALER (producer) to ROUTER (consumer).

Producer to consumer: [b"R", incarnation, base, first sequence, payload...]; numbers are 8 bytes big-endian.
`base` is the oldest sequence not yet acknowledged. Consumer to producer: [b"A", incarnation, sequence].
The consumer takes a record when it is the next one it expects, or when it is the producer's base (a log whose
beginning it never saw); everything else is a repetition or comes again in order.

After `resend_s` without progress the producer sends its window again; from then on, until there is progress, only
its oldest record, as a probe: a consumer that is away or stuck for hours must not find the whole window once for
every second. When a probe is acknowledged the consumer may lack what follows: all of it is sent again at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import zmq

from contracts.errors import LinkClosed, LinkOverflow
from contracts.instant import SECOND
from runtime.listener import Listener
from runtime.log_link import LogEntry, Position
from runtime.zmq_socket import close_socket, open_socket, receive, receive_now, send_now

if TYPE_CHECKING:
    from runtime.clock import Clock

_BATCH_BYTES = 256 * 1024
_BATCH_RECORDS = 512


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")


class ZmqLogSender:
    """A producer's end. One instance per producer name; made inside the running event loop."""

    def __init__(
        self, endpoint: str, producer: str, clock: Clock, *, window: int = 4096, resend_s: float = 1.0
    ) -> None:
        self._clock = clock
        self._window = window
        self._resend_ns = round(resend_s * SECOND)
        self._incarnation = int(clock.now())
        self._next = 1
        self._acknowledged = 0
        self._unacknowledged: deque[bytes] = deque()
        self._progress_ns = clock.monotonic_ns()
        self._stalls = 0
        self._changed = asyncio.Condition()
        self._closed = False
        self.resent = 0
        """Records sent more than once, counted each time."""
        self._socket = open_socket(zmq.DEALER, endpoint, bind=False, hwm=window, identity=producer.encode())
        self._waking: asyncio.Task[None] | None = None
        self._listener = Listener(endpoint, self._listen(), self._on_defect)

    @property
    def in_flight(self) -> int:
        """Records sent and not yet acknowledged."""
        return len(self._unacknowledged)

    async def send(self, payloads: Sequence[bytes], *, deadline_s: float | None = None) -> None:
        """See LogSender."""
        if payloads:
            await self.committed(await self.enter(payloads, deadline_s=deadline_s))

    async def enter(self, payloads: Sequence[bytes], *, deadline_s: float | None = None) -> int:
        """See LogWindow."""
        self._listener.check()
        for start in range(0, len(payloads), self._window):
            await self._enter(payloads[start : start + self._window], deadline_s)
        return self._next - 1

    async def _enter(self, payloads: Sequence[bytes], deadline_s: float | None) -> None:
        def room() -> bool:
            return self._closed or len(self._unacknowledged) + len(payloads) <= self._window

        async with self._changed:
            try:
                async with asyncio.timeout(deadline_s):
                    await self._changed.wait_for(room)
            except TimeoutError:
                raise LinkOverflow(
                    f"the log link holds {len(self._unacknowledged)} records that alerts has not committed; "
                    "is alerts running, is its disk full?"
                ) from None
            if self._closed:
                raise LinkClosed("the log link was closed while records waited")
            if not self._unacknowledged:
                self._progress_ns = self._clock.monotonic_ns()
            first = self._next
            self._unacknowledged.extend(payloads)
            self._next += len(payloads)
            self._transmit(first, payloads)

    async def committed(self, number: int) -> None:
        """See LogWindow."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or self._acknowledged >= number)
        if self._acknowledged < number:
            raise LinkClosed("the log link was closed before the records were acknowledged")

    def _transmit(self, sequence: int, payloads: Sequence[bytes]) -> None:
        """Send payloads, the first of them being `sequence`, in batches; what the socket refuses is sent again."""
        base = self._acknowledged + 1
        batch: list[bytes] = []
        size = 0
        for offset, payload in enumerate(payloads):
            batch.append(payload)
            size += len(payload)
            if size >= _BATCH_BYTES or len(batch) >= _BATCH_RECORDS or offset == len(payloads) - 1:
                head = [b"R", _number(self._incarnation), _number(base), _number(sequence)]
                if not send_now(self._socket, head + batch):
                    return
                sequence += len(batch)
                batch, size = [], 0

    async def _listen(self) -> None:
        while not self._closed:
            parts = await receive(self._socket, 0.25)
            async with self._changed:
                while parts is not None:
                    self._on_acknowledged(parts)
                    parts = receive_now(self._socket)
                overdue = self._clock.monotonic_ns() - self._progress_ns >= self._resend_ns
                if self._unacknowledged and overdue:
                    self._stalls += 1
                    self._send_again(
                        list(self._unacknowledged) if self._stalls == 1 else [self._unacknowledged[0]]
                    )

    def _send_again(self, payloads: Sequence[bytes]) -> None:
        self._progress_ns = self._clock.monotonic_ns()
        self.resent += len(payloads)
        self._transmit(self._acknowledged + 1, payloads)

    def _on_acknowledged(self, parts: list[bytes]) -> None:
        if len(parts) != 3 or parts[0] != b"A" or parts[1] != _number(self._incarnation):
            return
        sequence = int.from_bytes(parts[2], "big")
        if not self._acknowledged < sequence < self._next:
            return
        for _ in range(sequence - self._acknowledged):
            self._unacknowledged.popleft()
        self._acknowledged = sequence
        self._progress_ns = self._clock.monotonic_ns()
        stalls, self._stalls = self._stalls, 0
        if stalls > 1:
            self._send_again(list(self._unacknowledged))
        self._changed.notify_all()

    async def close(self) -> None:
        """See LogSender."""
        await self._refuse_all()
        await self._listener.close()
        if self._waking is not None:
            await self._waking
        close_socket(self._socket)

    async def _refuse_all(self) -> None:
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _on_defect(self) -> None:
        self._waking = asyncio.create_task(self._refuse_all())


class _Producer:
    """What the consumer knows of one producer."""

    __slots__ = ("committed", "incarnation", "received")

    def __init__(self, incarnation: int, received: int, committed: int) -> None:
        self.incarnation = incarnation
        self.received = received
        self.committed = committed


class ZmqLogReceiver:
    """The consumer's end; binds. Made inside the running event loop."""

    def __init__(self, endpoint: str, clock: Clock, *, hwm: int = 10_000) -> None:
        self._clock = clock
        self._producers: dict[str, _Producer] = {}
        self._waiting: deque[LogEntry] = deque()
        self.repeated = 0
        self.malformed = 0
        self._socket = open_socket(zmq.ROUTER, endpoint, bind=True, hwm=hwm)

    def restore(self, positions: Mapping[str, Position]) -> None:
        """See LogReceiver."""
        for name, position in positions.items():
            self._producers[name] = _Producer(position.incarnation, position.sequence, position.sequence)

    async def receive(self, *, limit: int, wait_s: float) -> list[LogEntry]:
        """See LogReceiver."""
        began_ns = self._clock.monotonic_ns()
        left_s = wait_s
        while not self._waiting:
            parts = await receive(self._socket, left_s)
            if parts is not None:
                self._take(parts)
            left_s = wait_s - (self._clock.monotonic_ns() - began_ns) / SECOND
            if parts is None and left_s <= 0:
                return []
        while len(self._waiting) < limit and (parts := receive_now(self._socket)) is not None:
            self._take(parts)
        return [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]

    def _take(self, parts: list[bytes]) -> None:
        if len(parts) < 6 or parts[1] != b"R" or any(len(part) != 8 for part in parts[2:5]):
            self.malformed += 1
            return
        name = parts[0].decode("utf-8", "replace")
        incarnation, base, sequence = (int.from_bytes(part, "big") for part in parts[2:5])
        producer = self._producers.get(name)
        if producer is None or producer.incarnation != incarnation:
            producer = self._producers[name] = _Producer(incarnation, base - 1, base - 1)
        for payload in parts[5:]:
            if sequence == producer.received + 1 or (sequence == base and sequence > producer.received):
                producer.received = sequence
                self._waiting.append(LogEntry(name, incarnation, sequence, payload))
            else:
                self.repeated += 1
            sequence += 1
        if producer.committed >= base:
            # The producer did not hear an acknowledgement: it was lost, or we were started again.
            self._acknowledge(name, producer.incarnation, producer.committed)

    async def commit(self, positions: Sequence[Position]) -> None:
        """See LogReceiver."""
        for position in positions:
            producer = self._producers.get(position.producer)
            if producer is not None and producer.incarnation == position.incarnation:
                producer.committed = max(producer.committed, position.sequence)
            self._acknowledge(position.producer, position.incarnation, position.sequence)

    def _acknowledge(self, name: str, incarnation: int, sequence: int) -> None:
        send_now(self._socket, [name.encode(), b"A", _number(incarnation), _number(sequence)])

    async def close(self) -> None:
        """See LogReceiver."""
        close_socket(self._socket)
