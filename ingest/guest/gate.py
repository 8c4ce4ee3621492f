"""The gate: cameras wait here for their turn to connect; `Admission` decides, the clock and the tasks are here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from contracts.errors import GridwhistleError, SourceUnreachable
from contracts.instant import SECOND
from ingest.guest.admission import Admission
from ingest.guest.place import Phase, Place, Visitor

if TYPE_CHECKING:
    from types import TracebackType

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

    def visit(self, visitor: Visitor) -> Visit:
        """A visit to be entered (`async with`): it waits for its turn, and holds the session for the block."""
        return Visit(self, visitor)

    def come(self, visit: Visit, visitor: Visitor) -> Place:
        """Stand in line."""
        place = self._admission.ask(visitor, self._clock.monotonic_ns())
        self._visits[place] = visit
        return place

    def leave(self, place: Place, reason: str) -> None:
        """Give the place back; `reason`: code of what ended the visit, "" when nothing did."""
        del self._visits[place]
        self._admission.leave(place, self._clock.monotonic_ns(), reason)
        self.advance()

    def opened(self, place: Place) -> None:
        """A handshake is over."""
        self._admission.opened(place)
        self.advance()

    def seen(self, place: Place) -> None:
        """The first key picture of a visit came."""
        self._admission.patrol.seen(place, self._clock.monotonic_ns())
        self.advance()

    def stay(self, place: Place, seconds: float) -> bool:
        """Let a visit last for so long from now on, though others wait; False when too many do."""
        now_ns = self._clock.monotonic_ns()
        stays = self._admission.patrol.stay(place, now_ns + round(seconds * SECOND), now_ns)
        self.advance()
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
        self.advance()
        return bool(mine)

    def change_limits(self, limits: GuestLimits) -> None:
        """Take other limits from now on; those that are over a lower one end as visits do, one after the other."""
        if limits != self._admission.limits:
            self._admission.change_limits(limits, self._clock.monotonic_ns())
            self.advance()

    def advance(self) -> None:
        """Let in whose turn it is, and call back whose visit is over."""
        now_ns = self._clock.monotonic_ns()
        for place in self._admission.grant(now_ns):
            self._visits[place].grant()
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
        self.advance()


class Visit:
    """The right to connect once; its block's error tells whether the host answers.

    Where others wait for the session the block is cancelled once it has shown its key picture, and the caller goes
    on behind it (`recalled`), as with asyncio.timeout. Cancelled from outside at any point, it leaves nothing
    behind, and stays cancelled. Raises SourceUnreachable, with reason `no_key_picture` or (in the handshake)
    `stall`, when the visit was over before a key picture came.

    A class, not two generators: thousands are held for hours.
    """

    __slots__ = ("_before", "_gate", "_place", "_task", "_turn", "_visitor")

    def __init__(self, gate: Gate, visitor: Visitor) -> None:
        self._gate = gate
        self._visitor = visitor
        self._place: Place | None = None
        self._task: asyncio.Task[object] | None = None
        self._before = 0
        self._turn: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Visit:
        turn = self._turn = asyncio.get_running_loop().create_future()
        place = self._place = self._gate.come(self, self._visitor)
        try:
            self._gate.advance()
            await turn
        except BaseException:
            self._gate.leave(place, "")
            raise
        self._turn = None
        task = self._task = asyncio.current_task()
        assert task is not None
        self._before = task.cancelling()
        if place.recalled:
            task.cancel()
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        place, task, self._task = self.place, self._task, None
        assert task is not None
        ours = False
        if isinstance(error, asyncio.CancelledError):
            ours = place.recalled and task.uncancel() <= self._before
        elif error is not None and place.recalled:
            task.uncancel()
        if (error is None or ours) and place.recalled and not place.seen:
            opening = place.phase is Phase.OPENING
            error = _nothing_seen(self._visitor.source_id, "stall" if opening else "no_key_picture")
            self._gate.leave(place, error.reason)
            raise error from None
        self._gate.leave(place, error.reason if isinstance(error, GridwhistleError) else "")
        return ours

    @property
    def place(self) -> Place:
        """Its place, once entered."""
        assert self._place is not None, "a visit is entered first"
        return self._place

    def grant(self) -> None:
        """It is its turn. One that was cancelled a moment ago gives its place back when its task runs."""
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    @property
    def recalled(self) -> bool:
        """Whether it was ended for the sake of others."""
        return self.place.recalled

    @property
    def contested(self) -> bool:
        """Whether others wait for the session that it uses, or would use."""
        return any(bound.contested for bound in self.place.lane.shared)

    @property
    def stays(self) -> bool:
        """Whether it lasts for some time now though others wait."""
        return self._gate.stays(self.place)

    def opened(self) -> None:
        """The handshake is over: the next camera may begin its own."""
        self._gate.opened(self.place)

    def seen(self) -> None:
        """A key picture came; cheap to call with each of them."""
        if not self.place.seen:
            self._gate.seen(self.place)

    def stay(self, seconds: float) -> bool:
        """Let it last for so long from now on, though others wait. False when it ends already, or when half of the
        sessions stay so."""
        return self._gate.stay(self.place, seconds)

    def recall(self) -> None:
        """End the block that holds the visit."""
        if self._task is not None:
            self._task.cancel()


def _nothing_seen(source_id: str, reason: str) -> SourceUnreachable:
    return SourceUnreachable(
        f"{source_id} 在轮巡时限内没有关键帧, 让位给其他摄像机 (no key picture within its visit); "
        "关键帧间隔长的请增大 patrol_dwell_s (raise it for cameras with rare key pictures)",
        reason=reason,
    )
