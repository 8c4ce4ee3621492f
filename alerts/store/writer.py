"""The writer: one thread commits in strict order, so that the disk never blocks the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

from alerts.store import lease as leases
from alerts.store import snapshot as snapshots
from contracts.errors import StoreBusy, StoreFull
from contracts.instant import MS
from runtime.log import CountedLog
from runtime.supervise import Backoff, wait_or_stop

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from alerts.store.database import Database
    from alerts.store.journal import Committed, Journal, Work
    from alerts.store.lease import Lease
    from alerts.store.reserve import Reserve
    from alerts.store.snapshot import Snapshot
    from contracts.instant import Instant
    from runtime.clock import Clock
    from runtime.metrics import StageCounters

T = TypeVar("T")

_RETRY_FIRST_S: Final = 0.1
_RETRY_MAX_S: Final = 2.0
BUCKETS_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000)
"""Upper bounds of the histograms of steps and commits."""


class Writer:
    """Commits, snapshots and the reserve. A full disk or a locked database is waited out, never passed over."""

    def __init__(
        self,
        database: Database,
        lease: Lease,
        journal: Journal,
        reserve: Reserve,
        clock: Clock,
        counters: StageCounters,
        stop: asyncio.Event,
    ) -> None:
        self._database = database
        self._lease = lease
        self._journal = journal
        self._reserve = reserve
        self._clock = clock
        self._counters = counters
        self._stop = stop
        self._log = CountedLog(clock)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="alerts-writer")

    @property
    def step(self) -> int:
        """Number of the last committed step."""
        return self._journal.step

    async def commit(self, work: Work) -> Committed:
        """Write `work`; returns when it is on the disk.

        While the disk is full the reserve is given up and the commit tried again and again: nobody is told of
        what is not committed, so producers wait and nothing is lost. Raises StoreFull or StoreBusy only when
        stopped meanwhile; LeaseLost and other StoreErrors at once.
        """
        backoff = Backoff(_RETRY_FIRST_S, _RETRY_MAX_S, "commit")
        began_ns = self._clock.monotonic_ns()
        while True:
            try:
                committed = await self._run(lambda: self._journal.commit(work))
            except (StoreFull, StoreBusy) as error:
                self._counters.count("commits_failed", error.reason)
                self._counters.gauge("store_full", float(isinstance(error, StoreFull)))
                self._log.warning(error.reason, "A commit waits for the store", error=str(error))
                if isinstance(error, StoreFull) and self._reserve.release():
                    self._counters.count("reserve_released")
                    self._gauge_reserve()
                    continue
                if await wait_or_stop(self._clock, self._stop, backoff.failed()):
                    raise
            else:
                self._counters.gauge("store_full", 0.0)
                self._counters.count("commits")
                observe(self._counters, "commit_ms", self._clock.monotonic_ns() - began_ns)
                return committed

    async def save_snapshot(self, snapshot: Snapshot, *, changes_kept: int) -> bool:
        """Keep a snapshot; False when the store is full or busy now: the journal then reaches further back."""
        try:
            await self._run(
                lambda: snapshots.save(self._database, self._lease, snapshot, changes_kept=changes_kept)
            )
        except (StoreFull, StoreBusy) as error:
            self._counters.count("snapshots_failed", error.reason)
            return False
        self._counters.count("snapshots")
        self._counters.gauge("snapshot_bytes", float(len(snapshot.state)))
        return True

    async def note(self, write: Callable[[Connection], None]) -> None:
        """Write what is no step, e.g. versions, in a transaction of its own under the lease.

        Raises StoreFull and StoreBusy: nothing is written then, try again; LeaseLost and other StoreErrors.
        """
        await self._run(lambda: self._note(write))

    def _note(self, write: Callable[[Connection], None]) -> None:
        with self._database.write() as connection:
            if self._lease.fence(connection, self._clock.now()):
                write(connection)
        self._lease.commits += 1

    async def hold_reserve(self) -> None:
        """Take the reserve (again), once the disk has room for it."""
        await self._run(self._reserve.hold)
        self._gauge_reserve()

    async def release_lease(self, now: Instant) -> None:
        """The orderly end: the next engine may start at once."""
        await self._run(lambda: leases.release(self._database, self._lease, now))

    def close(self) -> None:
        """Wait for what is being written and end the thread."""
        self._thread.shutdown(wait=True)

    def _gauge_reserve(self) -> None:
        self._counters.gauge("store_reserve_bytes", float(self._reserve.size_bytes if self._reserve.held else 0))

    async def _run(self, function: Callable[[], T]) -> T:
        # Shielded: a cancelled caller must not make the next commit overtake one that is being written.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, function))


def observe(counters: StageCounters, name: str, took_ns: int) -> None:
    """Count a duration in its histogram bucket: `name:le_<ms>`, `name:le_inf` beyond the last."""
    for bound_ms in BUCKETS_MS:
        if took_ns <= bound_ms * MS:
            counters.count(name, f"le_{bound_ms}")
            return
    counters.count(name, "le_inf")
