"""RTCP: what we tell a sender, what we hear from it, and UDP packets that are not its own."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import SourceUnreachable
from contracts.instant import SECOND
from ingest.rtsp.depacketize_h264 import H264Depacketizer
from ingest.rtsp.feedback import ReceptionFeedback
from ingest.rtsp.pool import ReceivePool
from ingest.rtsp.rtcp import receiver_report
from ingest.rtsp.udp import UdpPorts, UdpTrack
from runtime.clock import SimClock
from tests.ingest.h264_clip import clip, rtp, stream
from tests.ingest.rtsp.session_pieces import sender_report


class Report:
    """The report block of a receiver report (RFC 3550, 6.4.1), read back by the letter."""

    def __init__(self, body: bytes) -> None:
        assert body[1] == 201
        self.about, loss, self.highest, self.jitter, self.lsr, self.delay = struct.unpack_from("!IIIIII", body, 8)
        self.fraction = loss >> 24
        lost = loss & 0xFFFFFF
        self.lost = lost - (1 << 24) if lost & 0x800000 else lost


@given(st.integers(-(1 << 40), 1 << 40))
def test_cumulative_loss_is_signed_and_stops_at_its_24_bits(lost: int) -> None:
    """Duplicates make it negative (6.4.1); beyond its range the nearest value is told."""
    body = receiver_report(1, 2, lost=lost, fraction=0, highest=0, lsr=0, delay_ns=0)
    assert Report(body).lost == max(-0x800000, min(lost, 0x7FFFFF))


class Heard:
    """A stream's feedback with the reports that went out."""

    def __init__(self) -> None:
        self.clock = SimClock()
        self.sent: list[bytes] = []
        self.failed: list[Exception] = []
        self.depacketizer = H264Depacketizer(lambda *_: None)
        self.feedback = ReceptionFeedback(
            "cam-1", self.clock, self.depacketizer, self.sent.append, self.failed.append
        )

    def packets(self, first: int, count: int) -> None:
        for sequence in range(first, first + count):
            self.depacketizer.packet(
                b"\x41\x9a\x00\x00", 0, 4, sequence & 0xFFFF, sequence * 90 & 0xFFFFFFFF, True
            )

    def report(self) -> Report:
        """What is said 10 s later without a sender report."""
        self.clock.advance(10)
        self.feedback.check(self.clock.monotonic_ns())
        return Report(self.sent[-1])


def test_highest_sequence_number_is_extended_over_wraps_even_two_between_reports() -> None:
    heard = Heard()
    first = 65_000
    heard.packets(first, 1_000)
    assert heard.report().highest == 65_999 == (1 << 16) + 463
    heard.packets(66_000, 150_000)
    assert heard.report().highest == 215_999
    heard.packets(216_000, 10)
    got = heard.report()
    assert (got.highest, got.lost, got.fraction) == (216_009, 0, 0)


def test_loss_is_counted_in_all_and_as_a_fraction_since_the_last_report() -> None:
    heard = Heard()
    heard.packets(0, 100)
    assert (heard.report().lost, heard.report().fraction) == (0, 0)
    heard.packets(150, 50)
    got = heard.report()
    assert (got.lost, got.fraction, got.highest) == (50, 128, 199)
    heard.packets(200, 50)
    got = heard.report()
    assert (got.lost, got.fraction) == (50, 0)


def test_sender_report_is_answered_at_once_and_its_time_goes_back() -> None:
    heard = Heard()
    heard.packets(0, 10)
    body = sender_report(heard.clock.now() + 7 * SECOND, 90)
    heard.feedback.receive(body, 0, len(body))
    got = Report(heard.sent[-1])
    assert (got.about, got.delay) == (0x1234ABCD, 0)
    assert got.lsr == struct.unpack_from("!I", body, 10)[0], "the middle 32 bits of its NTP time"
    assert heard.feedback.clock_offset_ns is not None
    assert abs(heard.feedback.clock_offset_ns - 7 * SECOND) < 10
    assert heard.report().delay == 10 * 65_536


def test_nothing_is_said_before_a_packet_came_nor_more_often_than_every_ten_seconds() -> None:
    heard = Heard()
    heard.clock.advance(60)
    heard.feedback.check(heard.clock.monotonic_ns())
    assert heard.sent == []
    heard.packets(0, 1)
    for _ in range(100):
        heard.clock.advance(1)
        heard.feedback.check(heard.clock.monotonic_ns())
    assert len(heard.sent) == 10


@pytest.mark.parametrize(
    "body",
    [
        b"\x80\xc8\x00\x06" + bytes(10),
        b"\x00\xc8\x00\x01" + bytes(4),
        b"\x80\x01\x00\x01" + bytes(4),
        b"\x80",
    ],
)
def test_malformed_rtcp_is_counted_and_neither_answered_nor_believed(body: bytes) -> None:
    heard = Heard()
    heard.packets(0, 5)
    heard.feedback.receive(body, 0, len(body))
    assert (heard.feedback.malformed, heard.sent, heard.failed) == (1, [], [])


@pytest.mark.parametrize(("named", "gone", "ends"), [(None, 9, True), (9, 9, True), (8, 9, False)])
def test_bye_counts_for_the_source_that_setup_named(named: int | None, gone: int, ends: bool) -> None:
    heard = Heard()
    heard.feedback.ssrc = named
    body = struct.pack("!BBHI", 0x81, 203, 1, gone)
    heard.feedback.receive(body, 0, len(body))
    assert [type(error) for error in heard.failed] == [SourceUnreachable] * ends


class Received:
    """A UDP track of this machine's first loopback address."""

    def __init__(self, source: str = "") -> None:
        self.pool = ReceivePool(SimClock())
        self.pictures = 0
        self.rtcp: list[bytes] = []
        self.depacketizer = H264Depacketizer(self._picture)
        self.track = UdpTrack(self.pool, UdpPorts(30_000, 31_999), "127.0.0.1", self.depacketizer, self._on_rtcp)
        self.track.start("127.0.0.1", 40_000 if source else None, source)

    def _picture(self, *_: object) -> None:
        self.pictures += 1

    def _on_rtcp(self, data: bytes | bytearray | memoryview, start: int, end: int) -> None:
        self.rtcp.append(bytes(data[start:end]))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0)  # noqa: TID251 - one turn of the loop


async def test_datagrams_of_another_address_are_counted_and_not_taken() -> None:
    got = Received()
    packets = [rtp(*each) for each in stream(clip(10))]
    report = sender_report(SimClock().now(), 0)
    try:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as foreign,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as camera,
        ):
            foreign.bind(("127.0.0.2", 0))
            camera.bind(("127.0.0.1", 0))
            for packet in packets:
                foreign.sendto(packet, ("127.0.0.1", got.track.port))
            foreign.sendto(report, ("127.0.0.1", got.track.port + 1))
            await got.until(lambda: got.track.foreign == len(packets) + 1)
            got.track.send_rtcp(b"to nobody, since nobody of ours spoke")
            assert (got.depacketizer.packets, got.pictures, got.rtcp, got.track.packets_late) == (0, 0, [], 0)
            for packet in packets:
                camera.sendto(packet, ("127.0.0.1", got.track.port))
            camera.sendto(report, ("127.0.0.1", got.track.port + 1))
            await got.until(lambda: got.depacketizer.packets == len(packets) and bool(got.rtcp))
            assert (got.pictures, got.rtcp, got.track.foreign) == (1, [report], len(packets) + 1)
            got.track.send_rtcp(b"answer")
            camera.settimeout(5)
            assert await asyncio.to_thread(camera.recv, 100) == b"answer"
    finally:
        got.track.close()


@pytest.mark.parametrize("source", ["127.0.0.3", "10.255.0.9"])
@pytest.mark.parametrize("sender", ["127.0.0.1", "127.0.0.3"])
async def test_source_that_setup_named_and_the_server_itself_are_heard_and_whoever_sends_is_answered(
    source: str, sender: str
) -> None:
    """A recorder behind NAT names its inner address, which we never see."""
    got = Received(source)
    packets = [rtp(*each) for each in stream(clip(10))]
    try:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as camera,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reports,
        ):
            camera.bind((sender, 0))
            reports.bind((sender, 40_001))
            for packet in packets:
                camera.sendto(packet, ("127.0.0.1", got.track.port))
            if sender not in ("127.0.0.1", source):
                await got.until(lambda: got.track.foreign == len(packets))
                return
            await got.until(lambda: got.depacketizer.packets == len(packets))
            got.track.send_rtcp(b"answer")
            reports.settimeout(5)
            assert await asyncio.to_thread(_last_of, reports) == b"answer"
    finally:
        got.track.close()


def _last_of(reports: socket.socket) -> bytes:
    """What comes behind the bytes that open firewalls."""
    while (got := reports.recv(100)).startswith(b"\x80"):
        pass
    return got


async def test_source_by_name_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def looked_up(*_: object) -> None:
        raise AssertionError("a look-up stops the event loop")

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    sent: list[object] = []
    monkeypatch.setattr(socket.socket, "sendto", lambda _self, _data, where: sent.append(where))
    got = Received("camera.example")
    got.track.close()
    assert sent == [("127.0.0.1", 40_000), ("127.0.0.1", 40_001)]


async def test_datagrams_that_are_no_rtp_are_counted_and_empty_ones_are_not() -> None:
    got = Received()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as camera:
            camera.bind(("127.0.0.1", 0))
            for data in (b"", b"\x80\x60", bytes(40), rtp(b"\x41\x9a\x00", 5, 0, True)):
                camera.sendto(data, ("127.0.0.1", got.track.port))
            await got.until(lambda: got.depacketizer.packets == 1)
            assert got.track.packets_malformed == 2
    finally:
        got.track.close()


async def test_all_pairs_of_ports_are_taken_then_the_reason_says_so() -> None:
    ports = UdpPorts(32_100, 32_101)
    pair = ports.open("127.0.0.1")
    with pytest.raises(SourceUnreachable) as caught:
        ports.open("127.0.0.1")
    assert caught.value.reason == "udp_ports_exhausted"
    for each in pair:
        each.close()
