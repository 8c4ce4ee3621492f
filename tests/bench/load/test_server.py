from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bench.load.control import Control, Done, Refused, Status, most_within
from bench.load.faults import Fault
from bench.load.ledger import Ledger, compare, load_table
from bench.load.marks import find_mark
from bench.load.server import PHASES, LoadServer, phase_of
from contracts.errors import ConfigError, SourceUnreachable
from ingest.rtsp.pool import ReceivePool
from ingest.rtsp.received import ReceivedPicture, StreamInfo
from ingest.rtsp.session import RtspSession
from runtime.clock import SystemClock
from tests.bench.load.small_clip import clip


@asynccontextmanager
async def serving(*, in_pairs: bool = False) -> AsyncIterator[LoadServer]:
    """A load server in a thread, as it runs in its process."""
    server = LoadServer(clip(), SystemClock(), "127.0.0.1", 0, in_pairs=in_pairs)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stopped = True
        await asyncio.to_thread(thread.join)
        server.close()


class Watcher:
    """Takes a session's pictures and notes their counters."""

    def __init__(self, stream: int, seen: Ledger) -> None:
        self._stream = stream
        self._seen = seen
        self.arrived = asyncio.Event()

    def playing(self, info: StreamInfo) -> None:
        assert info.codec == "h264" or info.codec == "H264"

    def picture(self, picture: ReceivedPicture) -> None:
        counter = find_mark(picture.data)
        assert counter is not None
        self._seen.note(self._stream, counter, SystemClock().monotonic_ns())
        self.arrived.set()


@asynccontextmanager
async def watching(server: LoadServer, streams: int) -> AsyncIterator[tuple[Ledger, list[Watcher]]]:
    """Sessions of ingest on the first streams of a server."""
    clock, seen = SystemClock(), Ledger()
    pool = ReceivePool(clock)
    watchers = [Watcher(stream, seen) for stream in range(streams)]
    tasks = [asyncio.create_task(pool.sweep_forever())]
    for stream, watcher in enumerate(watchers):
        url = f"rtsp://127.0.0.1:{server.port}/cam/{stream}"
        session = RtspSession(url, source_id=str(stream), clock=clock, pool=pool, receiver=watcher)
        tasks.append(asyncio.create_task(session.run_once()))
    try:
        yield seen, watchers
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError, SourceUnreachable):
                await task


async def pictures_of_all(watchers: list[Watcher], rounds: int) -> None:
    """Until each stream got so many more key pictures."""
    for _ in range(rounds):
        for watcher in watchers:
            watcher.arrived.clear()
        for watcher in watchers:
            await asyncio.wait_for(watcher.arrived.wait(), 30)


@pytest.mark.parametrize("in_pairs", [False, pytest.param(True, marks=pytest.mark.slow)])
async def test_every_key_picture_sent_arrives_at_the_receiver_of_ingest(in_pairs: bool) -> None:
    async with serving(in_pairs=in_pairs) as server, watching(server, 20) as (seen, watchers):
        await pictures_of_all(watchers, 3)
        until_ns = SystemClock().monotonic_ns()
        await pictures_of_all(watchers, 1)
    # Once the server has ended: it notes a picture after the last byte, when a receiver may have seen it already.
    found = compare(server.sent.table(), seen.table(), from_ns=0, until_ns=until_ns, live=np.arange(20))
    assert found.lost == ()
    assert found.due >= 40
    assert found.unknown == 0
    assert found.latency_ns.min() >= 0
    assert server.pictures_left_out == 0
    assert server.malformed == 0


async def test_cut_streams_are_refused_until_they_may_come_again() -> None:
    async with serving() as server, watching(server, 3) as (_, watchers):
        await pictures_of_all(watchers, 1)
        control = Control(server)
        assert control.answer(b'{"do":"cut","refuse_s":600}') == Done(3)
        await asyncio.to_thread(_wait_until_empty, server)
        async with watching(server, 2) as (seen, _):
            for _ in range(1_000):
                if server.refused_connections >= 2:
                    break
                await SystemClock().asleep(0.01)
            assert len(seen) == 0
        assert server.refused_connections == 2
        assert server.playing == 0


def _wait_until_empty(server: LoadServer) -> None:
    for _ in range(1_000):
        if server.playing == 0:
            return
        SystemClock().sleep(0.01)
    raise AssertionError("streams play on after a cut")


async def test_one_bad_stream_is_reset_and_its_neighbour_goes_on() -> None:
    async with serving() as server:
        server.set_fault(0, Fault.FLAP)
        async with watching(server, 2) as (seen, watchers):
            await pictures_of_all(watchers[1:], 4)
        assert server.playing == 0 or server.playing == 1
        counters = seen.ranges()
        assert len(counters[1]) == 1, "no gap"
        assert server.accepted_ns


def test_phases_of_neighbours_lie_far_apart_and_all_are_used() -> None:
    assert sorted(phase_of(stream) for stream in range(PHASES)) == list(range(PHASES))
    spread = np.bincount([phase_of(stream) // 50 for stream in range(100)], minlength=10)
    assert spread.max() - spread.min() <= 2


def test_taken_port_is_refused_with_a_sentence() -> None:
    first = LoadServer(clip(), SystemClock(), "127.0.0.1", 0)
    try:
        with pytest.raises(ConfigError, match="无法监听"):
            LoadServer(clip(), SystemClock(), "127.0.0.1", first.port)
    finally:
        first.close()


def test_control_answers_what_it_is_asked_and_refuses_the_rest(tmp_path: Path) -> None:
    server = LoadServer(clip(), SystemClock(), "127.0.0.1", 0)
    control = Control(server)
    try:
        status = control.answer(b'{"do":"status"}')
        assert isinstance(status, Status)
        assert status.playing == 0
        server.sent.note(4, 2, 99)
        file = tmp_path / "sent.npy"
        assert control.answer(b'{"do":"sent","file":"%s"}' % str(file).encode()) == Done(1)
        assert load_table(file).tolist() == [[4, 2, 99]]
        assert control.answer(b'{"do":"fault","streams":[1,2],"kind":"stall"}') == Done(2)
        assert isinstance(control.answer(b'{"do":"fly"}'), Refused)
        assert isinstance(control.answer(b"\xff"), Refused)
        assert msgspec.json.encode(control.answer(b'{"do":"stop"}'))
        assert server.stopped
    finally:
        server.close()


@pytest.mark.parametrize(
    ("times", "most"), [([], 0), ([5], 1), ([0, 9], 2), ([0, 10], 1), ([0, 1, 2, 11, 12, 13, 14], 4)]
)
def test_most_connections_within_a_span(times: list[int], most: int) -> None:
    assert most_within(times, 10) == most
