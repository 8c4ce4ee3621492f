"""Outgoing: what waits for alerts to commit, bounded. When it is full, samples go first, oldest first."""

from __future__ import annotations

import asyncio
from collections import deque

from contracts import wire
from contracts.filmstrip import Filmstrip
from contracts.observation import Observation, Phase
from inference.watch import Record
from runtime.clock import Clock
from runtime.log_link import LogSender
from runtime.metrics import StageCounters

_BATCH = 256


class Outgoing:
    """A queue with a stated order of shedding, and the task that empties it. For one event loop.

    Samples (counts of people) are worthless when late and come again, filmstrips are asked for again; alarms and
    changes of sources are kept until nothing but them waits. Everything shed is counted as
    `records_dropped:shed_sample` or `:shed_alarm`.
    """

    def __init__(self, capacity: int, counters: StageCounters) -> None:
        self._capacity = capacity
        self._counters = counters
        self._waiting: deque[Record] = deque()
        self._in_flight = 0
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        """Records that wait to be sent."""
        return len(self._waiting)

    def add(self, records: list[Record]) -> None:
        """Take records; never waits."""
        for record in records:
            if len(self._waiting) < self._capacity or self._shed_for(record):
                self._waiting.append(record)
        if self._waiting:
            self._arrived.set()

    async def send_forever(self, sender: LogSender) -> None:
        """Send in order until cancelled; each batch is committed by alerts before the next one goes."""
        while True:
            await self._arrived.wait()
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            if not self._waiting:
                self._arrived.clear()
            if batch:
                self._in_flight = len(batch)
                await sender.send([wire.encode(record) for record in batch])
                self._in_flight = 0
                self._counters.count("records_sent", n=len(batch))

    async def drain(self, clock: Clock, patience_s: float) -> None:
        """Give what waits a last chance to go, for so many seconds at most."""
        for _ in range(max(1, round(patience_s / 0.02))):
            if not self._waiting and not self._in_flight:
                return
            await clock.asleep(0.02)
        self._counters.count("records_dropped", "shutdown", len(self._waiting) + self._in_flight)

    def _shed_for(self, newcomer: Record) -> bool:
        """Make room for a record: the oldest sample goes; among alarms alone, a sample is not let in."""
        for index, record in enumerate(self._waiting):
            if _is_sample(record):
                del self._waiting[index]
                self._counters.count("records_dropped", "shed_sample")
                return True
        if _is_sample(newcomer):
            self._counters.count("records_dropped", "shed_sample")
            return False
        self._waiting.popleft()
        self._counters.count("records_dropped", "shed_alarm")
        return True


def _is_sample(record: Record) -> bool:
    return isinstance(record, Filmstrip) or (isinstance(record, Observation) and record.phase is Phase.SAMPLE)
