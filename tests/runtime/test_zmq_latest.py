from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from contracts.frame import FrameHeader
from runtime.clock import SystemClock
from runtime.latest import LatestStore
from runtime.zmq_latest import ZmqLatestPublisher, ZmqLatestPuller
from tests.runtime.frame_headers import header

PATIENCE_S = 40.0
"""Longest wait for what must come: far more than it takes, since the machine may be busy with other things."""


@asynccontextmanager
async def serving(endpoint: str, store: LatestStore) -> AsyncIterator[ZmqLatestPublisher]:
    """A publisher at work. Its socket is given back however the test ends: one that a failed test leaves behind is
    reported as a leak of whatever test runs when it is found."""
    publisher = ZmqLatestPublisher(endpoint, store, SystemClock())
    task = asyncio.create_task(publisher.serve())
    # A task that was cancelled before its first step would not close anything.
    await asyncio.sleep(0)  # noqa: TID251
    try:
        yield publisher
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def pulling(*endpoints: str) -> AsyncIterator[ZmqLatestPuller]:
    """A puller, closed however the test ends."""
    puller = ZmqLatestPuller(endpoints, SystemClock())
    try:
        yield puller
    finally:
        await puller.close()


async def test_newer_picture_overtakes_then_only_the_newest_is_announced_and_pulled(short_dir: Path) -> None:
    endpoint = f"ipc://{short_dir}/frames.sock"
    store = LatestStore(1_000_000)
    # Both are there before anybody asks.
    store.put(header("cam", 1), b"old")
    store.put(header("cam", 2), b"new")
    async with serving(endpoint, store), pulling(endpoint) as puller:
        headers = await puller.headers(limit=10, wait_s=PATIENCE_S)
        assert [each.sequence for each in headers] == [2]
        frames = await puller.pull([("cam", 2), ("cam", 1), ("unknown", 1)])
        assert [frame.data for frame in frames] == [b"new"]
        assert store.replaced == 1


async def test_publisher_restarts_then_the_puller_hears_of_new_pictures(short_dir: Path) -> None:
    endpoint = f"ipc://{short_dir}/frames.sock"
    async with pulling(endpoint) as puller:
        for life in (1, 2):
            async with serving(endpoint, LatestStore(1_000)) as publisher:
                publisher.offer(header("cam", life), bytes([life]))
                headers = await puller.headers(limit=10, wait_s=PATIENCE_S)
                assert [each.sequence for each in headers] == [life]
                assert [frame.data for frame in await puller.pull([("cam", life)])] == [bytes([life])]


async def test_puller_that_died_with_a_question_open_then_its_successor_hears_of_the_picture(
    short_dir: Path,
) -> None:
    endpoint = f"ipc://{short_dir}/frames.sock"
    async with serving(endpoint, LatestStore(1_000)) as publisher:
        publisher.offer(header("a", 1), b"a")
        async with pulling(endpoint) as first:
            assert len(await first.headers(limit=10, wait_s=PATIENCE_S)) == 1
            assert await first.headers(limit=10, wait_s=0.2) == [], "its next question is open now"
        async with pulling(endpoint) as second:
            heard = await second.headers(limit=10, wait_s=PATIENCE_S)
            assert [each.source_id for each in heard] == ["a"]
            await second.headers(limit=10, wait_s=0.2)
            publisher.offer(header("b", 1), b"b")
            heard = await second.headers(limit=10, wait_s=PATIENCE_S)
            assert [each.source_id for each in heard] == ["b"]


async def test_question_of_an_older_puller_is_open_then_the_newer_one_is_told(short_dir: Path) -> None:
    """The older one stands for a dead one whose end the publisher's socket has not noticed yet."""
    endpoint = f"ipc://{short_dir}/frames.sock"
    async with serving(endpoint, LatestStore(1_000)) as publisher, pulling(endpoint) as older:
        publisher.offer(header("a", 1), b"a")
        assert len(await older.headers(limit=10, wait_s=PATIENCE_S)) == 1
        assert await older.headers(limit=10, wait_s=0.2) == []
        async with pulling(endpoint) as newer:
            assert [each.source_id for each in await newer.headers(limit=10, wait_s=PATIENCE_S)] == ["a"]
            await newer.headers(limit=10, wait_s=0.2)
            publisher.offer(header("b", 1), b"b")
            assert [each.source_id for each in await newer.headers(limit=10, wait_s=PATIENCE_S)] == ["b"]


async def test_pull_from_a_publisher_that_is_gone_then_nothing_and_no_question_stays_open(short_dir: Path) -> None:
    endpoint = f"ipc://{short_dir}/frames.sock"
    async with pulling(endpoint) as puller:
        async with serving(endpoint, LatestStore(1_000)) as publisher:
            publisher.offer(header("a", 1), b"a")
            assert len(await puller.headers(limit=10, wait_s=PATIENCE_S)) == 1
        assert await asyncio.wait_for(puller.pull([("a", 1)]), PATIENCE_S) == []
        assert puller.open_pulls == 0


async def test_two_publishers_then_pictures_come_from_both(short_dir: Path) -> None:
    endpoints = [f"ipc://{short_dir}/frames-{n}.sock" for n in (0, 1)]
    async with (
        serving(endpoints[0], LatestStore(1_000)) as first,
        serving(endpoints[1], LatestStore(1_000)) as second,
        pulling(*endpoints) as puller,
    ):
        for number, publisher in enumerate((first, second)):
            publisher.offer(header(f"cam-{number}", 7), bytes([number]))
        wants = [(each.source_id, each.sequence) for each in await hear(puller, 2)]
        assert sorted(frame.data for frame in await puller.pull(wants)) == [b"\x00", b"\x01"]


def offer_group(publisher: ZmqLatestPublisher, first: int, pictures: int) -> None:
    """A key picture and those that need it, of a promoted camera."""
    for chain in range(pictures):
        each = structs.replace(header("cam", first + chain), promoted=True, key=chain == 0, chain=chain)
        publisher.offer(each, bytes([first + chain]))


async def hear(puller: ZmqLatestPuller, count: int) -> list[FrameHeader]:
    heard: list[FrameHeader] = []
    while len(heard) < count:
        more = await puller.headers(limit=3, wait_s=PATIENCE_S)
        assert more, f"only {len(heard)} of {count} headers came"
        heard += more
    return heard


async def pull(puller: ZmqLatestPuller, headers: list[FrameHeader]) -> list[int]:
    frames = await puller.pull([(each.source_id, each.sequence) for each in headers])
    assert [frame.data for frame in frames] == [bytes([frame.header.sequence]) for frame in frames]
    return [frame.header.sequence for frame in frames]


async def test_promoted_camera_then_every_picture_is_heard_and_pulled_in_order(short_dir: Path) -> None:
    endpoint = f"ipc://{short_dir}/frames.sock"
    store = LatestStore(1_000)
    async with serving(endpoint, store) as publisher, pulling(endpoint) as puller:
        offer_group(publisher, 1, 6)
        publisher.offer(header("other", 9), b"\x09")
        headers = await hear(puller, 7)
        offer_group(publisher, 7, 2)
        headers += await hear(puller, 2)
        ours = [each for each in headers if each.source_id == "cam"]
        assert [each.sequence for each in ours] == [1, 2, 3, 4, 5, 6, 7, 8]
        assert await pull(puller, ours) == [1, 2, 3, 4, 5, 6, 7, 8]
        assert store.size_bytes == 1, "pictures in order are handed over once"


async def test_puller_restarts_in_the_middle_of_a_promoted_group_then_it_goes_on_at_the_next_key_picture(
    short_dir: Path,
) -> None:
    endpoint = f"ipc://{short_dir}/frames.sock"
    async with serving(endpoint, LatestStore(1_000)) as publisher:
        async with pulling(endpoint) as first:
            offer_group(publisher, 1, 4)
            assert await pull(first, (await hear(first, 4))[:2]) == [1, 2]
        offer_group(publisher, 5, 3)
        async with pulling(endpoint) as second:
            headers = await hear(second, 3)
            assert await pull(second, headers) == [5, 6, 7], "3 and 4 need what the first puller has"


async def test_puller_falls_behind_then_it_is_handed_whole_groups_from_a_key_picture_on(short_dir: Path) -> None:
    endpoint = f"ipc://{short_dir}/frames.sock"
    store = LatestStore(1_000, queue_bytes=8)
    async with serving(endpoint, store) as publisher, pulling(endpoint) as puller:
        offer_group(publisher, 1, 6)
        headers = await hear(puller, 6)
        offer_group(publisher, 7, 6)
        headers += await hear(puller, 6)
        assert await pull(puller, headers) == [7, 8, 9, 10, 11, 12]
        assert store.dropped == {"queue_full": 6}


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 40)), max_size=60))
def test_any_puts_then_the_store_keeps_its_budget_and_its_sum(puts: list[tuple[str, int]]) -> None:
    store = LatestStore(100)
    for sequence, (source, size) in enumerate(puts):
        store.put(header(source, sequence, size), bytes(size))
        assert 0 < size <= store.size_bytes <= 100
    held, waiting = store.size_bytes, len(store)
    if puts:
        newest = store.get(puts[-1][0], len(puts) - 1)
        assert newest is not None, "the newest picture is never the victim"
        store.give_back(newest)
        assert (store.size_bytes, len(store)) == (held, waiting)
    frames = [store.get(each, n) for each in "abcd" for n in range(len(puts))]
    kept = [frame for frame in frames if frame is not None]
    assert sum(len(frame.data) for frame in kept) == held
    assert len(kept) == waiting
    assert (store.size_bytes, len(store)) == (0, 0), "what was handed over waits no longer"


def test_picture_that_was_given_back_does_not_push_out_a_newer_one() -> None:
    store = LatestStore(100)
    store.put(header("a", 1, 5), bytes(5))
    old = store.get("a", 1)
    assert old is not None
    store.put(header("a", 2, 7), bytes(7))
    store.give_back(old)
    assert store.size_bytes == 7
    assert store.get("a", 1) is None
    assert store.get("a", 2) is not None


def test_store_announces_each_picture_once_until_asked_again() -> None:
    store = LatestStore(1_000)
    store.put(header("a", 1), b"x")
    store.put(header("b", 1), b"x")
    assert [each.source_id for each in store.take_headers(1)] == ["a"]
    assert [each.source_id for each in store.take_headers(9)] == ["b"]
    assert store.take_headers(9) == []
    store.announce_all_again()
    assert [each.source_id for each in store.take_headers(9)] == ["a", "b"]
    store.forget("a")
    assert len(store) == 1
    assert store.size_bytes == 1
