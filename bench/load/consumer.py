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
from bench.load.lines import answer_lines
from bench.load.marks import find_mark
from runtime.clock import SystemClock
from runtime.zmq_latest import ZmqLatestPuller

_CREDIT: Final = 1_024
_PULLED_AT_ONCE: Final = 64
_PULL_EVERY_S: Final = 0.05
"""Pictures are pulled in batches, well before the next one of the same camera; announcements are noted at once."""


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
        self._announced: dict[tuple[str, int], int] = {}
        self._streams: set[str] = set()
        self._key_pictures = 0
        self._missed = 0
        self._bytes = 0

    async def listen(self) -> None:
        """Note announcements the moment they come, until cancelled."""
        clock = self._clock
        while True:
            headers = await self._puller.headers(limit=_CREDIT, wait_s=0.5)
            now_ns, wall = clock.monotonic_ns(), clock.now()
            for header in headers:
                self._announced[header.source_id, header.sequence] = now_ns
                self._link_ns.append(wall - header.arrival_time)

    async def pull(self) -> None:
        """Pull what is announced, batch after batch, until cancelled."""
        while True:
            if not self._announced:
                await self._clock.asleep(_PULL_EVERY_S)
            waiting, self._announced = self._announced, {}
            names = list(waiting)
            for at in range(0, len(names), _PULLED_AT_ONCE):
                await self._take({name: waiting[name] for name in names[at : at + _PULLED_AT_ONCE]})

    async def _take(self, waiting: dict[tuple[str, int], int]) -> None:
        frames = await self._puller.pull(list(waiting))
        self._missed += len(waiting) - len(frames)
        for frame in frames:
            header = frame.header
            if not header.key:
                continue
            self._key_pictures += 1
            self._bytes += len(frame.data)
            self._streams.add(header.source_id)
            counter = find_mark(frame.data)
            if counter is not None:
                self._ledger.note(stream_of(header.source_id), counter, waiting[header.source_id, header.sequence])

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
    try:
        await answer_lines(
            lambda line: consumer.seen(msgspec.json.decode(line, type=AskSeen)),
            [consumer.listen(), consumer.pull()],
        )
    finally:
        await consumer.close()


if __name__ == "__main__":
    asyncio.run(consume(sys.argv[1]))
