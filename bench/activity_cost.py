"""What activity costs beside receiving: CPU per stream and second of each part, and its share.

One stream (640x360, 25 pictures/s, 512 kb/s, key picture every 2 s) comes through a socket pair into a Connection
as the worker has it, in the portions in which the low-water mark wakes it. The parts are timed each by itself,
many times, the best of five rounds; the shares are of receiving alone, so that of a whole worker they are less.

    python -m bench.activity_cost [seconds of stream]
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import sys
from collections.abc import Callable
from typing import Final

from rich.console import Console

from bench.load.clips import ClipName, make_clip
from bench.load.programme import Programme
from contracts.instant import SECOND, Instant
from ingest.between import CameraActivity
from ingest.rtsp.depacketize_h264 import H264Depacketizer
from ingest.rtsp.pool import ReceivePool
from ingest.rtsp.receive import Connection
from ingest.rtsp.received import Between
from runtime.clock import SystemClock

RATE, KEY_EVERY_S = 25, 2
PORTION: Final = 7_000
"""Bytes of one wake-up: half of a key picture of this clip."""
ROUNDS: Final = 5
CLOCK: Final = SystemClock()


def best_us(function: Callable[[], None], per: int) -> float:
    """Microseconds of one of the `per` units that a call does; the best of the rounds."""
    taken = []
    gc.disable()
    for _ in range(ROUNDS):
        before = CLOCK.monotonic_ns()
        function()
        taken.append(CLOCK.monotonic_ns() - before)
    gc.enable()
    return min(taken) / 1000.0 / per


def receiving(media: bytes) -> Callable[[], None]:
    """All of a stream, received once."""
    pool = ReceivePool(CLOCK)

    def run() -> None:
        here, there = socket.socketpair()
        here.setblocking(False)
        depacketizer = H264Depacketizer(lambda *_: None)
        connection = Connection(pool, here, lambda _: None, lambda *_: None)
        connection.depacketizer, connection.rtp_channel = depacketizer, 0
        for at in range(0, len(media), PORTION):
            there.send(media[at : at + PORTION])
            connection.read()
        connection.close()
        there.close()
        assert depacketizer.dropped_pictures > 0

    return run


def warm() -> tuple[CameraActivity, Callable[[int], None]]:
    """A camera that is warm, and what gives it one more key picture."""
    activity = CameraActivity()

    def interval(number: int) -> None:
        between = (49, 110_000 + number % 7 * 100, 3_000)
        activity.interval(between, 14_000, number, Instant(number * KEY_EVERY_S * SECOND))

    for number in range(200):
        interval(number)
    return activity, interval


def intervals(count: int) -> Callable[[], None]:
    """So many key pictures."""
    _, interval = warm()

    def run() -> None:
        for number in range(count):
            interval(200 + number)

    return run


def peeks(count: int) -> Callable[[], None]:
    """So many peeks, in an interval that does not end."""

    def run() -> None:
        activity, _ = warm()
        for number in range(1, count + 1):
            activity.peek(Between(24 * number, 53_000 * number, SECOND * number))

    return run


async def measure(seconds: int) -> dict[str, float]:
    """Microseconds of CPU for one stream and second by part, and shares of receiving."""
    programme = Programme(make_clip(ClipName.NORMAL), kept=seconds * RATE + 1)
    media = b"".join(programme.picture(number).framed(0) for number in range(seconds * RATE))
    count = 20_000
    receive_us = best_us(receiving(media), seconds)
    interval_us = best_us(intervals(count), count) / KEY_EVERY_S
    peek_us = best_us(peeks(count), count)
    return {
        "receive_us": round(receive_us, 1),
        "interval_us": round(interval_us, 2),
        "peek_us": round(peek_us, 2),
        "interval_share": round(interval_us / receive_us, 4),
        "peek_share": round(peek_us / receive_us, 4),
    }


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    figures = asyncio.run(measure(seconds))
    Console(stderr=True).print(
        "一路一秒的 CPU, 微秒 (CPU of one stream and second, us); 占接收的比例 (share of receiving)"
    )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
