from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import zmq

from contracts.errors import LinkError
from runtime.zmq_socket import close_socket, open_socket, receive, send_now


async def test_second_owner_of_an_endpoint_is_refused_and_the_first_keeps_it(short_dir: Path) -> None:
    endpoint = f"ipc://{short_dir}/log.sock"
    owner = open_socket(zmq.ROUTER, endpoint, bind=True, hwm=10)
    with pytest.raises(LinkError, match="another process"):
        open_socket(zmq.ROUTER, endpoint, bind=True, hwm=10)
    client = open_socket(zmq.DEALER, endpoint, bind=False, hwm=10)
    assert send_now(client, [b"still yours"])
    parts = await receive(owner, 5)
    assert parts is not None
    assert parts[1:] == [b"still yours"]
    close_socket(client)
    close_socket(owner)
    close_socket(owner)
    again = open_socket(zmq.ROUTER, endpoint, bind=True, hwm=10)
    close_socket(again)


async def test_message_to_a_peer_that_went_away_is_refused(short_dir: Path) -> None:
    endpoint = f"ipc://{short_dir}/log.sock"
    router = open_socket(zmq.ROUTER, endpoint, bind=True, hwm=10)
    assert not send_now(router, [b"nobody", b"hello"])
    close_socket(router)


async def test_full_socket_refuses_and_what_arrived_meanwhile_is_heard_at_once(short_dir: Path) -> None:
    endpoint = f"ipc://{short_dir}/log.sock"
    router = open_socket(zmq.ROUTER, endpoint, bind=True, hwm=10)
    dealer = open_socket(zmq.DEALER, endpoint, bind=False, hwm=10)
    assert send_now(dealer, [b"who am I"])
    first = await receive(router, 5)
    assert first is not None
    waiting = asyncio.create_task(receive(dealer, 30))
    await asyncio.sleep(0)  # noqa: TID251
    big = bytes(1_000_000)
    while send_now(dealer, [big]):
        pass
    assert send_now(router, [first[0], b"answer"])
    for _ in range(1_000):
        # Each refused send may eat the edge of the answer's arrival.
        send_now(dealer, [big])
    assert await asyncio.wait_for(waiting, 10) == [b"answer"]
    close_socket(dealer)
    close_socket(router)
