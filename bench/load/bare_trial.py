"""Measuring the bare receiver against the load server."""

from __future__ import annotations

from typing import Final

import msgspec

from bench.load.addresses import server_template
from bench.load.bare import AskBare, BareCounts
from bench.load.open_files import allow_open_files
from bench.load.process import LineProcess
from bench.load.progress import tell
from bench.load.rig import RigPlan, load_server
from bench.load.usage import usage
from contracts.instant import SECOND
from ingest.config import IngestConfig
from runtime.clock import SystemClock

_SETTLE_S: Final = 6.0
_ASK_EVERY_S: Final = 2.0


class BareResult(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of the bare receiver, as in bench.load.trial.Result."""

    streams: int
    live: int
    seconds: float
    key_pictures_per_s: float
    cpu_ms_per_stream_s: float
    cpu_user_ms: float
    cpu_system_ms: float
    rss_mb: float
    sessions_ended: int


async def run_bare(plan: RigPlan, *, seconds: float, start_s: float) -> BareResult:
    """Measure for `seconds` once all are live, or `start_s` after the start. Raises LinkClosed."""
    if plan.url_template is not None:
        return await _measure(plan.url_template, plan, seconds, start_s)
    allow_open_files(plan.streams * 2 + 1_000)
    async with load_server(plan.clip, plan.streams, plan.hosts, in_pairs=plan.in_pairs) as (_, ready):
        return await _measure(server_template(ready.port, plan.hosts), plan, seconds, start_s)


async def _measure(template: str, plan: RigPlan, seconds: float, start_s: float) -> BareResult:
    clock = SystemClock()
    rate = plan.ingest.get("connect_rate_per_s", IngestConfig().connect_rate_per_s)
    process = await LineProcess.start("bench.load.bare", [template, str(plan.streams), str(rate), str(plan.hosts)])
    try:
        counts = await process.ask(AskBare(), BareCounts)
        deadline_ns = clock.monotonic_ns() + round(start_s * SECOND)
        while counts.streams < plan.streams and clock.monotonic_ns() < deadline_ns:
            await clock.asleep(_ASK_EVERY_S)
            counts = await process.ask(AskBare(), BareCounts)
            tell(f"裸接收正在接入 (bare receiver connecting): {counts.streams:,}/{plan.streams:,}")
        await clock.asleep(_SETTLE_S)
        first, begin, begin_ns = await process.ask(AskBare(), BareCounts), usage(process.pid), clock.monotonic_ns()
        await clock.asleep(seconds)
        last, end, end_ns = await process.ask(AskBare(), BareCounts), usage(process.pid), clock.monotonic_ns()
    finally:
        await process.stop()
    span_s = (end_ns - begin_ns) / SECOND
    stream_s = max(last.streams, 1) * span_s
    return BareResult(
        streams=plan.streams,
        live=last.streams - last.ended,
        seconds=round(span_s, 1),
        key_pictures_per_s=round((last.key_pictures - first.key_pictures) / span_s, 1),
        cpu_ms_per_stream_s=round((end.cpu_s - begin.cpu_s) * 1000 / stream_s, 4),
        cpu_user_ms=round((end.user_s - begin.user_s) * 1000 / stream_s, 4),
        cpu_system_ms=round((end.system_s - begin.system_s) * 1000 / stream_s, 4),
        rss_mb=round(end.rss_mb, 1),
        sessions_ended=last.ended,
    )
