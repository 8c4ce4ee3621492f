"""Every service says of itself, about every 2 s, what it received, sent, dropped and refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from contracts import wire
from contracts.errors import LinkError

if TYPE_CHECKING:
    from runtime.clock import Clock
    from runtime.log_link import LogSender
    from runtime.metrics import StageCounters


async def report_forever(
    counters: StageCounters, sender: LogSender, site: str, instance: str, clock: Clock, *, every_s: float = 2.0
) -> None:
    """Send HealthReports until cancelled. A full link only costs the report of that moment."""
    started_at = clock.now()
    while True:
        report = counters.report(site, instance, clock.now(), started_at)
        report = msgspec.structs.replace(report, refused=counters.take_refused())
        try:
            await sender.send([wire.encode(report)], deadline_s=every_s)
        except LinkError as error:
            counters.count("health_reports_dropped", error.reason)
            for note in report.refused:
                counters.note(note)
        await clock.asleep(every_s)
