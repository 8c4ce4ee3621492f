"""The camera worker under load: CPU per stream, memory, losses and handover; see docs/design/ingest-measured.md.

    python -m bench.ingest --streams 3700 --seconds 600 --json
    python -m bench.ingest --url-template 'rtsp://HOST:PORT/cam/{i}' --streams N --seconds S --json

--bare measures the bare receiver too, --scale 100,500,1000,3700 how CPU grows, --baselines 40 what ffmpeg and PyAV
spend on the same streams. Without --url-template our load server runs on this machine. The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import replace

import msgspec

from bench.load.bare_trial import run_bare
from bench.load.baselines import run_baselines, with_ratios
from bench.load.clips import ClipName
from bench.load.growth import exponent, linear_or_better
from bench.load.program import scratch_folder
from bench.load.progress import tell
from bench.load.rig import RigPlan
from bench.load.trial import Result, run_trial
from contracts.errors import GridwhistleError


def options() -> argparse.Namespace:
    """The command line. Defaults are short, for `make bench`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url-template", help="任一 RTSP 服务器, 含 {i} any RTSP server, with {i}")
    parser.add_argument("--streams", type=int, default=100, help="路数 streams")
    parser.add_argument("--seconds", type=float, default=20.0, help="测量时长 length of the window, s")
    parser.add_argument(
        "--beside-seconds",
        type=float,
        default=60.0,
        help="裸接收与对比各测多久的上限 longest window of what is measured beside it, s",
    )
    parser.add_argument("--start-seconds", type=float, default=400.0, help="等待全部在线的上限 wait for all, s")
    parser.add_argument("--clip", type=ClipName, default=ClipName.NORMAL, choices=list(ClipName))
    parser.add_argument("--hosts", type=int, default=1, help="分散到 N 个本机地址 spread over so many addresses")
    parser.add_argument(
        "--in-pairs", action="store_true", help="每次发送两帧 our server sends two pictures at once"
    )
    parser.add_argument(
        "--ingest", action="append", default=[], metavar="KEY=VALUE", help="[ingest] 的设置 settings"
    )
    parser.add_argument("--bare", action="store_true", help="另测裸接收 measure the bare receiver too")
    parser.add_argument("--scale", default="", help="逐一测量 one after the other, e.g. 100,500,1000,3700")
    parser.add_argument("--baselines", type=int, default=0, metavar="N", help="N 路对比 ffmpeg 与 PyAV baselines")
    parser.add_argument("--json", action="store_true", help="仅末行 JSON the last line alone")
    return parser.parse_args()


def settings(pairs: list[str]) -> dict[str, object]:
    """`key=value` with values as JSON, else as text."""
    found: dict[str, object] = {}
    for pair in pairs:
        key, _, text = pair.partition("=")
        try:
            found[key] = msgspec.json.decode(text)
        except msgspec.DecodeError:
            found[key] = text
    return found


async def measure(given: argparse.Namespace, plan: RigPlan) -> dict[str, object]:
    """Everything that was asked for; the figures of the largest run, and the others beside it."""
    counts = sorted(int(each) for each in given.scale.split(",")) if given.scale else [plan.streams]
    runs = [await _trial(given, replace(plan, streams=count), given.seconds) for count in counts]
    result = runs[-1]
    found: dict[str, object] = msgspec.to_builtins(result)
    if len(runs) > 1:
        growth = exponent(counts, [run.cpu_ms_per_stream_s for run in runs])
        found["scale"] = [
            {"streams": run.streams, "live": run.live, "cpu_ms_per_stream_s": run.cpu_ms_per_stream_s}
            for run in runs
        ]
        found["growth_exponent"] = round(growth, 3)
        found["linear_or_better"] = linear_or_better(growth)
    largest = replace(plan, streams=counts[-1])
    beside_s = min(given.seconds, given.beside_seconds)
    if given.bare:
        bare = await run_bare(largest, seconds=beside_s, start_s=given.start_seconds)
        tell(f"裸接收 (bare): {bare.cpu_ms_per_stream_s} ms CPU")
        found["bare"] = msgspec.to_builtins(bare)
    if given.baselines:
        few = replace(plan, streams=given.baselines, url_template=None, hosts=1)
        ours = await _trial(given, few, beside_s)
        others, notes = await run_baselines(few, seconds=beside_s)
        found["ours_at_baselines"] = ours.cpu_ms_per_stream_s
        found["baselines"] = msgspec.to_builtins(
            with_ratios(others, ours.cpu_ms_per_stream_s, result.cpu_ms_per_stream_s)
        )
        found["notes"] = [*result.notes, *notes]
    return found


async def _trial(given: argparse.Namespace, plan: RigPlan, seconds: float) -> Result:
    with scratch_folder() as folder:
        result = await run_trial(plan, folder, seconds=seconds, start_s=given.start_seconds)
    # At once: what was measured is not lost when a later part is ended.
    tell(
        f"{plan.streams:,} 路 (streams): {result.cpu_ms_per_stream_s} ms CPU, "
        f"丢失 (lost) {result.lost_key_pictures}, {result.rss_mb} MB, p99 {result.handover_p99_ms} ms"
    )
    return result


def main() -> int:
    """Measure; 1 when a stream was not live or a key picture was lost."""
    given = options()
    plan = RigPlan(
        streams=given.streams,
        clip=given.clip,
        url_template=given.url_template,
        hosts=given.hosts,
        in_pairs=given.in_pairs,
        ingest=settings(given.ingest),
    )
    try:
        found = asyncio.run(measure(given, plan))
    except GridwhistleError as error:
        print(error, file=sys.stderr)
        return 1
    if not given.json:
        for name, value in found.items():
            print(f"{name:<26} {value}")
    print(msgspec.json.encode(found).decode())
    return 0 if found["live"] == found["streams"] and not found["lost_key_pictures"] else 1


if __name__ == "__main__":
    sys.exit(main())
