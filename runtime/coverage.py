"""Ingest and inference tell every quarter of a minute what they saw of each camera in the minute before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from contracts import wire
from contracts.coverage import WINDOW_NS, CameraMinute, CoverageReport, CoverageStage
from contracts.errors import LinkError
from contracts.ids import derive_id
from contracts.instant import SECOND, Instant
from runtime.minute import QUARTER_NS, MinuteBook, quarter_end

if TYPE_CHECKING:
    from runtime.clock import Clock
    from runtime.log_link import LogSender
    from runtime.metrics import StageCounters

Rounds = Callable[[], Iterable[tuple[str, int | None]]]
"""The cameras that a process is there for, each with its round on patrol (see CameraMinute)."""

_LATE_S: Final = 0.05
"""Woken so long after the quarter's end: what came just before it was counted by then."""


class CoverageTeller:
    """Makes the reports of one process; `rounds` says which cameras it is there for now."""

    def __init__(
        self,
        stage: CoverageStage,
        book: MinuteBook,
        rounds: Rounds,
        counters: StageCounters,
        site: str,
        instance: str,
        clock: Clock,
    ) -> None:
        self._stage = stage
        self._book = book
        self._rounds = rounds
        self._counters = counters
        self._site = site
        self._instance = instance
        self._clock = clock
        self._started_ns = clock.monotonic_ns()
        self.started_at = clock.now()
        """Names this life of the process."""

    def report(self) -> CoverageReport:
        """The minute that ended with the last quarter; sets the process's own gauges of it."""
        now_ns = self._clock.monotonic_ns()
        end_ns = quarter_end(now_ns)
        at = Instant(self._clock.now() - (now_ns - end_ns))
        window_s = min(max(end_ns - self._started_ns, 0), WINDOW_NS) / SECOND
        cameras = tuple(self._minute(camera_id, round_s, end_ns) for camera_id, round_s in self._rounds())
        pictures = sum(each.pictures for each in cameras)
        self._counters.gauge(f"cameras_{self._stage}_60s", sum(each.pictures > 0 for each in cameras))
        self._counters.gauge(f"pictures_{self._stage}_per_s", pictures / window_s if window_s else 0.0)
        service = self._counters.service
        return CoverageReport(
            id=derive_id("coverage", self._site, service, self._instance, self.started_at, at),
            site=self._site,
            service=service,
            instance=self._instance,
            stage=self._stage,
            at=at,
            started_at=self.started_at,
            window_s=round(window_s, 3),
            cameras=cameras,
        )

    async def tell_forever(self, sender: LogSender) -> None:
        """Send a report at the end of every quarter until cancelled. A full link only costs that report."""
        while True:
            left_ns = QUARTER_NS - self._clock.monotonic_ns() % QUARTER_NS
            await self._clock.asleep(left_ns / SECOND + _LATE_S)
            try:
                await sender.send([wire.encode(self.report())], deadline_s=QUARTER_NS / SECOND)
            except LinkError as error:
                self._counters.count("coverage_not_sent", error.reason)

    def _minute(self, camera_id: str, round_s: int | None, end_ns: int) -> CameraMinute:
        last_ns = self._book.last_ns(camera_id)
        age_s = None if last_ns is None else max(end_ns - last_ns, 0) // SECOND
        return CameraMinute(camera_id, self._book.minute(camera_id, end_ns), age_s, round_s)
