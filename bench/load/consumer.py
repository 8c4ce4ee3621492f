"""The consumer behind the Latest link, as a process of its own: pulls every key picture and reads its mark.

`python -m bench.load.consumer ENDPOINT`; JSON lines on standard input ask, as with the load server.
"""

from __future__ import annotations

import asyncio
import sys
from array import array
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from bench.load.ledger import Ledger
from bench.load.lines import say
from bench.load.marks import find_mark
from contracts.frame import FrameHeader
from contracts.wire import DOES_NOT_PARSE
from runtime.clock import SystemClock
from runtime.zmq_latest import ZmqLatestPuller

_CREDIT: Final = 1_024
_PULLED_AT_ONCE: Final = 128


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What arrived so far. `missed`: announced, but overtaken before it was pulled."""

    key_pictures: int
    marked: int
    missed: int
    bytes: int
    streams: int


class AskSeen(msgspec.Struct, frozen=True, tag="seen", tag_field="do"):
    """Answer with a Seen; `file`: write ledger and link times there first, empty = no file."""

    file: str = ""


def stream_of(source_id: str) -> int:
    """The stream number that the measurements put into a camera's id: its last six digits."""
    return int(source_id[-6:])


class Consumer:
    """Pulls until cancelled. A key picture counts from its announcement: the moment its header came."""

    def __init__(self, endpoint: str) -> None:
        self._clock = SystemClock()
        self._puller = ZmqLatestPuller([endpoint], self._clock, credit=_CREDIT)
        self._ledger = Ledger()
        self._link_ns = array("q")
        self._streams: set[str] = set()
        self._key_pictures = 0
        self._missed = 0
        self._bytes = 0

    async def pull(self) -> None:
        """Take what is announced, batch after batch."""
        while True:
            headers = await self._puller.headers(limit=_PULLED_AT_ONCE, wait_s=0.5)
            if headers:
                await self._take(headers)

    async def _take(self, headers: list[FrameHeader]) -> None:
        clock = self._clock
        announced_ns, wall = clock.monotonic_ns(), clock.now()
        frames = await self._puller.pull([(header.source_id, header.sequence) for header in headers])
        self._missed += len(headers) - len(frames)
        for frame in frames:
            header = frame.header
            if not header.key:
                continue
            self._key_pictures += 1
            self._bytes += len(frame.data)
            self._streams.add(header.source_id)
            self._link_ns.append(wall - header.arrival_time)
            counter = find_mark(frame.data)
            if counter is not None:
                self._ledger.note(stream_of(header.source_id), counter, announced_ns)

    def seen(self, ask: AskSeen) -> Seen:
        """The figures of this moment, and the file when one is asked for."""
        if ask.file:
            with Path(ask.file).open("wb") as out:
                np.savez(out, ledger=self._ledger.table(), link_ns=np.array(self._link_ns, dtype=np.int64))
        return Seen(
            key_pictures=self._key_pictures,
            marked=len(self._ledger),
            missed=self._missed,
            bytes=self._bytes,
            streams=len(self._streams),
        )

    async def close(self) -> None:
        """Give the link back."""
        await self._puller.close()


async def consume(endpoint: str) -> None:
    """Pull until standard input ends."""
    consumer = Consumer(endpoint)
    pulling = asyncio.create_task(consumer.pull())
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while line := await reader.readline():
            if pulling.done():
                break
            try:
                say(consumer.seen(msgspec.json.decode(line, type=AskSeen)))
            except DOES_NOT_PARSE as error:
                print(f"{line[:100]!r}: {error}", file=sys.stderr)
    finally:
        transport.close()
        pulling.cancel()
        await asyncio.wait([pulling])
        await consumer.close()
    if not pulling.cancelled():
        pulling.result()


if __name__ == "__main__":
    asyncio.run(consume(sys.argv[1]))
