from __future__ import annotations

import socket
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import SourceUnreachable
from contracts.instant import SECOND
from ingest.rtsp.dialogue import Dialogue
from ingest.rtsp.keep_alive import KeepAlive
from ingest.rtsp.message import RtspReply
from ingest.rtsp.negotiate import session_timeout_s
from ingest.rtsp.pool import ReceivePool
from ingest.rtsp.receive import Connection
from runtime.clock import SimClock

METHODS = ("GET_PARAMETER", "OPTIONS", "SET_PARAMETER")


@pytest.mark.parametrize(
    ("parameters", "seconds"),
    [
        ("", 60),
        ("timeout=30", 30),
        (" timeout = 30 ", 30),
        ('TIMEOUT="90"', 90),
        ("timeout=12.5", 12),
        ("timeout=1", 1),
        ("timeout=0", 60),
        ("timeout=-1", 60),
        ("timeout=99999999", 3_600),
        ("x=1;timeout=20", 20),
    ],
)
def test_time_out_is_that_of_the_session_header(parameters: str, seconds: float) -> None:
    assert session_timeout_s(parameters) == seconds


@given(st.text())
def test_any_time_out_is_read_within_its_bounds(text: str) -> None:
    assert 1 <= session_timeout_s(text) <= 3_600
    assert 1 <= session_timeout_s("timeout=" + text) <= 3_600


class Kept:
    """Signs of life over a real connection, on a simulated clock."""

    def __init__(self, timeout_s: float, methods: tuple[str, ...] = METHODS) -> None:
        self.clock = SimClock()
        ours, self.theirs = socket.socketpair()
        ours.setblocking(False)
        self.theirs.setblocking(False)
        self.dialogue = Dialogue("camera", None, 1.0)
        pool = ReceivePool(self.clock)
        self.connection = Connection(pool, ours, self.dialogue.on_message, lambda *_: None)
        self.dialogue.connection = self.connection
        self.kept = KeepAlive(self.dialogue, "rtsp://camera/1", methods, timeout_s, self.clock.monotonic_ns())
        self.said: list[tuple[float, str]] = []

    def run(self, seconds: float, status: dict[str, int] | None = None) -> list[tuple[float, str]]:
        """(time, method) of what is said; answered with 200 or the status of its method, by 0 not at all."""
        for _ in range(round(seconds * 4)):
            self.clock.advance(0.25)
            self.kept.check(self.clock.monotonic_ns())
            try:
                text = self.theirs.recv(65_536).decode()
            except BlockingIOError:
                continue
            method = text.split(" ")[0]
            self.said.append((self.clock.monotonic_ns() / SECOND, method))
            cseq = text.partition("CSeq: ")[2].partition("\r\n")[0]
            code = (status or {}).get(method, 200)
            if code:
                self.theirs.send(f"RTSP/1.0 {code} X\r\nCSeq: {cseq}\r\n\r\n".encode())
                self.connection.read()
        return self.said

    def close(self) -> None:
        self.connection.close()
        self.theirs.close()


@pytest.mark.parametrize(("timeout_s", "interval_s"), [(1, 0.5), (4, 2), (10, 5), (60, 30), (600, 30)])
async def test_sign_of_life_comes_at_half_of_the_time_out_and_every_30_seconds(
    timeout_s: float, interval_s: float
) -> None:
    kept = Kept(timeout_s)
    said = kept.run(interval_s * 6 + 0.25)
    assert [time for time, _ in said] == [interval_s * count for count in range(1, 7)]
    kept.close()


async def test_refused_method_is_followed_by_the_next_at_once_and_the_last_one_is_kept() -> None:
    kept = Kept(60)
    said = kept.run(100, {"GET_PARAMETER": 501, "OPTIONS": 400, "SET_PARAMETER": 451})
    assert [method for _, method in said] == [
        "GET_PARAMETER",
        "OPTIONS",
        "SET_PARAMETER",
        "SET_PARAMETER",
        "SET_PARAMETER",
    ]
    times = [time for time, _ in said]
    assert times[2] - times[0] < 1, "a server that does not count a refusal as a sign of life must not time out"
    assert [late - early for early, late in pairwise(times[2:])] == [30, 30]
    kept.close()


def hung_up(reason: str = "closed") -> SourceUnreachable:
    return SourceUnreachable("x", reason=reason)


async def test_end_with_our_sign_of_life_unanswered_names_the_policy() -> None:
    kept = Kept(60)
    kept.run(30, {"GET_PARAMETER": 0})
    told = kept.kept.explain(hung_up(), kept.clock.monotonic_ns())
    assert told.reason == "keep_alive_fatal"
    assert "keep_alive_options" in str(told)
    kept.close()


@pytest.mark.parametrize(
    ("seconds", "reason"), [(40, "closed"), (60, "session_timed_out"), (85, "session_timed_out"), (95, "closed")]
)
async def test_end_at_the_time_out_in_spite_of_options_names_the_policy(seconds: float, reason: str) -> None:
    kept = Kept(60, ("OPTIONS",))
    kept.run(seconds)
    told = kept.kept.explain(hung_up(), kept.clock.monotonic_ns())
    assert told.reason == reason
    assert ("keep_alive_parameter" in str(told)) is (reason == "session_timed_out")
    kept.close()


async def test_stall_is_no_matter_of_the_sign_of_life() -> None:
    kept = Kept(60)
    kept.run(30, {"GET_PARAMETER": 0})
    assert kept.kept.explain(hung_up("stall"), kept.clock.monotonic_ns()).reason == "stall"
    kept.close()


async def test_reply_without_a_number_is_that_of_the_open_sign_of_life() -> None:
    kept = Kept(60)
    kept.run(30, {"GET_PARAMETER": 0})
    assert kept.dialogue.keep_alive_open
    kept.dialogue.on_message(RtspReply(200, "OK", ()))
    assert not kept.dialogue.keep_alive_open
    kept.close()
