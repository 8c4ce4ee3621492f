"""The bare receiver: sessions and buffer of ingest alone, without links, health or activity, in one process.

`python -m bench.load.bare TEMPLATE STREAMS CONNECTS_PER_S HOSTS`; its figure stands beside the worker's.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from bench.load.addresses import stream_url
from bench.load.lines import answer_lines
from contracts.errors import GridwhistleError
from ingest.rtsp.pool import ReceivePool
from ingest.rtsp.received import ReceivedPicture, StreamInfo
from ingest.rtsp.session import RtspSession
from runtime.clock import SystemClock


class AskBare(msgspec.Struct, frozen=True, tag="bare", tag_field="do"):
    """Answer with a BareCounts."""


class BareCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What arrived so far; `ended`: sessions that failed and were not tried again."""

    streams: int
    key_pictures: int
    ended: int


class _Taker:
    """A PictureReceiver that keeps nothing but the count."""

    def __init__(self) -> None:
        self.key_pictures = 0

    def playing(self, info: StreamInfo) -> None:
        """The server accepted PLAY."""

    def picture(self, picture: ReceivedPicture) -> None:
        """A picture is complete."""
        self.key_pictures += picture.key


async def receive(template: str, streams: int, connects_per_s: float, hosts: int) -> None:
    """Receive until standard input ends."""
    clock = SystemClock()
    pool = ReceivePool(clock)
    takers = [_Taker() for _ in range(streams)]
    ended = 0

    async def play(number: int) -> None:
        nonlocal ended
        url = stream_url(template, number, hosts)
        session = RtspSession(url, source_id=str(number), clock=clock, pool=pool, receiver=takers[number])
        await clock.asleep(number / connects_per_s)
        try:
            await session.run_once()
        except GridwhistleError as error:
            print(f"{url}: {error}", file=sys.stderr)
            ended += 1

    def counts(line: bytes) -> BareCounts:
        msgspec.json.decode(line, type=AskBare)
        counts = [taker.key_pictures for taker in takers]
        return BareCounts(streams=sum(count > 0 for count in counts), key_pictures=sum(counts), ended=ended)

    await answer_lines(counts, [pool.sweep_forever(), *(play(number) for number in range(streams))])


if __name__ == "__main__":
    asyncio.run(receive(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
