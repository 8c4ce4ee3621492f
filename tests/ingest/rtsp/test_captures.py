"""Every policy against its captures: on, off, and with the server's bytes in two pieces.

All replays go through real sockets, the exhaustive ones (marked slow) too: a cut is written only when everything
before it was read, so each offset of the server's bytes is one at which the client's reading stops. The fast tests
cut at the edges of every message and at offsets spread over the rest. UDP datagrams are whole by nature.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from ingest.rtsp.quirks import Quirk
from tests.ingest.rtsp.capture import Capture, Outcome, Replay, read_captures

CAPTURES = read_captures()
EACH = pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: capture.name)


def test_every_policy_has_a_capture() -> None:
    assert {capture.quirk for capture in CAPTURES} == set(Quirk)


def test_every_policy_and_what_it_is_off_stands_in_the_table_of_the_design_note() -> None:
    text = (Path(__file__).parents[3] / "docs" / "design" / "rtsp.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| `?(\w+)`? \|$", text, re.MULTILINE))
    ends = {capture.quirk: capture.reason for capture in CAPTURES}
    assert rows == {quirk: "ends" if reason == "rtsp_policy_off" else reason for quirk, reason in ends.items()}


def check_accepted(capture: Capture, got: Outcome) -> None:
    assert got.error is None
    assert got.in_time
    assert got.mistakes == []
    assert tuple(got.pictures) == capture.key_pictures
    assert set(got.seen) == {capture.quirk}, "this policy acted, was counted, and no other was needed"
    assert got.methods[-1] == "TEARDOWN"


@EACH
async def test_policy_that_is_on_gives_the_key_pictures_and_is_counted(capture: Capture) -> None:
    async with Replay() as replay:
        got = await replay.play(capture, capture.switched_on)
    check_accepted(capture, got)
    assert got.turns == len(capture.turns)
    assert got.totals.key_pictures == len(capture.key_pictures)
    # Of the packet whose length is wrong there is half.
    assert got.totals.packets_malformed == (capture.name == "resync.length_too_small")


@EACH
async def test_policy_that_is_off_ends_the_session_with_a_reason_that_names_it(capture: Capture) -> None:
    async with Replay() as replay:
        got = await replay.play(capture, capture.switched_off)
    check_refused(capture, got)
    if capture.reason not in HUNG_UP:
        begun = any(b"\r\nSession:" in turn.server for turn in capture.turns[: got.turns])
        assert not begun or got.methods[-1] == "TEARDOWN"


HUNG_UP = ("keep_alive_fatal", "session_timed_out")
"""The server closed the connection: nobody is left to hear a TEARDOWN."""


def check_refused(capture: Capture, got: Outcome) -> None:
    assert got.error is not None
    assert got.error.reason == capture.reason
    assert capture.quirk in str(got.error)
    assert capture.quirk not in got.seen


def edges(capture: Capture, total: int) -> list[int]:
    """Offsets around the ends of the server's messages, and every 97th."""
    found = set(range(97, total, 97))
    at = 0
    for turn in capture.turns:
        head = turn.server.find(b"\r\n\r\n") + 4
        found |= {at + 1, at + head - 2, at + head, at + head + 1, at + head + 3}
        at += len(turn.server)
    return sorted(offset for offset in found if 0 < offset < total)


async def replay_with_cuts(capture: Capture, offsets: list[int] | None) -> int:
    """The number of cuts after which the outcome was that of the whole. None = at every offset."""
    async with Replay() as replay:
        whole = await replay.play(capture, capture.switched_on)
        check_accepted(capture, whole)
        cuts = range(1, whole.sent) if offsets is None else offsets
        for cut in cuts:
            got = await replay.play(capture, capture.switched_on, cut)
            assert got == whole, f"cut at byte {cut}"
        return len(cuts)


@EACH
async def test_replay_cut_at_the_edges_of_messages_gives_the_same(capture: Capture) -> None:
    total = sum(len(turn.server) for turn in capture.turns)
    assert await asyncio.wait_for(replay_with_cuts(capture, edges(capture, total)), 50) > 10


@pytest.mark.slow
@pytest.mark.timeout(900)
@EACH
async def test_replay_cut_at_every_offset_gives_the_same(capture: Capture) -> None:
    assert await replay_with_cuts(capture, None) > 500


@pytest.mark.slow
@pytest.mark.timeout(900)
@EACH
async def test_replay_with_the_policy_off_and_cut_at_every_offset_ends_for_the_same_reason(
    capture: Capture,
) -> None:
    async with Replay() as replay:
        whole = await replay.play(capture, capture.switched_off)
        for cut in range(1, whole.sent):
            got = await replay.play(capture, capture.switched_off, cut)
            check_refused(capture, got)
            assert got.pictures == whole.pictures, f"cut at byte {cut}"
