"""The sender of one target: takes due rows from the outbox, tries them, hands the outcomes to the one writer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from alerts.delivery import outbox
from alerts.delivery.outbox import OutboxRow, Outcome
from alerts.delivery.target import RETRY_AFTER_MAX_S
from contracts.delivery import DeliveryState
from contracts.errors import DeliveryRejected, DeliveryUnavailable, LinkClosed, StoreBusy, StoreFull
from contracts.instant import SECOND, Instant, after, seconds
from runtime.log import CountedLog
from runtime.supervise import Backoff

if TYPE_CHECKING:
    from alerts.config import WebhookConfig
    from alerts.delivery.target import Target
    from alerts.store.database import Database
    from runtime.clock import Clock
    from runtime.metrics import StageCounters

_LOOK_S: Final = 5.0
"""Longest wait between two looks at the outbox."""
_DOWN_AFTER: Final = 3
"""Failures in a row after which the target counts as down: one probe at a time, with a back-off of its own."""

Record = Callable[[Outcome], Awaitable[None]]


class Sender:
    """Order per ticket is kept; tickets overtake one another. It only reads the database.

    A row stays in flight until its outcome is committed, so that no attempt is made of what is already settled;
    after a kill the row is sent again with the same id.
    """

    def __init__(
        self,
        target: Target,
        config: WebhookConfig,
        database: Database,
        record: Record,
        clock: Clock,
        counters: StageCounters,
    ) -> None:
        self._target = target
        self._config = config
        self._database = database
        self._record = record
        self._clock = clock
        self._counters = counters
        self._log = CountedLog(clock, interval_s=10.0)
        self._wake = asyncio.Event()
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        self._failures = 0
        self._pause = Backoff(config.retry_first_s, config.retry_max_s, target.name)
        self._not_before_ns = 0
        self._longest_ns = seconds(max(config.retry_max_s, RETRY_AFTER_MAX_S))

    def wake(self) -> None:
        """The outbox changed: look at once."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled. Attempts in flight are then cancelled and come again after the next start."""
        try:
            while True:
                self._wake.clear()
                try:
                    wait_s = await self._look()
                except (StoreFull, StoreBusy) as error:
                    self._log.warning(error.reason, "The outbox cannot be read now", error=str(error))
                    wait_s = _LOOK_S
                # Not wait_for: in Python 3.11 it loses a cancellation that comes together with the event.
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._wake.wait()
        finally:
            attempts = list(self._in_flight.values())
            for attempt in attempts:
                attempt.cancel()
            await asyncio.gather(*attempts, return_exceptions=True)

    async def _look(self) -> float:
        """Begin what may begin; returns how long to wait for the next look, seconds."""
        blocked_s = (self._not_before_ns - self._clock.monotonic_ns()) / SECOND
        if blocked_s > 0:
            return min(blocked_s, _LOOK_S)
        room = (1 if self._failures >= _DOWN_AFTER else self._config.in_flight) - len(self._in_flight)
        if room <= 0:
            return _LOOK_S
        now = self._clock.now()
        # As of before the read: an attempt that ends during it may be read as still waiting.
        busy = set(self._in_flight)
        found, next_at, depth = await asyncio.to_thread(self._read, now, room + len(busy))
        self._counters.gauge(f"outbox_waiting_{self._target.name}", float(depth[0]))
        self._counters.gauge(f"outbox_dead_{self._target.name}", float(depth[1]))
        begun = [each for each in found if each[0].id not in busy][:room]
        for row, attempts, created_at in begun:
            self._in_flight[row.id] = asyncio.create_task(self._attempt(row, attempts, created_at))
        if begun or next_at is None:
            return _LOOK_S
        return min(max((next_at - now) / SECOND, 0.05), _LOOK_S)

    def _read(
        self, now: Instant, limit: int
    ) -> tuple[list[tuple[OutboxRow, int, Instant]], Instant | None, tuple[int, int]]:
        with self._database.read() as connection:
            rows = outbox.due(connection, self._target.name, now, limit, horizon=after(now, self._longest_ns))
            found = [(row, *outbox.history(connection, row.id)) for row in rows]
            return (
                found,
                outbox.next_due(connection, self._target.name, now),
                outbox.depth(connection, self._target.name),
            )

    async def _attempt(self, row: OutboxRow, attempts: int, created_at: Instant) -> None:
        try:
            await self._target.send(row)
        except DeliveryUnavailable as error:
            outcome = self._unavailable(row, attempts, created_at, error)
        except DeliveryRejected as error:
            self._reached()
            self._log.warning("rejected", "A delivery was rejected", delivery_id=row.id, error=str(error))
            outcome = Outcome(id=row.id, state=DeliveryState.DEAD, at=self._clock.now(), error=str(error))
        else:
            self._reached()
            outcome = Outcome(id=row.id, state=DeliveryState.DELIVERED, at=self._clock.now())
        self._counters.count("deliveries", outcome.state.value)
        try:
            await self._record(outcome)
        except LinkClosed:
            # The service ends; after its next start the row is sent again with the same id.
            return
        finally:
            del self._in_flight[row.id]
            self._wake.set()

    def _reached(self) -> None:
        self._failures = 0
        self._pause.succeeded()

    def _unavailable(
        self, row: OutboxRow, attempts: int, created_at: Instant, error: DeliveryUnavailable
    ) -> Outcome:
        now = self._clock.now()
        self._failures += 1
        self._log.warning("unavailable", "A delivery failed and is tried again", error=str(error))
        if self._failures >= _DOWN_AFTER:
            self._not_before_ns = self._clock.monotonic_ns() + seconds(self._pause.failed())
        if self._config.give_up_s and now - created_at > seconds(self._config.give_up_s):
            return Outcome(id=row.id, state=DeliveryState.DEAD, at=now, error=f"过期未送达 (given up): {error}")
        backoff = Backoff(self._config.retry_first_s, self._config.retry_max_s, f"{row.id}:{attempts}")
        backoff.failures = attempts
        delay_s = max(backoff.failed(), error.retry_after_s or 0.0)
        return Outcome(
            id=row.id,
            state=DeliveryState.RETRYING,
            at=now,
            next_attempt_at=after(now, seconds(delay_s)),
            error=str(error),
        )
