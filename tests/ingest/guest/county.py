"""Cameras that connect through the gate in simulated time, and servers that answer, hang or are cut."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable

from contracts.errors import GridwhistleError, SourceUnreachable
from contracts.instant import SECOND
from ingest.guest.gate import Gate, Visit
from ingest.guest.place import Visitor
from ingest.guest.turns import CameraTurns
from runtime.clock import SimClock
from runtime.supervise import Backoff, supervise


class AlarmClock(SimClock):
    """Simulated time in which many tasks sleep at once: the driver wakes them in order of their times."""

    def __init__(self) -> None:
        super().__init__()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = 0

    async def asleep(self, seconds: float) -> None:
        """Wait until the driver has come so far."""
        future = asyncio.get_running_loop().create_future()
        self._order += 1
        heapq.heappush(self._sleepers, (self.monotonic_ns() + round(seconds * SECOND), self._order, future))
        await future

    async def run_until(self, end_s: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass until the condition holds (True) or `end_s` has come (False)."""
        while True:
            await _settle()
            if until():
                return True
            while self._sleepers and self._sleepers[0][2].done():
                heapq.heappop(self._sleepers)
            due = self._sleepers[0][0] if self._sleepers else None
            if due is None or due > end_s * SECOND:
                self.advance((round(end_s * SECOND) - self.monotonic_ns()) / SECOND)
                return until()
            self.advance((due - self.monotonic_ns()) / SECOND)
            while self._sleepers and self._sleepers[0][0] <= self.monotonic_ns():
                _, _, future = heapq.heappop(self._sleepers)
                if not future.done():
                    future.set_result(None)


async def _settle() -> None:
    """Let every task that can run do so."""
    for _ in range(12):
        await asyncio.sleep(0)  # noqa: TID251


class SimCamera:
    """A camera behind the gate: `up` says whether its server answers at all. `key_s`, `teardown_s`: how long its
    key picture and its end take. `visits`: when those ended that ended for others, seconds."""

    def __init__(
        self,
        visitor: Visitor,
        gate: Gate,
        clock: AlarmClock,
        *,
        handshake_s: float,
        up: Callable[[], bool],
        key_s: float = 0.0,
        teardown_s: float = 0.0,
    ) -> None:
        self.visitor = visitor
        self.live = False
        self.attempts = 0
        self.inside = False
        self.visits: list[float] = []
        self.turns = CameraTurns()
        self._key_s, self._teardown_s = key_s, teardown_s
        self._gate, self._clock, self._handshake_s, self._up = gate, clock, handshake_s, up
        self._backoff = Backoff(1.0, 30.0, visitor.source_id)
        self._lost_ns: int | None = None
        self._cut = asyncio.Event()
        self.stop = asyncio.Event()

    def run(self) -> Awaitable[None]:
        return supervise(
            self._attempt, self._backoff, self._clock, self.stop, self._failed, healthy_s=float("inf")
        )

    def cut(self) -> None:
        self._cut.set()

    def _failed(self, error: GridwhistleError, delay_s: float) -> None:
        self.turns.failed(error)
        self.live = False

    async def _attempt(self) -> None:
        while await self._one_session():
            self.visits.append(self._clock.monotonic_ns() / SECOND)

    async def _one_session(self) -> bool:
        mine, turns = self.visitor, self.turns
        visitor = Visitor(
            mine.source_id,
            mine.host,
            mine.platform,
            mine.nvr,
            self._lost_ns,
            self._backoff.failures,
            turns.visited_ns,
            turns.misses,
        )
        async with self._gate.visit(visitor) as visit:
            self.inside = True
            try:
                await self._session(visit)
            finally:
                self.live = False
                try:
                    if visit.recalled and self._teardown_s:
                        await self._clock.asleep(self._teardown_s)
                finally:
                    self.inside = False
        if visit.recalled:
            turns.visited(self._clock.monotonic_ns())
            self._lost_ns = None
        return visit.recalled

    async def _session(self, visit: Visit) -> None:
        self.attempts += 1
        self._cut.clear()
        await self._clock.asleep(self._handshake_s if self._up() else 5.0)
        if not self._up():
            raise SourceUnreachable("no answer")
        visit.opened()
        if self._key_s:
            await self._clock.asleep(self._key_s)
        self.live = True
        self.turns.seen(self._clock.monotonic_ns())
        self._backoff.succeeded()
        visit.seen()
        await self._cut.wait()
        self.live = False
        self._lost_ns = self._clock.monotonic_ns()
        raise SourceUnreachable("cut", reason="closed")
