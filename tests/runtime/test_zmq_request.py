from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from contracts.errors import CommandRefused, LinkClosed
from runtime.clock import SystemClock
from runtime.zmq_request import ZmqChangePublisher, ZmqChangeSubscriber, ZmqRequestClient, ZmqRequestServer


async def answer(kind: str, body: bytes) -> bytes:
    match kind:
        case "echo":
            return body
        case "refuse":
            raise CommandRefused("工单已结案 (closed)", reason="illegal_move", allowed=("90", "92"))
        case "hang":
            await asyncio.Event().wait()
    raise RuntimeError("a defect")


async def test_requests_are_answered_refused_with_reason_or_time_out(short_dir: Path) -> None:
    endpoint = f"ipc://{short_dir}/command.sock"
    client = ZmqRequestClient(endpoint, SystemClock())
    server = asyncio.create_task(ZmqRequestServer(endpoint, SystemClock()).serve(answer))
    assert await asyncio.gather(*(client.request("echo", bytes([n]), timeout_s=5) for n in range(50))) == [
        bytes([n]) for n in range(50)
    ]
    with pytest.raises(CommandRefused, match="工单已结案") as refused:
        await client.request("refuse", b"", timeout_s=5)
    assert refused.value.reason == "illegal_move"
    assert refused.value.allowed == ("90", "92")
    with pytest.raises(CommandRefused, match="RuntimeError"):
        await client.request("defect", b"", timeout_s=5)
    with pytest.raises(LinkClosed, match="no answer"):
        await client.request("hang", b"", timeout_s=0.05)
    assert await client.request("echo", b"still alive", timeout_s=5) == b"still alive"
    server.cancel()
    with suppress(asyncio.CancelledError):
        await server
    await client.close()


async def test_changes_reach_every_listener_in_order(short_dir: Path) -> None:
    endpoint = f"ipc://{short_dir}/changes.sock"
    publisher = ZmqChangePublisher(endpoint)
    listeners = [ZmqChangeSubscriber(endpoint, SystemClock()) for _ in range(2)]
    for listener in listeners:
        while await listener.receive(wait_s=0.05) is None:
            await publisher.publish(0, "hello", b"")
    await publisher.publish(1, "ticket", b"one")
    await publisher.publish(2, "ticket", b"two")
    for listener in listeners:
        got: list[tuple[int, str, bytes]] = []
        while len(got) < 2:
            change = await listener.receive(wait_s=5)
            assert change is not None
            if change[0]:
                got.append(change)
        assert got == [(1, "ticket", b"one"), (2, "ticket", b"two")]
        await listener.close()
    await publisher.close()
