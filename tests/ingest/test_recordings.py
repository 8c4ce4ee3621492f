"""The past of a camera from a real recorder, through the gate: sessions are counted, refusals have names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import msgspec
import pytest

from contracts.control import HistoryAnswer, HistoryOrigin, HistoryRequest
from contracts.errors import CommandRefused
from contracts.instant import SECOND, Instant
from contracts.place import Place
from contracts.source import Camera
from ingest.control import ControlDesk
from ingest.guest.gate import Gate
from ingest.guest.limits import GuestLimits, PlatformLimits
from ingest.guest.place import Visitor
from ingest.platforms.play import PlatformUrls
from ingest.recordings import PlatformRecordings
from ingest.ring import PictureRing
from runtime.clock import SystemClock
from runtime.metrics import StageCounters
from tests.ingest.recording_server import (
    RECORDED_FROM,
    Habits,
    RecordingServer,
    picture_of,
    read_stamp,
    recording_server,
)

CLOCK = SystemClock()
LIMITS = GuestLimits(rate_per_s=1000.0, burst=100, platforms={"nvr": PlatformLimits(2, 0)})


def at(second: float) -> Instant:
    return Instant(round((RECORDED_FROM.timestamp() + second) * SECOND))


class Receiver:
    """As much of a receiver as the desk asks for."""

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.promoted = False
        self.clock_offset_ns = 0


class Site:
    """A desk over real recordings."""

    def __init__(self, server: RecordingServer, runs_max: int, turn_s: float) -> None:
        self.server = server
        self.gate = Gate(CLOCK, LIMITS)
        self.camera = Camera(
            id="a",
            name="a",
            place=Place(105.7, 38.8),
            owner="公安",
            platform="nvr",
            url="rtsp://127.0.0.1/live",
            recording_url=server.url,
        )
        self.receiver = Receiver(self.camera)
        self.recordings = PlatformRecordings(
            PlatformUrls({}, CLOCK), {}, CLOCK, self.gate, runs_max=runs_max, turn_s=turn_s
        )
        self.desk = ControlDesk(
            {"a": self.receiver},  # type: ignore[dict-item]
            PictureRing(1 << 20, 60 * SECOND),
            StageCounters("test"),
            CLOCK,
            promoted_max=1,
            promote_max_s=10.0,
            recordings=self.recordings,
        )

    async def history(self, begin: float, end: float, pictures_max: int = 64) -> HistoryAnswer:
        wish = HistoryRequest(source_id="a", begin=at(begin), end=at(end), pictures_max=pictures_max)
        return await self.desk.history(wish)


@asynccontextmanager
async def site(habits: Habits | None = None, *, runs_max: int = 4, turn_s: float = 60.0) -> AsyncIterator[Site]:
    async with recording_server(RecordingServer(habits)) as server:
        made = Site(server, runs_max, turn_s)
        yield made
        assert made.gate.admission.open == made.gate.admission.opening == made.gate.admission.waiting == 0


async def test_what_the_recorder_kept_comes_with_its_own_times() -> None:
    async with site() as made:
        answer = await made.history(60, 66)
    assert answer.origin is HistoryOrigin.RECORDING
    assert [frame.header.event_time for frame in answer.frames] == [at(60 + second) for second in range(7)]
    stamps = [read_stamp(picture_of(frame.data)) for frame in answer.frames]
    assert [Instant(stamp * SECOND) for stamp in stamps] == [frame.header.event_time for frame in answer.frames]


@pytest.mark.parametrize(
    ("refuses", "reason"),
    [
        (("DESCRIBE", "404 Stream Not Found"), "not_found"),
        (("PLAY", "454 Session Not Found"), "session_gone"),
        (("PLAY", "457 Invalid Range"), "status_457"),
        (("SETUP", "453 Not Enough Bandwidth"), "status_453"),
    ],
)
async def test_recorder_that_refuses_leaves_the_past_missing_with_its_reason(
    refuses: tuple[str, str], reason: str
) -> None:
    async with site(Habits(refuses=(refuses,))) as made:
        answer = await made.history(60, 66)
        plays = [headers for method, headers in made.server.requests if method == "PLAY"]
    assert (answer.origin, answer.reason, answer.frames) == (HistoryOrigin.MISSING, reason, ())
    assert all("Range" in headers for headers in plays), "never played without the time that is wanted"


async def test_time_outside_the_recording_is_missing() -> None:
    async with site() as made:
        answer = await made.history(-90, -30)
    assert (answer.origin, answer.reason) == (HistoryOrigin.MISSING, "status_457")


async def test_playback_is_a_session_of_its_platform_and_waits_for_a_free_one_in_vain() -> None:
    async with site(turn_s=1.0) as made:
        live = Visitor("live", "camera:554", "nvr")
        async with made.gate.visit(live) as first:
            first.opened()
            assert (await made.history(60, 62)).origin is HistoryOrigin.RECORDING, "one of two is free"
            async with made.gate.visit(live) as second:
                second.opened()
                answer = await made.history(60, 62)
        assert (answer.origin, answer.reason) == (HistoryOrigin.MISSING, "no_session")
        assert (await made.history(60, 62)).origin is HistoryOrigin.RECORDING, "what was waited for is given back"


async def test_more_playbacks_than_sessions_wait_for_one_another_and_never_go_over_the_limit() -> None:
    async with site() as made:
        answers = await asyncio.gather(*(made.history(60 + n, 61 + n) for n in range(4)))
    assert [answer.origin for answer in answers] == [HistoryOrigin.RECORDING] * 4
    assert made.server.sessions_most == 2


async def test_more_playbacks_than_allowed_at_once_are_busy() -> None:
    async with site(runs_max=1) as made:
        first = asyncio.create_task(made.history(60, 62))
        await asyncio.sleep(0)  # noqa: TID251
        with pytest.raises(CommandRefused) as caught:
            await made.recordings.pictures(made.camera, at(60), at(62), 9)
        assert caught.value.reason == "busy"
        assert (await first).frames


@pytest.mark.parametrize("status", ["400 Bad Request", "456 Header Field Not Valid", "551 Option not supported"])
async def test_recorder_that_does_not_know_speed_is_asked_without_it(status: str) -> None:
    async with site(Habits(no_speed=status)) as made:
        answer = await made.history(60, 62)
        plays = [headers for method, headers in made.server.requests if method == "PLAY"]
        assert made.server.sessions_most == 1, "one after the other"
    assert [frame.header.event_time for frame in answer.frames] == [at(60), at(61), at(62)]
    # 400 may be meant for the URL too, so that the track's own is tried first.
    assert ["Speed" in headers for headers in plays][-2:] == [True, False]


@pytest.mark.parametrize("offset_s", [-300, 300])
async def test_device_whose_clock_is_off_is_asked_by_its_clock_and_its_pictures_have_our_times(
    offset_s: int,
) -> None:
    """It recorded second 60 of our time under its own time, which its live pictures have told."""
    async with site() as made:
        made.receiver.clock_offset_ns = offset_s * SECOND
        answer = await made.history(360, 362)
    assert [frame.header.event_time for frame in answer.frames] == [at(360), at(361), at(362)]
    written = [read_stamp(picture_of(frame.data)) * SECOND for frame in answer.frames]
    assert written == [at(second + offset_s) for second in (360, 361, 362)]


async def test_clock_of_another_device_says_nothing_of_the_recorder() -> None:
    async with site() as made:
        made.receiver.clock_offset_ns = 300 * SECOND
        made.receiver.camera = msgspec.structs.replace(made.camera, url="rtsp://10.9.9.9/live")
        answer = await made.history(60, 61)
    written = [read_stamp(picture_of(frame.data)) * SECOND for frame in answer.frames]
    assert written == [frame.header.event_time for frame in answer.frames] == [at(60), at(61)]


@pytest.mark.parametrize(
    ("habits", "reason"),
    [
        (Habits(stated=False, live=600), "recording_untimed"),
        (Habits(stated=False, live=600, states="clock=20261125T101000Z-"), "recording_elsewhere"),
    ],
)
async def test_recorder_that_plays_another_time_leaves_the_past_missing(habits: Habits, reason: str) -> None:
    async with site(habits) as made:
        answer = await made.history(60, 66)
    assert (answer.origin, answer.reason, answer.frames) == (HistoryOrigin.MISSING, reason, ())


@pytest.mark.parametrize("lead_s", [0, 20])
async def test_recorder_with_more_key_pictures_than_asked_for_shows_the_whole_span_evenly(lead_s: int) -> None:
    async with site(Habits(lead_s=lead_s)) as made:
        answer = await made.history(60, 80, 6)
    seconds = [(frame.header.event_time - at(0)) / SECOND for frame in answer.frames]
    assert len(seconds) == 6
    assert seconds[0] <= 62
    assert seconds[-1] >= 76
    assert max(after - before for before, after in pairwise(seconds)) <= 6
