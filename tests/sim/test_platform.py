"""The platform stand-in over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from contracts.instant import SECOND
from runtime.clock import SimClock
from sim.platform import SIGNATURE_AGE_MAX_S, PlatformReceiver, sign

SECRET = "s3cret"
EVENT = {"specversion": "1.0", "id": "1", "source": "urn:x", "type": "cn.x.v1", "data": {"名": "工单"}}
STRUCTURED = "application/cloudevents+json; charset=utf-8"


@pytest.fixture
def clock() -> SimClock:
    return SimClock()


@pytest.fixture
async def receiver(tmp_path: Path, clock: SimClock) -> AsyncIterator[PlatformReceiver]:
    running = PlatformReceiver("127.0.0.1", 0, SECRET, tmp_path / "platform.jsonl", clock)
    await running.start()
    yield running
    await running.close()


async def post(
    receiver: PlatformReceiver, clock: SimClock, body: bytes, *, signature: str | None = None, **headers: str
) -> httpx.Response:
    stamp = sign(SECRET, clock.now() // SECOND, body) if signature is None else signature
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.post(
            f"http://127.0.0.1:{receiver.port}/events",
            content=body,
            headers={"Content-Type": STRUCTURED, "X-Gridwhistle-Signature": stamp, **headers},
        )


async def test_a_signed_event_is_kept_once_and_answered_202_both_times(
    receiver: PlatformReceiver, clock: SimClock, tmp_path: Path
) -> None:
    body = json.dumps(EVENT).encode()
    first, second = await post(receiver, clock, body), await post(receiver, clock, body)
    assert (first.status_code, first.json()["duplicate"]) == (202, False)
    assert (second.status_code, second.json()["duplicate"]) == (202, True)
    assert [json.loads(line) for line in (tmp_path / "platform.jsonl").read_text().splitlines()] == [EVENT]
    async with httpx.AsyncClient(trust_env=False) as client:
        counts = (await client.get(f"http://127.0.0.1:{receiver.port}/")).json()
    assert counts == {"received": 2, "kept": 1, "duplicates": 1, "refused": 0, "failed": 0}


async def test_events_of_an_earlier_run_are_remembered(
    receiver: PlatformReceiver, clock: SimClock, tmp_path: Path
) -> None:
    await post(receiver, clock, json.dumps(EVENT).encode())
    again = PlatformReceiver("127.0.0.1", 0, SECRET, tmp_path / "platform.jsonl", clock)
    await again.start()
    answer = await post(again, clock, json.dumps(EVENT).encode())
    assert answer.json()["duplicate"] is True
    await again.close()


@pytest.mark.parametrize("signature", ["", "t=1,v1=00", "v1=ab", "t=x,v1=ab", "t=1700000000,v1=" + "0" * 64])
async def test_a_wrong_signature_is_refused_with_401(
    receiver: PlatformReceiver, clock: SimClock, signature: str
) -> None:
    answer = await post(receiver, clock, json.dumps(EVENT).encode(), signature=signature)
    assert answer.status_code == 401
    assert (receiver.tally.refused, receiver.tally.kept) == (1, 0)


async def test_an_old_signature_is_refused_since_it_may_be_replayed(
    receiver: PlatformReceiver, clock: SimClock
) -> None:
    body = json.dumps(EVENT).encode()
    signature = sign(SECRET, clock.now() // SECOND, body)
    clock.advance(SIGNATURE_AGE_MAX_S)
    assert (await post(receiver, clock, body, signature=signature)).status_code == 202
    clock.advance(1)
    assert (await post(receiver, clock, body, signature=signature)).status_code == 401


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"specversion":"1.0","id":"1","source":"s"}', b'{"specversion":"0.3","id":"1"}']
)
async def test_what_is_no_cloud_event_is_refused_with_400(
    receiver: PlatformReceiver, clock: SimClock, body: bytes
) -> None:
    assert (await post(receiver, clock, body)).status_code == 400
    assert receiver.tally.refused == 1


async def test_an_event_in_binary_mode_is_the_same_event(receiver: PlatformReceiver, clock: SimClock) -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "urn:x", "ce-type": "cn.x.v1"}
    answer = await post(receiver, clock, b'{"a":1}', **{"Content-Type": "application/json"}, **headers)
    assert (answer.status_code, answer.json()["duplicate"]) == (202, False)
    assert (await post(receiver, clock, json.dumps(EVENT).encode())).json()["duplicate"] is True


async def test_it_can_be_out_of_order_on_purpose_and_comes_back(
    receiver: PlatformReceiver, clock: SimClock
) -> None:
    receiver.fail_next = 2
    codes = [(await post(receiver, clock, json.dumps(EVENT).encode())).status_code for _ in range(3)]
    assert codes == [503, 503, 202]
    assert (receiver.tally.failed, receiver.tally.kept) == (2, 1)


async def test_a_body_over_the_bound_is_refused_with_413(receiver: PlatformReceiver) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", receiver.port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 413 ")
    writer.close()
