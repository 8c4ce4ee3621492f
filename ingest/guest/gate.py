"""The gate: cameras wait here for their turn to connect; `Admission` decides, the clock and the tasks are here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from contracts.errors import GridwhistleError
from contracts.instant import SECOND
from ingest.guest.admission import Admission
from ingest.guest.place import Place, Visitor

if TYPE_CHECKING:
    from ingest.guest.limits import GuestLimits
    from runtime.clock import Clock


class Gate:
    """The one door of a worker's cameras. All methods within one event loop."""

    def __init__(self, clock: Clock, limits: GuestLimits) -> None:
        self._clock = clock
        self._admission = Admission(limits)
        self._waiting: dict[Place, asyncio.Future[None]] = {}
        self._timer: asyncio.Task[None] | None = None
        self._timer_due_ns = 0

    @property
    def admission(self) -> Admission:
        """The places, for looking at."""
        return self._admission

    @asynccontextmanager
    async def visit(self, visitor: Visitor) -> AsyncIterator[Visit]:
        """Wait for the turn, and hold the session for the block; its error tells whether the host answers.

        Cancelled at any point, it leaves nothing behind.
        """
        place = self._admission.ask(visitor, self._clock.monotonic_ns())
        turn = self._waiting[place] = asyncio.get_running_loop().create_future()
        reason = ""
        try:
            self._advance()
            await turn
            yield Visit(self, place)
        except GridwhistleError as error:
            reason = error.reason
            raise
        finally:
            self._waiting.pop(place, None)
            self._admission.leave(place, self._clock.monotonic_ns(), reason)
            self._advance()

    def opened(self, place: Place) -> None:
        """A handshake is over."""
        self._admission.opened(place)
        self._advance()

    def hurry(self, source_id: str) -> None:
        """Let this camera go before the others, if it waits."""
        for place in self._waiting:
            if place.visitor.source_id == source_id:
                self._admission.hurry(place, self._clock.monotonic_ns())
        self._advance()

    def change_limits(self, limits: GuestLimits) -> None:
        """Take other limits from now on; nobody is disconnected."""
        if limits != self._admission.limits:
            self._admission.change_limits(limits, self._clock.monotonic_ns())
            self._advance()

    def _advance(self) -> None:
        for place in self._admission.grant(self._clock.monotonic_ns()):
            turn = self._waiting[place]
            # One that was cancelled a moment ago gives its place back when its task runs.
            if not turn.done():
                turn.set_result(None)
        due_ns = self._admission.due_ns()
        if due_ns is None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif self._timer is None or due_ns < self._timer_due_ns:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_due_ns = due_ns
            self._timer = asyncio.create_task(self._wait(due_ns), name="gate")

    async def _wait(self, due_ns: int) -> None:
        await self._clock.asleep(max(0, due_ns - self._clock.monotonic_ns()) / SECOND)
        self._timer = None
        self._advance()


class Visit:
    """The right to connect once."""

    __slots__ = ("_gate", "_place")

    def __init__(self, gate: Gate, place: Place) -> None:
        self._gate = gate
        self._place = place

    def opened(self) -> None:
        """The handshake is over: the next camera may begin its own."""
        self._gate.opened(self._place)
