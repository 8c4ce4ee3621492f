from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from contracts.frame import Codec, FrameHeader
from contracts.instant import Instant
from runtime.clock import SystemClock
from runtime.latest import LatestStore
from runtime.zmq_latest import ZmqLatestPublisher, ZmqLatestPuller


def header(source: str, sequence: int, size: int = 3) -> FrameHeader:
    return FrameHeader(
        source_id=source,
        sequence=sequence,
        event_time=Instant(sequence),
        arrival_time=Instant(sequence),
        codec=Codec.H264,
        size=size,
    )


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_newer_picture_overtakes_then_only_the_newest_is_announced_and_pulled(short_dir: Path) -> None:
    endpoint = f"ipc://{short_dir}/frames.sock"
    store = LatestStore(1_000_000)
    publisher = ZmqLatestPublisher(endpoint, store, SystemClock())
    publisher.offer(header("cam", 1), b"old")
    publisher.offer(header("cam", 2), b"new")
    task = asyncio.create_task(publisher.serve())
    puller = ZmqLatestPuller([endpoint], SystemClock())
    headers = await puller.headers(limit=10, wait_s=5)
    assert [each.sequence for each in headers] == [2]
    frames = await puller.pull([("cam", 2), ("cam", 1), ("unknown", 1)])
    assert [frame.data for frame in frames] == [b"new"]
    assert store.replaced == 1
    await puller.close()
    await stop(task)


async def test_publisher_restarts_then_the_puller_hears_of_new_pictures(short_dir: Path) -> None:
    endpoint = f"ipc://{short_dir}/frames.sock"
    puller = ZmqLatestPuller([endpoint], SystemClock())
    for life in (1, 2):
        publisher = ZmqLatestPublisher(endpoint, LatestStore(1_000), SystemClock())
        publisher.offer(header("cam", life), bytes([life]))
        task = asyncio.create_task(publisher.serve())
        headers = await puller.headers(limit=10, wait_s=10)
        assert [each.sequence for each in headers] == [life]
        assert [frame.data for frame in await puller.pull([("cam", life)])] == [bytes([life])]
        await stop(task)
    await puller.close()


async def test_puller_that_died_with_a_question_open_then_its_successor_hears_of_the_picture(
    short_dir: Path,
) -> None:
    endpoint = f"ipc://{short_dir}/frames.sock"
    publisher = ZmqLatestPublisher(endpoint, LatestStore(1_000), SystemClock())
    publisher.offer(header("a", 1), b"a")
    task = asyncio.create_task(publisher.serve())
    first = ZmqLatestPuller([endpoint], SystemClock())
    assert len(await first.headers(limit=10, wait_s=5)) == 1
    assert await first.headers(limit=10, wait_s=0.2) == [], "its next question is open now"
    await first.close()
    second = ZmqLatestPuller([endpoint], SystemClock())
    assert [each.source_id for each in await second.headers(limit=10, wait_s=5)] == ["a"]
    await second.headers(limit=10, wait_s=0.2)
    publisher.offer(header("b", 1), b"b")
    assert [each.source_id for each in await second.headers(limit=10, wait_s=5)] == ["b"]
    await second.close()
    await stop(task)


async def test_pull_from_a_publisher_that_is_gone_then_nothing_and_no_question_stays_open(short_dir: Path) -> None:
    endpoint = f"ipc://{short_dir}/frames.sock"
    publisher = ZmqLatestPublisher(endpoint, LatestStore(1_000), SystemClock())
    publisher.offer(header("a", 1), b"a")
    task = asyncio.create_task(publisher.serve())
    puller = ZmqLatestPuller([endpoint], SystemClock())
    assert len(await puller.headers(limit=10, wait_s=5)) == 1
    await stop(task)
    pulling = asyncio.create_task(puller.pull([("a", 1)]))
    assert await asyncio.wait_for(pulling, 10) == []
    assert puller.open_pulls == 0
    await puller.close()


async def test_two_publishers_then_pictures_come_from_both(short_dir: Path) -> None:
    endpoints = [f"ipc://{short_dir}/frames-{n}.sock" for n in (0, 1)]
    publishers = [ZmqLatestPublisher(each, LatestStore(1_000), SystemClock()) for each in endpoints]
    tasks = [asyncio.create_task(each.serve()) for each in publishers]
    for number, publisher in enumerate(publishers):
        publisher.offer(header(f"cam-{number}", 7), bytes([number]))
    puller = ZmqLatestPuller(endpoints, SystemClock())
    wants: list[tuple[str, int]] = []
    while len(wants) < 2:
        wants += [(each.source_id, each.sequence) for each in await puller.headers(limit=10, wait_s=5)]
    assert sorted(frame.data for frame in await puller.pull(wants)) == [b"\x00", b"\x01"]
    await puller.close()
    for task in tasks:
        await stop(task)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 40)), max_size=60))
def test_any_puts_then_the_store_keeps_its_budget_and_its_sum(puts: list[tuple[str, int]]) -> None:
    store = LatestStore(100)
    for sequence, (source, size) in enumerate(puts):
        store.put(header(source, sequence, size), bytes(size))
        frames = [store.get(each, n) for each in "abcd" for n in range(len(puts))]
        kept = [frame for frame in frames if frame is not None]
        assert sum(len(frame.data) for frame in kept) == store.size_bytes <= 100
        assert len(kept) == len(store)
        latest = store.get(source, sequence)
        assert latest is not None, "the newest picture is never the victim"


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
