from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from contracts.errors import LinkClosed
from runtime.clock import SystemClock
from runtime.latest import LatestStore
from runtime.listener import Listener
from runtime.zmq_latest import ZmqLatestPublisher, ZmqLatestPuller
from runtime.zmq_log import ZmqLogReceiver, ZmqLogSender
from runtime.zmq_request import ZmqRequestClient, ZmqRequestServer
from tests.runtime.frame_headers import header

Lines = list[MutableMapping[str, Any]]


def defect(*_: object) -> None:
    raise RuntimeError("a defect of ours")


def errors(lines: Lines) -> list[tuple[str, str]]:
    return [(line["link"], line["error"]) for line in lines if line["log_level"] == "error"]


async def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(LinkClosed) as closed:
        await call()
    return str(closed.value)


async def test_request_client_by_a_defect_deaf_then_logged_once_and_all_askers_are_refused(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = f"ipc://{short_dir}/command.sock"

    async def answer(kind: str, body: bytes) -> bytes:
        return body

    client = ZmqRequestClient(endpoint, SystemClock())
    server = asyncio.create_task(ZmqRequestServer(endpoint, SystemClock()).serve(answer))
    monkeypatch.setattr(client, "_on_answer", defect)
    with capture_logs() as lines:
        assert "closed before" in await refused(lambda: client.request("echo", b"", timeout_s=30))
        assert "a defect" in await refused(lambda: client.request("echo", b"", timeout_s=30))
        await client.close()
    assert errors(lines) == [(endpoint, "RuntimeError('a defect of ours')")]
    server.cancel()
    await asyncio.gather(server, return_exceptions=True)


async def test_log_sender_by_a_defect_deaf_then_logged_once_and_waiting_and_later_sends_are_refused(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = f"ipc://{short_dir}/log.sock"
    receiver = ZmqLogReceiver(endpoint, SystemClock())
    sender = ZmqLogSender(endpoint, "p", SystemClock(), window=1, resend_s=0.05)
    monkeypatch.setattr(sender, "_send_again", defect)
    with capture_logs() as lines:
        waiting = [asyncio.create_task(sender.send([body])) for body in (b"unacknowledged", b"without room")]
        for task in waiting:
            with pytest.raises(LinkClosed):
                await task
        assert "a defect" in await refused(lambda: sender.send([b"later"]))
        await sender.close()
    assert errors(lines) == [(endpoint, "RuntimeError('a defect of ours')")]
    await receiver.close()


async def test_puller_by_a_defect_deaf_then_logged_once_and_waiting_and_later_calls_are_refused(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoints = [f"ipc://{short_dir}/frames-{number}.sock" for number in range(2)]
    puller = ZmqLatestPuller(endpoints, SystemClock())
    publisher = ZmqLatestPublisher(endpoints[1], LatestStore(1_000), SystemClock())
    publisher.offer(header("cam", 1), b"new")
    monkeypatch.setattr(puller, "_on_message", defect)
    with capture_logs() as lines:
        serving = asyncio.create_task(publisher.serve())
        assert "a defect" in await refused(lambda: puller.headers(limit=1, wait_s=30))
        assert "a defect" in await refused(lambda: puller.headers(limit=1, wait_s=30))
        assert "a defect" in await refused(lambda: puller.pull([("cam", 1)]))
        await puller.close()
    assert errors(lines) == [(endpoints[1], "RuntimeError('a defect of ours')")]
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def for_ever() -> None:
    await asyncio.Event().wait()


async def test_listener_closed_in_order_then_nothing_is_logged_and_later_checks_say_closed() -> None:
    listener = Listener("log.sock", for_ever())
    listener.check()
    with capture_logs() as lines:
        await listener.close()
        with pytest.raises(LinkClosed, match=r"log\.sock is closed"):
            listener.check()
    assert lines == []
