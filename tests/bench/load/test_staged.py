from __future__ import annotations

import asyncio
import itertools

from bench.load.clips import KEY_INTERVAL, Clip
from bench.load.control import Control, Done
from bench.load.programme import Programme
from bench.load.server import LoadServer
from bench.load.staged import StagedStream
from runtime.clock import SystemClock
from tests.bench.load.small_clip import clip


def other() -> Clip:
    """Another clip: the same pictures, half a clip later, with packets of another number."""
    played = clip()
    half = len(played.pictures) // 2 // KEY_INTERVAL * KEY_INTERVAL
    return Clip("other", played.hevc, played.width, played.height, played.pictures[half:] + played.pictures[:half])


def packets(framed: bytes) -> list[bytes]:
    found = []
    while framed:
        length = int.from_bytes(framed[2:4], "big")
        found.append(framed[4 : 4 + length])
        framed = framed[4 + length :]
    return found


def test_staged_stream_changes_at_a_key_picture_and_its_numbers_clock_and_name_go_on() -> None:
    usual, staged = Programme(clip(), kept=400), Programme(other(), kept=400)
    stream, sent, shown = StagedStream(), [], []
    for number in range(4 * KEY_INTERVAL):
        if number in (KEY_INTERVAL + 7, 3 * KEY_INTERVAL - 1):
            stream.wanted = not stream.wanted
        one, two = usual.picture(number), staged.picture(number)
        made = packets(stream.send(one, two, 0))
        payloads = [packet[12:] for packet in made]
        assert payloads in ([p[12:] for p in one.packets], [p[12:] for p in two.packets])
        shown.append(payloads == [p[12:] for p in two.packets])
        assert {packet[4:8] for packet in made} == {one.timestamp.to_bytes(4, "big")}
        assert {packet[8:12] for packet in made} == {one.packets[0][8:12]}
        sent += [int.from_bytes(packet[2:4], "big") for packet in made]
    assert [n // KEY_INTERVAL for n, is_staged in enumerate(shown) if is_staged] == [2] * KEY_INTERVAL
    assert [(later - earlier) & 0xFFFF for earlier, later in itertools.pairwise(sent)] == [1] * (len(sent) - 1)


async def test_server_without_a_staged_clip_or_the_stream_stages_nothing() -> None:
    for staged in (None, other()):
        server = LoadServer(clip(), SystemClock(), "127.0.0.1", 0, staged=staged)
        try:
            answer = await asyncio.to_thread(Control(server).answer, b'{"do":"stage","streams":[1]}')
            assert answer == Done(0)
        finally:
            server.close()


def test_programme_that_begins_late_has_the_pictures_of_that_number() -> None:
    late = Programme(clip(), kept=60, begin=2 * KEY_INTERVAL)
    whole = Programme(clip(), kept=400)
    picture = late.picture(2 * KEY_INTERVAL + 1)
    assert [p[12:] for p in picture.packets] == [p[12:] for p in whole.picture(2 * KEY_INTERVAL + 1).packets]
    assert picture.timestamp == whole.picture(2 * KEY_INTERVAL + 1).timestamp
