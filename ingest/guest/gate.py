"""The gate: cameras wait here for their turn to connect; `Admission` decides, the clock and the tasks are here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from contracts.errors import GridwhistleError, SourceUnreachable
from contracts.instant import SECOND
from ingest.guest.admission import Admission
from ingest.guest.place import Phase, Place, Visitor

if TYPE_CHECKING:
    from ingest.guest.limits import GuestLimits
    from runtime.clock import Clock


class Gate:
    """The one door of a worker's cameras. All methods within one event loop."""

    def __init__(self, clock: Clock, limits: GuestLimits) -> None:
        self._clock = clock
        self._admission = Admission(limits)
        self._visits: dict[Place, Visit] = {}
        self._timer: asyncio.Task[None] | None = None
        self._timer_due_ns = 0

    @property
    def admission(self) -> Admission:
        """The places, for looking at."""
        return self._admission

    @asynccontextmanager
    async def visit(self, visitor: Visitor) -> AsyncIterator[Visit]:
        """Wait for the turn, and hold the session for the block; its error tells whether the host answers.

        Where others wait for the session the block is cancelled once it has shown its key picture, and the
        caller goes on behind it (`Visit.recalled`). Cancelled from outside at any point, it leaves nothing behind.
        Raises SourceUnreachable, with reason `no_key_picture` or (in the handshake) `stall`, when the visit was
        over before a key picture came.
        """
        place = self._admission.ask(visitor, self._clock.monotonic_ns())
        visit = self._visits[place] = Visit(self, place)
        reason = ""
        try:
            self._advance()
            await visit.turn
            opening = True
            try:
                with visit.cancelled_by_recall():
                    yield visit
            finally:
                opening = place.phase is Phase.OPENING
            if place.recalled and not place.seen:
                raise _nothing_seen(visitor.source_id, "stall" if opening else "no_key_picture")
        except GridwhistleError as error:
            reason = error.reason
            raise
        finally:
            del self._visits[place]
            self._admission.leave(place, self._clock.monotonic_ns(), reason)
            self._advance()

    def opened(self, place: Place) -> None:
        """A handshake is over."""
        self._admission.opened(place)
        self._advance()

    def seen(self, place: Place) -> None:
        """The first key picture of a visit came."""
        self._admission.patrol.seen(place, self._clock.monotonic_ns())
        self._advance()

    def stay(self, place: Place, seconds: float) -> bool:
        """Let a visit last for so long from now on, though others wait; False when too many do."""
        now_ns = self._clock.monotonic_ns()
        stays = self._admission.patrol.stay(place, now_ns + round(seconds * SECOND), now_ns)
        self._advance()
        return stays

    def stays(self, place: Place) -> bool:
        """Whether a visit lasts for some time now though others wait."""
        return place.stays_ns > self._clock.monotonic_ns()

    def hurry(self, source_id: str) -> bool:
        """Let this camera go before the others; whether it waits at all."""
        waiting = [each for each in self._visits if each.phase is Phase.WAITING]
        mine = [each for each in waiting if each.visitor.source_id == source_id]
        for place in mine:
            self._admission.hurry(place, self._clock.monotonic_ns())
        self._advance()
        return bool(mine)

    def change_limits(self, limits: GuestLimits) -> None:
        """Take other limits from now on; those that are over a lower one end as visits do, one after the other."""
        if limits != self._admission.limits:
            self._admission.change_limits(limits, self._clock.monotonic_ns())
            self._advance()

    def _advance(self) -> None:
        now_ns = self._clock.monotonic_ns()
        for place in self._admission.grant(now_ns):
            turn = self._visits[place].turn
            # One that was cancelled a moment ago gives its place back when its task runs.
            if not turn.done():
                turn.set_result(None)
        for place in self._admission.recall(now_ns):
            self._visits[place].recall()
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
    """The right to connect once. `turn` is done when it may be used."""

    __slots__ = ("_gate", "_place", "_task", "turn")

    def __init__(self, gate: Gate, place: Place) -> None:
        self._gate = gate
        self._place = place
        self._task: asyncio.Task[object] | None = None
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def recalled(self) -> bool:
        """Whether it was ended for the sake of others."""
        return self._place.recalled

    @property
    def contested(self) -> bool:
        """Whether others wait for the session that it uses, or would use."""
        return any(bound.contested for bound in self._place.lane.shared)

    @property
    def stays(self) -> bool:
        """Whether it lasts for some time now though others wait."""
        return self._gate.stays(self._place)

    def opened(self) -> None:
        """The handshake is over: the next camera may begin its own."""
        self._gate.opened(self._place)

    def seen(self) -> None:
        """A key picture came; cheap to call with each of them."""
        if not self._place.seen:
            self._gate.seen(self._place)

    def stay(self, seconds: float) -> bool:
        """Let it last for so long from now on, though others wait. False when it ends already, or when half of the
        sessions stay so."""
        return self._gate.stay(self._place, seconds)

    def recall(self) -> None:
        """End the block that holds the visit."""
        if self._task is not None:
            self._task.cancel()

    @contextmanager
    def cancelled_by_recall(self) -> Iterator[None]:
        """A block that `recall` cancels, as asyncio.timeout does; cancelled by others, too, it stays cancelled."""
        task = self._task = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        if self.recalled:
            task.cancel()
        try:
            yield
        except asyncio.CancelledError:
            if not self.recalled or task.uncancel() > before:
                raise
        except BaseException:
            if self.recalled:
                task.uncancel()
            raise
        finally:
            self._task = None


def _nothing_seen(source_id: str, reason: str) -> SourceUnreachable:
    return SourceUnreachable(
        f"{source_id} 在轮巡时限内没有关键帧, 让位给其他摄像机 (no key picture within its visit); "
        "关键帧间隔长的请增大 patrol_dwell_s (raise it for cameras with rare key pictures)",
        reason=reason,
    )
