"""The bare receiver: sessions and buffer of ingest alone, without links, health or activity, in one process.

`python -m bench.load.bare TEMPLATE STREAMS CONNECTS_PER_S`; its figure stands beside the worker's.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from bench.load.lines import answer_lines
from contracts.errors import GridwhistleError
from ingest.rtsp.pace import ConnectPace
from ingest.rtsp.receive import ReceivePool
from ingest.rtsp.session import KeyPicture, RtspSession, StreamInfo
from runtime.clock import SystemClock


class AskBare(msgspec.Struct, frozen=True, tag="bare", tag_field="do"):
    """Answer with a BareCounts."""


class BareCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What arrived so far; `ended`: sessions that failed and were not tried again."""

    streams: int
    key_pictures: int
    ended: int


class _Counter:
    """Takes key pictures and counts them."""

    def __init__(self) -> None:
        self.streams = 0
        self.key_pictures = 0

    def taker(self) -> _Taker:
        """For one session."""
        return _Taker(self)


class _Taker:
    """A PictureReceiver that keeps nothing."""

    def __init__(self, counter: _Counter) -> None:
        self._counter = counter
        self._seen = False

    def playing(self, info: StreamInfo) -> None:
        """The server accepted PLAY."""

    def picture(self, picture: KeyPicture) -> None:  # noqa: ARG002 - a PictureReceiver
        """A key picture is complete."""
        self._counter.key_pictures += 1
        if not self._seen:
            self._seen = True
            self._counter.streams += 1


async def receive(template: str, streams: int, connects_per_s: float) -> None:
    """Receive until standard input ends."""
    clock = SystemClock()
    pool = ReceivePool(clock)
    pace = ConnectPace(clock, connects_per_s)
    counter = _Counter()
    ended = 0

    async def play(number: int) -> None:
        nonlocal ended
        url = template.replace("{i}", str(number))
        session = RtspSession(url, source_id=str(number), clock=clock, pool=pool, receiver=counter.taker())
        await pace.turn()
        try:
            await session.run_once()
        except GridwhistleError as error:
            print(f"{url}: {error}", file=sys.stderr)
            ended += 1

    def counts(line: bytes) -> BareCounts:
        msgspec.json.decode(line, type=AskBare)
        return BareCounts(streams=counter.streams, key_pictures=counter.key_pictures, ended=ended)

    await answer_lines(counts, [pool.sweep_forever(), *(play(number) for number in range(streams))])


if __name__ == "__main__":
    asyncio.run(receive(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
