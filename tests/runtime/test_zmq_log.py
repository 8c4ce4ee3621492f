from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from contracts.errors import LinkClosed, LinkOverflow
from runtime.clock import SystemClock
from runtime.log_link import LogEntry, Position
from runtime.zmq_log import ZmqLogReceiver, ZmqLogSender


def positions(entries: list[LogEntry]) -> list[Position]:
    last = {entry.producer: Position(entry.producer, entry.incarnation, entry.sequence) for entry in entries}
    return list(last.values())


async def drain(receiver: ZmqLogReceiver, n: int) -> list[LogEntry]:
    got: list[LogEntry] = []
    while len(got) < n:
        got += await receiver.receive(limit=1000, wait_s=5)
    return got


async def test_send_returns_only_after_the_receiver_committed(short_dir: Path) -> None:
    endpoint = f"ipc://{short_dir}/log.sock"
    receiver, sender = ZmqLogReceiver(endpoint, SystemClock()), ZmqLogSender(endpoint, "p", SystemClock())
    task = asyncio.create_task(sender.send([b"a", b"b"]))
    entries = await drain(receiver, 2)
    assert not task.done()
    await receiver.commit(positions(entries))
    await asyncio.wait_for(task, 5)
    assert [entry.payload for entry in entries] == [b"a", b"b"]
    assert sender.in_flight == 0
    await sender.close()
    await receiver.close()


async def test_receiver_dies_before_commit_then_records_come_again_in_order(short_dir: Path) -> None:
    endpoint = f"ipc://{short_dir}/log.sock"
    first = ZmqLogReceiver(endpoint, SystemClock())
    sender = ZmqLogSender(endpoint, "p", SystemClock(), resend_s=0.1)
    task = asyncio.create_task(sender.send([bytes([n]) for n in range(50)]))
    lost = await drain(first, 50)
    await first.commit([Position("p", lost[0].incarnation, 20)])
    await first.close()
    second = ZmqLogReceiver(endpoint, SystemClock())
    second.restore({"p": Position("p", lost[0].incarnation, 20)})
    again = await drain(second, 30)
    await second.commit(positions(again))
    await asyncio.wait_for(task, 5)
    assert [entry.payload[0] for entry in again] == list(range(20, 50))
    await sender.close()
    await second.close()


async def test_producer_restarts_under_its_name_then_its_new_life_is_taken(short_dir: Path) -> None:
    endpoint = f"ipc://{short_dir}/log.sock"
    receiver = ZmqLogReceiver(endpoint, SystemClock())
    for payload in (b"first life", b"second life"):
        sender = ZmqLogSender(endpoint, "p", SystemClock())
        task = asyncio.create_task(sender.send([payload]))
        entries = await drain(receiver, 1)
        assert entries[0].payload == payload
        await receiver.commit(positions(entries))
        await asyncio.wait_for(task, 5)
        await sender.close()
    await receiver.close()


async def test_window_full_past_the_deadline_then_overflow_and_nothing_is_sent(short_dir: Path) -> None:
    endpoint = f"ipc://{short_dir}/log.sock"
    receiver, sender = (
        ZmqLogReceiver(endpoint, SystemClock()),
        ZmqLogSender(endpoint, "p", SystemClock(), window=2),
    )
    waiting = asyncio.create_task(sender.send([b"1", b"2"]))
    await drain(receiver, 2)
    with pytest.raises(LinkOverflow, match="not committed"):
        await sender.send([b"3"], deadline_s=0.05)
    assert await receiver.receive(limit=10, wait_s=0.05) == []
    await sender.close()
    with pytest.raises(LinkClosed):
        await waiting
    await receiver.close()


async def test_consumer_that_never_commits_then_probes_wait_for_it_and_not_the_window_again(
    short_dir: Path,
) -> None:
    endpoint = f"ipc://{short_dir}/log.sock"
    receiver = ZmqLogReceiver(endpoint, SystemClock())
    sender = ZmqLogSender(endpoint, "p", SystemClock(), resend_s=0.02)
    task = asyncio.create_task(sender.send([b"x"] * 1000))
    entries = await drain(receiver, 1000)
    while sender.resent < 1003:
        assert await receiver.receive(limit=1000, wait_s=0.1) == []
    assert sender.resent < 2000
    await receiver.commit(positions(entries))
    await asyncio.wait_for(task, 5)
    await sender.close()
    await receiver.close()


async def test_consumer_back_with_an_empty_database_then_the_rest_follows_the_probe_at_once(
    short_dir: Path,
) -> None:
    endpoint = f"ipc://{short_dir}/log.sock"
    first = ZmqLogReceiver(endpoint, SystemClock())
    sender = ZmqLogSender(endpoint, "p", SystemClock(), resend_s=0.1)
    task = asyncio.create_task(sender.send([n.to_bytes(2, "big") for n in range(2000)]))
    await drain(first, 2000)
    await first.close()
    second = ZmqLogReceiver(endpoint, SystemClock())
    got: list[int] = []
    while len(got) < 2000:
        entries = await second.receive(limit=512, wait_s=5)
        got += [int.from_bytes(entry.payload, "big") for entry in entries]
        await second.commit(positions(entries))
    await asyncio.wait_for(task, 5)
    assert got == list(range(2000))
    await sender.close()
    await second.close()


async def test_ten_thousand_records_through_a_small_window_arrive_once_and_in_order(short_dir: Path) -> None:
    endpoint = f"ipc://{short_dir}/log.sock"
    receiver = ZmqLogReceiver(endpoint, SystemClock())
    sender = ZmqLogSender(endpoint, "p", SystemClock(), window=100)
    task = asyncio.create_task(sender.send([n.to_bytes(4, "big") for n in range(10_000)]))
    got: list[int] = []
    while len(got) < 10_000:
        entries = await receiver.receive(limit=64, wait_s=5)
        got += [int.from_bytes(entry.payload, "big") for entry in entries]
        await receiver.commit(positions(entries))
    await asyncio.wait_for(task, 10)
    assert got == list(range(10_000))
    await sender.close()
    await receiver.close()
