"""The camera worker under load: CPU per stream, memory, losses and handover; see docs/design/ingest-measured.md.

    python -m bench.ingest --streams 3700 --seconds 600 --json
    python -m bench.ingest --url-template 'rtsp://HOST:PORT/cam/{i}' --streams N --seconds S --json

Without --url-template our load server runs on this machine. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

import msgspec

from bench.load.clips import ClipName
from bench.load.rig import RigPlan
from bench.load.trial import Result, run_trial
from contracts.errors import GridwhistleError


def options() -> argparse.Namespace:
    """The command line. Defaults are short, for `make bench`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url-template", help="任一 RTSP 服务器, 含 {i} any RTSP server, with {i}")
    parser.add_argument("--streams", type=int, default=100, help="路数 streams")
    parser.add_argument("--seconds", type=float, default=20.0, help="测量时长 length of the window, s")
    parser.add_argument("--start-seconds", type=float, default=400.0, help="等待全部在线的上限 wait for all, s")
    parser.add_argument("--clip", type=ClipName, default=ClipName.NORMAL, choices=list(ClipName))
    parser.add_argument("--hosts", type=int, default=1, help=">1: 每路一个本机地址 an address for each stream")
    parser.add_argument(
        "--ingest", action="append", default=[], metavar="KEY=VALUE", help="[ingest] 的设置 settings"
    )
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


def show(result: Result) -> None:
    """The figures for people."""
    for name, value in msgspec.to_builtins(result).items():
        print(f"{name:<26} {value}")


def main() -> int:
    """Measure; 1 when a stream was not live or a key picture was lost."""
    given = options()
    folder = Path(tempfile.mkdtemp(prefix="gw-"))
    plan = RigPlan(
        streams=given.streams,
        clip=given.clip,
        url_template=given.url_template,
        hosts=given.hosts,
        ingest=settings(given.ingest),
    )
    try:
        result = asyncio.run(run_trial(plan, folder, seconds=given.seconds, start_s=given.start_seconds))
    except GridwhistleError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not given.json:
        show(result)
    print(msgspec.json.encode(result).decode())
    return 0 if result.live == result.streams and not result.lost_key_pictures else 1


if __name__ == "__main__":
    sys.exit(main())
