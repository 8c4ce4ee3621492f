"""The load server by itself, for measurements from another machine: `python -m bench.load_server --port 8554`.

Serves `rtsp://HOST:PORT/cam/{i}` for any i; JSON lines on standard input ask and steer (bench.load.control), its
end stops the server. Without --port (as `make bench` runs it) it shows that the clips have what they promise.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress

from bench.load.clips import KEY_INTERVAL, ClipName, make_clip
from bench.load.control import serve
from bench.load.open_files import allow_open_files
from contracts.errors import ConfigError


def main() -> int:
    """Serve, or print the clips' figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="监听地址 address to listen on")
    parser.add_argument("--port", type=int, help="监听端口, 0 = 任一空闲 port, 0 = any free one")
    parser.add_argument("--clip", type=ClipName, default=ClipName.NORMAL, choices=list(ClipName))
    parser.add_argument("--streams", type=int, default=4_000, help="最多连接数 most connections at once")
    parser.add_argument("--in-pairs", action="store_true", help="每次发送两帧 two pictures with one send")
    options = parser.parse_args()
    try:
        if options.port is None:
            show_clips()
        else:
            allow_open_files(options.streams + 100)
            keep_time()
            serve(options.clip, options.host, options.port, in_pairs=options.in_pairs)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def keep_time() -> None:
    """Go first on the machine where we may: cameras do not slow down because their receiver is busy."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)


def show_clips() -> None:
    """One line per clip."""
    for name in ClipName:
        clip = make_clip(name)
        sizes = clip.sizes()
        others = [size for number, size in enumerate(sizes) if number % KEY_INTERVAL]
        print(
            f"{name:<10} {clip.width}x{clip.height}  {clip.bit_rate / 1000:6.0f} kb/s  "
            f"key <= {max(sizes)} B, others <= {max(others)} B"
        )


if __name__ == "__main__":
    sys.exit(main())
