"""What others spend on the same streams: an ffmpeg per camera, decoding or copying, a PyAV thread per camera.

FFmpeg decodes with one thread per camera (`-threads 1`), which is its cheapest way.
"""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from bench.load.control import AskStatus, Status
from bench.load.process import LineProcess
from bench.load.progress import tell
from bench.load.rig import RigPlan, load_server
from bench.load.usage import usage
from contracts.errors import LinkClosed
from contracts.instant import SECOND
from runtime.clock import SystemClock

_START_S: Final = 90.0
_SETTLE_S: Final = 8.0
"""FFmpeg looks at a stream for up to 5 s before it decodes."""
FULL_DECODE: Final = "ffmpeg full decode per camera"
COPY: Final = "ffmpeg -c copy per camera"
PYAV: Final = "PyAV thread per camera"


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """One way of receiving. `ratio_*`: its CPU per stream over ours, at as many streams and at all of the run.

    `left_out`: pictures that the load server could not send because the receiver was too slow.
    """

    name: str
    streams: int
    playing: int
    cpu_ms_per_stream_s: float
    rss_mb_per_stream: float
    left_out: int
    ratio_same: float | None = None
    ratio_all: float | None = None


async def run_baselines(plan: RigPlan, *, seconds: float) -> tuple[list[Baseline], list[str]]:
    """Measure each way with `plan.streams` cameras of a load server; and notes on what was skipped.

    Raises ConfigError, LinkClosed.
    """
    found: list[Baseline] = []
    notes: list[str] = []
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        notes.append("未安装 ffmpeg, 两项基线跳过 (no ffmpeg: two baselines skipped)")
    async with load_server(plan.clip, plan.streams) as (server, ready):
        template = f"rtsp://127.0.0.1:{ready.port}/cam/{{i}}"
        if ffmpeg is not None:
            for name, before, after in ((FULL_DECODE, ["-threads", "1"], []), (COPY, [], ["-c", "copy"])):
                start = [ffmpeg, "-nostdin", "-loglevel", "error", "-rtsp_transport", "tcp", *before, "-i"]
                commands = [
                    [*start, template.replace("{i}", str(number)), *after, "-f", "null", "-"]
                    for number in range(plan.streams)
                ]
                async with _processes(commands) as pids:
                    found.append(await _measure(name, plan.streams, server, pids, seconds))
        process = await LineProcess.start("bench.load.pyav_threads", [template, str(plan.streams)])
        try:
            found.append(await _measure(PYAV, plan.streams, server, [process.pid], seconds))
        finally:
            await process.stop()
    return found, notes


def with_ratios(baselines: Sequence[Baseline], same_ms: float, all_ms: float) -> list[Baseline]:
    """The baselines with their ratios to our CPU per stream and second, at as many streams and at all."""
    return [
        msgspec.structs.replace(
            each,
            ratio_same=round(each.cpu_ms_per_stream_s / same_ms, 1),
            ratio_all=round(each.cpu_ms_per_stream_s / all_ms, 1),
        )
        for each in baselines
    ]


@asynccontextmanager
async def _processes(commands: Sequence[Sequence[str]]) -> AsyncIterator[list[int]]:
    running = [
        await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=DEVNULL) for command in commands
    ]
    try:
        yield [process.pid for process in running]
    finally:
        for process in running:
            if process.returncode is None:
                process.kill()
        await asyncio.gather(*(process.wait() for process in running))


async def _measure(name: str, streams: int, server: LineProcess, pids: list[int], seconds: float) -> Baseline:
    clock = SystemClock()
    deadline_ns = clock.monotonic_ns() + round(_START_S * SECOND)
    while (await server.ask(AskStatus(), Status)).playing < streams:
        if clock.monotonic_ns() > deadline_ns:
            break
        await clock.asleep(0.5)
    await clock.asleep(_SETTLE_S)
    tell(f"基线测量中 (measuring the baseline): {name}")
    try:
        begin, begin_ns = [usage(pid) for pid in pids], clock.monotonic_ns()
        status_before = await server.ask(AskStatus(), Status)
        await clock.asleep(seconds)
        end, end_ns = [usage(pid) for pid in pids], clock.monotonic_ns()
    except ProcessLookupError:
        raise LinkClosed(f"基线 {name} 的进程提前退出 (a process of the baseline ended)") from None
    status = await server.ask(AskStatus(), Status)
    cpu_s = sum(each.cpu_s for each in end) - sum(each.cpu_s for each in begin)
    found = Baseline(
        name=name,
        streams=streams,
        playing=status.playing,
        cpu_ms_per_stream_s=round(cpu_s * 1000 * SECOND / (streams * (end_ns - begin_ns)), 3),
        rss_mb_per_stream=round(sum(each.rss_mb for each in end) / streams, 2),
        left_out=status.pictures_left_out - status_before.pictures_left_out,
    )
    tell(f"基线 (baseline) {name}: {found.cpu_ms_per_stream_s} ms CPU")
    return found
