"""The load server of bench.pipeline: the cameras of a quiet county, one kind of place, and a fire to be staged.

    python -m bench.county_server --clip yard --port 0 [--groups 6]

Speaks like bench.load_server. Without --port (as `make bench` runs it) it says what its clips need.
"""

from __future__ import annotations

import argparse
import sys

from bench.load.clips import KEY_INTERVAL
from bench.load.control import serve_clip
from bench.load.county_clips import BURNS, GROUPS, CountyClip, county_clip
from bench.load.open_files import allow_open_files
from bench.load_server import keep_time
from contracts.errors import ConfigError


def main() -> int:
    """Serve, or print the clips' figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="监听地址 address to listen on")
    parser.add_argument("--port", type=int, help="监听端口, 0 = 任一空闲 port, 0 = any free one")
    parser.add_argument("--clip", type=CountyClip, default=CountyClip.YARD, choices=list(CountyClip))
    parser.add_argument("--groups", type=int, default=GROUPS, help="片段的画面组数 groups of pictures in a clip")
    parser.add_argument("--streams", type=int, default=4_000, help="最多连接数 most connections at once")
    options = parser.parse_args()
    try:
        if options.port is None:
            show_clips()
            return 0
        burning = None
        if options.clip in BURNS:
            burning = county_clip(options.clip, burning=True, groups=options.groups)
        clip = county_clip(options.clip, groups=options.groups)
        allow_open_files(options.streams + 100)
        keep_time()
        serve_clip(clip, options.host, options.port, staged=burning)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def show_clips() -> None:
    """One line per clip."""
    for name in CountyClip:
        for burning in (False, True) if name in BURNS else (False,):
            clip = county_clip(name, burning=burning, groups=2)
            sizes = clip.sizes()
            others = [size for number, size in enumerate(sizes) if number % KEY_INTERVAL]
            print(
                f"{name + (' burning' if burning else ''):<20} {clip.bit_rate / 1000:6.0f} kb/s  "
                f"key <= {max(sizes)} B, others <= {max(others)} B"
            )


if __name__ == "__main__":
    sys.exit(main())
