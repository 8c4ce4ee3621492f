"""A process that plays one recording through a pool and prints the ids of its children; killed by a test."""

from __future__ import annotations

import asyncio
import sys

from ingest.media.link import Open
from ingest.media.pool import MediaPool, PoolLimits
from runtime.clock import SystemClock
from runtime.metrics import StageCounters


async def main(file: str) -> None:
    began = asyncio.Event()
    pool = MediaPool(SystemClock(), StageCounters("parent"), PoolLimits(processes=1))
    playing = asyncio.create_task(
        pool.play(
            Open(url=file, loop=True),
            source_id="a",
            take=lambda *_: began.set(),
            playing=lambda _: None,
        )
    )
    await began.wait()
    print(*pool.pids, flush=True)
    await playing


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
