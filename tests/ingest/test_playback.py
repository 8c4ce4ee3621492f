from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ConfigError, ProtocolViolation, SourceUnreachable
from contracts.instant import SECOND, Instant
from ingest.rtsp.playback import Playback, PlaybackLimits, clock_range, play_back, range_begin
from ingest.rtsp.recorder import RecorderPolicy, read_policies
from runtime.clock import SystemClock
from tests.ingest.recording_server import (
    RECORDED_FROM,
    Habits,
    RecordingServer,
    picture_of,
    read_stamp,
    recording_server,
    stamped_group,
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


async def played(server: RecordingServer, *policies: RecorderPolicy, begin: int = 60, end: int = 66) -> Playback:
    return await play_back(
        server.url,
        at(begin),
        at(end),
        clock=SystemClock(),
        speed=20.0,
        limits=PlaybackLimits(stall_s=3.0, seconds_max=20.0),
        recorder=frozenset(policies),
    )


def assert_true(found: Playback, seconds: range, codec: str = "h264") -> None:
    """Each picture has the time that is written in it."""
    assert [each.event_time for each in found.pictures] == [at(second) for second in seconds]
    stamps = [read_stamp(picture_of(each.data, codec)) * SECOND for each in found.pictures]
    assert stamps == [each.event_time for each in found.pictures]


async def test_server_that_states_no_times_is_believed_only_where_the_policy_says_so() -> None:
    async with recording_server(RecordingServer(Habits(stated=False))) as server:
        with pytest.raises(SourceUnreachable) as caught:
            await played(server)
        assert caught.value.reason == "recording_untimed"
        assert server.requests[-1][0] == "TEARDOWN"
        assert_true(await played(server, RecorderPolicy.RANGE_UNSTATED), range(60, 67))


@pytest.mark.parametrize(
    ("states", "reason"),
    [
        (None, "recording_untimed"),
        ("npt=now-", "recording_untimed"),
        ("clock=20261125T1001Z-", "recording_untimed"),
        ("clock=20261125T101000Z-", "recording_elsewhere"),
        ("clock=20261125T094000.5Z-", "recording_elsewhere"),
    ],
)
async def test_server_that_ignores_range_and_plays_another_time_shows_nothing(
    states: str | None, reason: str
) -> None:
    async with recording_server(RecordingServer(Habits(stated=False, live=600, states=states))) as server:
        with pytest.raises(SourceUnreachable) as caught:
            await played(server)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "habits",
    [
        Habits(fraction=True),
        Habits(info="url=x;rtptime=0"),
        Habits(info="url=audio;seq=1;rtptime=1500000000,url=video;seq=100;rtptime=4294767296"),
        Habits(lead_s=3, info=" "),
    ],
)
async def test_odd_headers_leave_the_times_true(habits: Habits) -> None:
    async with recording_server(RecordingServer(habits)) as server:
        assert_true(await played(server), range(60, 67))


async def test_h265_recording_bears_its_times_too() -> None:
    async with recording_server(RecordingServer(Habits(codec="libx265"))) as server:
        assert_true(await played(server), range(60, 67), "hevc")


async def test_recorder_that_means_beijing_time_by_z_is_asked_and_understood_so_where_the_policy_says_so() -> None:
    async with recording_server(RecordingServer(Habits(zone_s=8 * 3600))) as server:
        with pytest.raises(ProtocolViolation):
            await played(server)
        assert_true(await played(server, RecorderPolicy.RANGE_LOCAL), range(60, 67))
        plays = [headers["Range"] for method, headers in server.requests if method == "PLAY"]
    assert plays == ["clock=20261125T100100Z-20261125T100106Z", "clock=20261125T180100Z-20261125T180106Z"]


async def test_clock_of_the_recording_that_begins_anew_ends_what_is_shown() -> None:
    async with recording_server(RecordingServer(Habits(restarts=(4,)))) as server:
        found = await played(server, end=72)
    assert_true(found, range(60, 64))
    assert found.ended == "recording_untimed"


def test_policy_of_recorders_that_does_not_exist_is_refused() -> None:
    assert read_policies(["range_local"]) == {RecorderPolicy.RANGE_LOCAL}
    with pytest.raises(ConfigError, match="range_unstated"):
        read_policies(["range_lokal"])


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
        (Habits(pace=60.0), [60, 61, 62], "recording_slow"),
        (Habits(scale=4), [*range(60, 73)], ""),
    ],
)
async def test_pictures_bear_the_times_that_are_written_in_them_and_the_end_has_its_reason(
    habits: Habits, seconds: list[int], ended: str
) -> None:
    async with recording_server(RecordingServer(habits)) as server:
        for second in range(60, 73):
            stamped_group(BASE + second)
        # The slow one gives a picture every 3 s.
        limits = PlaybackLimits(stall_s=5.0, seconds_max=8.0)
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
