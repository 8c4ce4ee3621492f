"""One measurement of the worker: all streams live, then everything counted over a window."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from bench.load.consumer import AskSeen, Seen
from bench.load.control import AskStatus, Done, ResetLate, Status
from bench.load.ledger import I64, Comparison, compare, gaps
from bench.load.progress import tell
from bench.load.rig import Rig, RigPlan, rig
from bench.load.usage import Usage, kernel_tcp_mb, receiving_tcp_mb, usage
from contracts.instant import MS, SECOND

_SETTLE_S: Final = 6.0
"""After the last stream became live: its marks, baselines and reports are as they stay."""
_ARRIVE_S: Final = 4.0
"""After the window: its last pictures had time to arrive."""
_SAMPLE_S: Final = 5.0
_LATE_MS_MAX: Final = 100
"""A load server that is later than this did not send what it should."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a run; what cannot be known is null and `notes` say why. MB are 10^6 bytes.

    `cpu_*` are CPU milliseconds per live stream and second of the window; the worker's user and system share and
    those of the three others. `rss_mb`: the worker with its children at the end of the window. `kernel_tcp_mb`:
    the receiving sockets (`ss -tm`), else all TCP of the machine beyond that before the run. `handover_*`: last
    byte sent (by our load server; else: last byte read by the worker) to the announcement at the consumer.
    `lost_key_pictures`: sent whole while the stream was live, from its first one seen to the end of the window,
    and never seen by the consumer. `replaced_key_pictures`: overtaken within the link before anybody asked.
    """

    clip: str
    streams: int
    live: int
    suspect: int
    seconds: float
    cold_start_s: float | None
    key_pictures_per_s: float
    due_key_pictures: int | None
    lost_key_pictures: int | None
    lost_streams: int | None
    replaced_key_pictures: int
    missed_pulls: int
    left_out_by_server: int | None
    cpu_ms_per_stream_s: float
    cpu_user_ms: float
    cpu_system_ms: float
    cores: float
    rss_mb: float
    peak_rss_mb: float
    kernel_tcp_mb: float
    kernel_tcp_both_ends_mb: float
    reconnects: int | None
    handover_p50_ms: float | None
    handover_p99_ms: float | None
    handover_max_ms: float | None
    link_p99_ms: float | None
    sent_mb: float | None
    received_mb: float | None
    server_cpu_ms: float | None
    server_late_p99_ms: int | None
    consumer_cpu_ms: float
    catalogue_and_log_cpu_ms: float
    counters: dict[str, float]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Moment:
    """Everything at one end of the window."""

    at_ns: int
    worker: Usage
    consumer: Usage
    us_s: float
    server: Status | None
    seen: Seen


async def moment(rigged: Rig) -> Moment:
    """Read all counts now."""
    times = os.times()
    server = None if rigged.server is None else await rigged.server.ask(AskStatus(), Status)
    seen = await rigged.consumer.ask(AskSeen(), Seen)
    return Moment(
        rigged.clock.monotonic_ns(),
        rigged.worker(),
        usage(rigged.consumer.pid),
        times.user + times.system,
        server,
        seen,
    )


async def run_trial(plan: RigPlan, folder: Path, *, seconds: float, start_s: float) -> Result:
    """Measure for `seconds` once all are live, or `start_s` after the start with those that are.

    Raises ConfigError, LinkClosed.
    """
    tcp_before_mb = kernel_tcp_mb()
    async with rig(plan, folder) as rigged:
        cold_start_s = await all_live(rigged, start_s)
        await rigged.clock.asleep(_SETTLE_S)
        if rigged.server is not None:
            await rigged.server.ask(ResetLate(), Done)
        begin = await moment(rigged)
        both_ends_mb = tcp_mb = 0.0
        while (left_s := seconds - (rigged.clock.monotonic_ns() - begin.at_ns) / SECOND) > 0:
            await rigged.clock.asleep(min(_SAMPLE_S, left_s))
            rigged.worker()
            tell(f"测量中 (measuring): 在线 live {rigged.arriving():,}/{plan.streams:,}")
            both_ends_mb = max(both_ends_mb, kernel_tcp_mb() - tcp_before_mb)
            if rigged.ready is not None:
                tcp_mb = max(tcp_mb, receiving_tcp_mb(rigged.ready.port) or 0.0)
        end = await moment(rigged)
        live, suspect = rigged.arriving(), _suspect(rigged)
        await rigged.clock.asleep(_ARRIVE_S)
        seen, link_ns = await rigged.seen()
        sent = await rigged.sent()
        counters = rigged.worker_counters()
        notes = [] if cold_start_s is not None else [f"{start_s:g} 秒内未全部在线 (not all live in time)"]
        return _result(
            plan,
            _Figures(begin, end, live, suspect, cold_start_s, tcp_mb or None, both_ends_mb, counters, notes),
            seen,
            link_ns,
            sent,
        )


async def all_live(rigged: Rig, start_s: float) -> float | None:
    """Wait until every camera is live; seconds from now, None when it takes longer than `start_s`."""
    clock, wanted = rigged.clock, rigged.plan.streams
    began_ns = told_ns = clock.monotonic_ns()

    def reached() -> bool:
        nonlocal told_ns
        now_ns = clock.monotonic_ns()
        if now_ns - told_ns >= _SAMPLE_S * SECOND:
            told_ns = now_ns
            tell(f"正在接入 (connecting): {rigged.arriving():,}/{wanted:,}")
        return rigged.arriving() >= wanted

    in_time = await rigged.wait_until(reached, start_s)
    return (clock.monotonic_ns() - began_ns) / SECOND if in_time else None


def _suspect(rigged: Rig) -> int:
    return sum(change.state == "suspect" for change in rigged.end.sources.values())


@dataclass(frozen=True, slots=True)
class _Figures:
    begin: Moment
    end: Moment
    live: int
    suspect: int
    cold_start_s: float | None
    receiving_tcp_mb: float | None
    both_ends_tcp_mb: float
    counters: dict[str, float]
    notes: list[str]


def _result(plan: RigPlan, figures: _Figures, seen: I64, link_ns: I64, sent: I64 | None) -> Result:
    begin, end, notes = figures.begin, figures.end, figures.notes
    span_s = (end.at_ns - begin.at_ns) / SECOND
    stream_s = max(figures.live, 1) * span_s

    def ms(seconds: float) -> float:
        return round(seconds * 1000 / stream_s, 4)

    comparison = _compare(plan, sent, seen, end.at_ns)
    in_window = _compare(plan, sent, seen, end.at_ns, begin.at_ns)
    lost, lost_streams = None, None
    if comparison is not None:
        lost, lost_streams = len(comparison.lost), len({stream for stream, _ in comparison.lost})
    elif len(seen):
        lost = gaps(seen)
        notes.append("发送方清单不可得: 丢失数为计数器断档 (no sender's list: losses are gaps between counters)")
    else:
        notes.append("画面无计数标记: 丢失数未知 (the streams carry no counters of ours: losses are unknown)")
    latency_ns = in_window.latency_ns if in_window is not None else link_ns
    if in_window is None:
        notes.append("交付时延自本进程收齐起算 (handover counts from the last byte read, not sent)")
    if end.server is not None and end.server.late_p99_ms > _LATE_MS_MAX:
        notes.append(
            f"负载服务器落后 {end.server.late_p99_ms} ms, 机器过忙, 数字不可用 (the load server was late: the "
            "machine is too busy, the figures are not those of so many full streams)"
        )
    worker_s = end.worker.cpu_s - begin.worker.cpu_s
    server_begin, server_end = begin.server, end.server
    counters = figures.counters
    return Result(
        clip=plan.clip.value if plan.url_template is None else "external",
        streams=plan.streams,
        live=figures.live,
        suspect=figures.suspect,
        seconds=round(span_s, 1),
        cold_start_s=None if figures.cold_start_s is None else round(figures.cold_start_s, 1),
        key_pictures_per_s=round((end.seen.key_pictures - begin.seen.key_pictures) / span_s, 1),
        due_key_pictures=None if comparison is None else comparison.due,
        lost_key_pictures=lost,
        lost_streams=lost_streams,
        replaced_key_pictures=int(counters.get("pictures_replaced", 0)),
        missed_pulls=end.seen.missed,
        left_out_by_server=None if server_end is None else server_end.pictures_left_out,
        cpu_ms_per_stream_s=ms(worker_s),
        cpu_user_ms=ms(end.worker.user_s - begin.worker.user_s),
        cpu_system_ms=ms(end.worker.system_s - begin.worker.system_s),
        cores=round(worker_s / span_s, 3),
        rss_mb=round(end.worker.rss_mb, 1),
        peak_rss_mb=round(end.worker.peak_mb, 1),
        kernel_tcp_mb=round(figures.receiving_tcp_mb or figures.both_ends_tcp_mb, 1),
        kernel_tcp_both_ends_mb=round(figures.both_ends_tcp_mb, 1),
        reconnects=_reconnects(plan, server_end, counters),
        handover_p50_ms=_percentile(latency_ns, 50),
        handover_p99_ms=_percentile(latency_ns, 99),
        handover_max_ms=_percentile(latency_ns, 100),
        link_p99_ms=_percentile(link_ns, 99),
        sent_mb=None if server_end is None else round(server_end.bytes_sent / 1e6, 1),
        received_mb=round(counters["bytes_received"] / 1e6, 1) if "bytes_received" in counters else None,
        server_cpu_ms=None
        if server_begin is None or server_end is None
        else ms(_cpu_s(server_end) - _cpu_s(server_begin)),
        server_late_p99_ms=None if server_end is None else server_end.late_p99_ms,
        consumer_cpu_ms=ms(end.consumer.cpu_s - begin.consumer.cpu_s),
        catalogue_and_log_cpu_ms=ms(end.us_s - begin.us_s),
        counters=counters,
        notes=notes,
    )


def _compare(plan: RigPlan, sent: I64 | None, seen: I64, until_ns: int, from_ns: int = 0) -> Comparison | None:
    if sent is None:
        return None
    return compare(sent, seen, from_ns=from_ns, until_ns=until_ns, live=np.arange(plan.streams))


def _percentile(values_ns: I64, percent: float) -> float | None:
    return round(float(np.percentile(values_ns, percent)) / MS, 1) if len(values_ns) else None


def _reconnects(plan: RigPlan, server: Status | None, counters: dict[str, float]) -> int | None:
    if server is not None:
        return max(server.accepted - plan.streams, 0)
    begun = counters.get("sessions_begun")
    return None if begun is None else max(int(begun) - plan.streams, 0)


def _cpu_s(status: Status) -> float:
    return status.cpu_user_s + status.cpu_system_s
