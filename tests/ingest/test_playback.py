from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ProtocolViolation, SourceUnreachable
from contracts.instant import SECOND, Instant
from ingest.rtsp.playback import PlaybackLimits, clock_range, play_back, range_begin
from runtime.clock import SystemClock
from tests.ingest.recording_server import (
    RECORDED_FROM,
    Habits,
    RecordingServer,
    picture_of,
    read_stamp,
    recording_server,
)
from tests.ingest.test_media import decodes

BASE = int(RECORDED_FROM.timestamp())


def at(second: float) -> Instant:
    return Instant(round((BASE + second) * SECOND))


@pytest.mark.parametrize(("lead_s", "hangs_up"), [(0, False), (3, False), (0, True)])
async def test_span_of_a_recording_comes_with_the_times_at_which_it_was_taken(lead_s: int, hangs_up: bool) -> None:
    async with recording_server(RecordingServer(Habits(lead_s=lead_s, hangs_up=hangs_up))) as server:
        limits = PlaybackLimits(stall_s=1.0)
        found = await play_back(server.url, at(60), at(66), clock=SystemClock(), speed=20.0, limits=limits)
        assert [each.event_time for each in found.pictures] == [at(60 + index) for index in range(7)]
        assert all(decodes(each.data) for each in found.pictures)
        play = next(headers for method, headers in server.requests if method == "PLAY")
        assert play["Range"] == "clock=20261125T100100Z-20261125T100106Z"
        assert play["Speed"] == "20.000"
        assert hangs_up or server.requests[-1][0] == "TEARDOWN"


async def test_server_that_states_no_times_is_taken_to_begin_where_it_was_asked_to() -> None:
    async with recording_server(RecordingServer(Habits(stated=False))) as server:
        limits = PlaybackLimits(stall_s=1.0)
        found = await play_back(server.url, at(0), at(3), clock=SystemClock(), speed=20.0, limits=limits)
        assert [each.event_time for each in found.pictures] == [at(index) for index in range(4)]


@pytest.mark.parametrize("limits", [PlaybackLimits(pictures_max=2), PlaybackLimits(bytes_max=100_000)])
async def test_bounds_end_the_run_with_teardown(limits: PlaybackLimits) -> None:
    async with recording_server(RecordingServer()) as server:
        found = await play_back(server.url, at(0), at(600), clock=SystemClock(), speed=50.0, limits=limits)
        assert 1 <= len(found.pictures) <= 20
        assert sum(len(each.data) for each in found.pictures) <= limits.bytes_max
        assert len(found.pictures) <= limits.pictures_max
        assert server.requests[-1][0] == "TEARDOWN"


@pytest.mark.parametrize(
    ("habits", "seconds", "ended"),
    [
        (Habits(gap=range(62, 70)), [60, 61, 70, 71, 72], ""),
        (Habits(cut_s=4), [60, 61, 62, 63], "recording_cut"),
        (Habits(pace=20.0), [60, 61, 62], "recording_slow"),
        (Habits(scale=4), [*range(60, 73)], ""),
    ],
)
async def test_pictures_bear_the_times_that_are_written_in_them_and_the_end_has_its_reason(
    habits: Habits, seconds: list[int], ended: str
) -> None:
    async with recording_server(RecordingServer(habits)) as server:
        limits = PlaybackLimits(stall_s=1.5, seconds_max=2.5)
        found = await play_back(server.url, at(60), at(72), clock=SystemClock(), speed=20.0, limits=limits)
    times = [each.event_time for each in found.pictures]
    assert [read_stamp(picture_of(each.data)) * SECOND for each in found.pictures] == times
    assert times == [at(second) for second in seconds]
    assert found.ended == ended


async def test_span_without_a_recording_has_its_reason() -> None:
    async with recording_server(RecordingServer()) as server:
        with pytest.raises(ProtocolViolation) as caught:
            await play_back(server.url, at(-90), at(-30), clock=SystemClock())
        assert caught.value.reason == "status_457"


async def test_time_bound_without_a_picture_says_that_there_is_no_recording() -> None:
    async with recording_server(RecordingServer(Habits(lead_s=40))) as server:
        limits = PlaybackLimits(seconds_max=0.5)
        with pytest.raises(SourceUnreachable) as caught:
            await play_back(server.url, at(60), at(66), clock=SystemClock(), limits=limits)
        assert caught.value.reason == "no_recording"


@given(st.integers(0, 4_000_000_000), st.integers(1, 100_000))
def test_range_of_a_request_reads_back(second: int, length: int) -> None:
    text = clock_range(Instant(second * SECOND), Instant((second + length) * SECOND))
    assert range_begin(text) == second * SECOND


@given(st.text())
def test_any_range_text_is_read_or_not(text: str) -> None:
    found = range_begin("clock=" + text)
    assert found is None or found % 1 == 0
