from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from bench.load.faults import Fault
from bench.load.ledger import Ledger
from bench.load.marks import find_mark
from bench.load.player import Gone, Player
from bench.load.programme import Programme
from runtime.clock import SystemClock
from sim.rtsp_message import Request
from tests.bench.load.small_clip import clip


class Ends:
    """A player and the client's end of its connection."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.client = socket.create_connection(listener.getsockname())
            ours, _ = listener.accept()
        self.sent = Ledger()
        self.player = Player(ours, SystemClock(), self.sent)
        self.client.setblocking(False)

    def read(self) -> bytes:
        data = b""
        with suppress(BlockingIOError):
            while part := self.client.recv(65_536):
                data += part
        return data


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.player.close()
    made.client.close()


def packets(data: bytes) -> list[bytes]:
    """Interleaved packets of a byte stream that must hold nothing else."""
    found = []
    while data:
        assert data[0] == 0x24, "out of step"
        size = int.from_bytes(data[2:4], "big")
        assert len(data) >= 4 + size
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    return found


def request(method: str, path: str = "/cam/12", **headers: str) -> Request:
    return Request(method, f"rtsp://h{path}", path, {"cseq": "5", **headers}, b"")


def test_slow_reader_gets_whole_pictures_only_and_exactly_those_noted_as_sent(ends: Ends) -> None:
    programme = Programme(clip(), kept=10)
    player = ends.player
    player.stream = 12
    number = handed_over = 0
    while not player.pictures_left_out:
        picture = programme.picture(number)
        handed_over += player.offer(picture.framed(0), picture.counter)
        number += 1
    assert player.waiting
    assert not player.plain
    received = ends.read()
    while player.waiting or len(received) < handed_over:
        handed_over += player.flush()
        received += ends.read()
    got = packets(received)
    again = Programme(clip(), kept=10)
    whole = [packet for each in range(number - 1) for packet in again.picture(each).packets]
    assert got == whole
    counters = [mark for mark in map(find_mark, got) if mark is not None]
    assert ends.sent.table()[:, :2].tolist() == [[12, counter] for counter in counters]
    assert len(counters) > 2
    assert player.plain


def test_dialogue_leads_to_playing(ends: Ends) -> None:
    programme = Programme(clip(), kept=10)
    player = ends.player
    assert b"DESCRIBE" in player.answer(request("OPTIONS"), programme)
    described = player.answer(request("DESCRIBE"), programme)
    assert b"H264/90000" in described
    assert b"sprop-parameter-sets" in described
    setup = player.answer(request("SETUP", transport="RTP/AVP/TCP;unicast;interleaved=2-3"), programme)
    assert b"interleaved=2-3" in setup
    assert not player.playing
    assert not player.plain, "another channel needs other bytes"
    assert b"200" in player.answer(request("PLAY"), programme)
    assert player.playing
    assert player.stream == 12
    with pytest.raises(Gone):
        player.answer(request("TEARDOWN"), programme)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (request("SETUP", transport="RTP/AVP;unicast;client_port=4000-4001"), b" 461 "),
        (request("DESCRIBE", path="/none"), b" 404 "),
        (request("RECORD"), b" 501 "),
    ],
)
def test_what_is_not_served_is_answered_so(ends: Ends, asked: Request, code: bytes) -> None:
    assert code in ends.player.answer(asked, Programme(clip(), kept=10)).split(b"\r\n")[0] + b" "


def test_receiver_reports_between_requests_are_skipped_and_requests_come_in_pieces(ends: Ends) -> None:
    raw = b"$\x01\x00\x04abcd" + b"OPTIONS rtsp://h/cam/1 RTSP/1.0\r\nCSeq: 1\r\n\r\n" + b"$\x01\x00\x08abcd"
    found = []
    for at in range(len(raw)):
        ends.client.send(raw[at : at + 1])
        select.select([ends.player.fileno()], [], [])
        found += ends.player.requests()
    assert [each.method for each in found] == ["OPTIONS"]


def test_client_that_goes_is_gone(ends: Ends) -> None:
    ends.client.close()
    select.select([ends.player.fileno()], [], [])
    with pytest.raises(Gone):
        ends.player.requests()


def test_fault_makes_a_stream_special_and_its_end_plain_again(ends: Ends) -> None:
    ends.player.set_fault(Fault.STALL)
    assert not ends.player.plain
    ends.player.set_fault(None)
    assert ends.player.plain
