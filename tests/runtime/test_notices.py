"""Notices of activity on the picture link: lossy, the newest per source, beside the headers."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from contracts.frame import ActivityNotice, Suspicion
from contracts.instant import Instant
from runtime.clock import SystemClock
from runtime.latest import LatestStore
from runtime.zmq_latest import ZmqLatestPublisher, ZmqLatestPuller
from tests.runtime.frame_headers import header

CLOCK = SystemClock()


def notice(source_id: str, at: int, suspicion: Suspicion = Suspicion.NONE) -> ActivityNotice:
    return ActivityNotice(source_id=source_id, at=Instant(at), activity=5.0, suspicion=suspicion)


async def ended(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def test_several_notices_of_a_source_wait_then_the_newest_is_told_once() -> None:
    store = LatestStore(1_000)
    for at, name in enumerate(("a", "b", "a", "c")):
        store.put_notice(notice(name, at))
    assert [(each.source_id, each.at) for each in store.take_notices(2)] == [("a", 2), ("b", 1)]
    assert [each.source_id for each in store.take_notices(9)] == ["c"]
    assert store.take_notices(9) == []


def test_camera_goes_then_its_notice_does_too() -> None:
    store = LatestStore(1_000)
    store.put_notice(notice("a", 1))
    store.forget("a")
    assert store.take_notices(9) == []


async def test_notice_without_any_picture_then_the_puller_hears_of_it_at_once_and_a_single_time(
    short_dir: Path,
) -> None:
    endpoint = f"ipc://{short_dir}/frames.sock"
    publisher = ZmqLatestPublisher(endpoint, LatestStore(1_000), CLOCK)
    task = asyncio.create_task(publisher.serve())
    puller = ZmqLatestPuller([endpoint], CLOCK)
    asked = asyncio.create_task(puller.headers(limit=10, wait_s=60.0))
    await CLOCK.asleep(0.1)
    publisher.notice(notice("a", 1, Suspicion.BURST))
    assert await asyncio.wait_for(asked, 20) == []
    assert puller.notices() == [notice("a", 1, Suspicion.BURST)]
    assert puller.notices() == []
    publisher.notice(notice("b", 2))
    publisher.offer(header("b", 1), b"x")
    assert [each.source_id for each in await puller.headers(limit=10, wait_s=20)] == ["b"]
    assert [each.source_id for each in puller.notices()] == ["b"]
    await puller.close()
    await ended(task)


async def test_puller_that_takes_no_notices_is_woken_by_each_once_only(short_dir: Path) -> None:
    endpoint = f"ipc://{short_dir}/frames.sock"
    publisher = ZmqLatestPublisher(endpoint, LatestStore(1_000), CLOCK)
    task = asyncio.create_task(publisher.serve())
    puller = ZmqLatestPuller([endpoint], CLOCK)
    publisher.notice(notice("a", 1))
    assert await puller.headers(limit=10, wait_s=60.0) == []
    waits = asyncio.create_task(puller.headers(limit=10, wait_s=60.0))
    await CLOCK.asleep(0.2)
    assert not waits.done()
    publisher.offer(header("a", 1), b"x")
    assert [each.sequence for each in await asyncio.wait_for(waits, 20)] == [1]
    assert [each.at for each in puller.notices()] == [1]
    await puller.close()
    await ended(task)


async def test_puller_died_with_a_question_open_then_its_successor_hears_of_the_notice(short_dir: Path) -> None:
    endpoint = f"ipc://{short_dir}/frames.sock"
    publisher = ZmqLatestPublisher(endpoint, LatestStore(1_000), CLOCK)
    task = asyncio.create_task(publisher.serve())
    first = ZmqLatestPuller([endpoint], CLOCK)
    assert await first.headers(limit=10, wait_s=0.3) == []
    await first.close()
    await CLOCK.asleep(0.1)
    publisher.notice(notice("a", 1))
    await CLOCK.asleep(0.1)
    second = ZmqLatestPuller([endpoint], CLOCK)
    assert await second.headers(limit=10, wait_s=20) == []
    assert [each.source_id for each in second.notices()] == ["a"]
    await second.close()
    await ended(task)
