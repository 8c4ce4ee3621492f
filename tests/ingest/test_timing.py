from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contracts.instant import MS, SECOND, Instant
from ingest.rtsp.rtcp import find_sender_report, receiver_report
from ingest.rtsp.timing import JUMP_NS, RtpTimeline
from tests.ingest.rtsp.session_pieces import sender_report

START = Instant(1_795_000_000 * SECOND)


def test_event_time_follows_the_rtp_clock_and_not_the_jitter_of_arrival() -> None:
    timeline = RtpTimeline()
    assert timeline.event_time(0, START).at == START
    late = timeline.event_time(180_000, Instant(START + 2 * SECOND + 300 * MS))
    assert START + 2 * SECOND <= late.at <= START + 2 * SECOND + 2 * MS
    assert not late.jumped


def test_when_our_own_clock_is_set_event_times_follow_at_once() -> None:
    timeline, steady, set_by = RtpTimeline(), 77 * SECOND, 8 * SECOND
    assert timeline.event_time(0, steady).instant(START, steady) == START
    later = steady + 2 * SECOND
    arrival = Instant(START + 2 * SECOND + set_by)
    event = timeline.event_time(180_000, later)
    assert (event.instant(arrival, later), event.jumped) == (arrival, False)


def test_rtp_time_wraps_without_a_jump() -> None:
    timeline = RtpTimeline()
    timeline.event_time(2**32 - 90_000, START)
    got = timeline.event_time(90_000, Instant(START + 2 * SECOND))
    assert (got.at, got.jumped) == (START + 2 * SECOND, False)


def test_rtp_clock_that_begins_anew_is_anchored_anew() -> None:
    timeline = RtpTimeline()
    timeline.event_time(4_000_000_000, START)
    got = timeline.event_time(12, Instant(START + SECOND))
    assert got.jumped
    assert got.at == START + SECOND
    after = timeline.event_time(90_012, Instant(START + 2 * SECOND))
    assert (after.at, after.jumped) == (START + 2 * SECOND, False)


def test_picture_that_comes_earlier_than_expected_pulls_the_anchor_down() -> None:
    timeline = RtpTimeline()
    timeline.event_time(0, Instant(START + 500 * MS))
    got = timeline.event_time(90_000, Instant(START + SECOND))
    assert got.at == START + SECOND, "never behind arrival"
    assert timeline.event_time(180_000, Instant(START + 2 * SECOND + 400 * MS)).at < START + 2 * SECOND + MS


def test_slow_camera_clock_is_followed_for_a_day() -> None:
    timeline = RtpTimeline()
    for step in range(43_200):
        arrival = Instant(START + step * 2 * SECOND)
        got = timeline.event_time(round(step * 180_000 * 0.9999) & 0xFFFFFFFF, arrival)
        assert not got.jumped
        assert 0 <= arrival - got.at < 100 * MS


@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 20 * SECOND)), min_size=1, max_size=40),
)
def test_event_time_is_never_after_arrival_nor_far_before(steps: list[tuple[int, int]]) -> None:
    timeline = RtpTimeline()
    arrival = int(START)
    for timestamp, gap in steps:
        arrival += gap
        got = timeline.event_time(timestamp, Instant(arrival))
        assert arrival - JUMP_NS <= got.at <= arrival


def test_sender_report_is_found_in_a_compound_packet() -> None:
    report = sender_report(START, 4711)
    other = b"\x80\xc9\x00\x01" + bytes(4)
    found = find_sender_report(other + report, 0, len(other) + len(report))
    assert found is not None
    assert found.rtp_timestamp == 4711
    assert found.wall is not None
    assert abs(found.wall - START) < 10
    assert find_sender_report(report, 0, len(report) - 1) is None
    unset = report[:8] + bytes(8) + report[16:]
    silent = find_sender_report(unset, 0, len(unset))
    assert silent is not None
    assert silent.wall is None


def test_sender_report_after_2036_is_read_in_the_next_era() -> None:
    later = Instant(2_100_000_000 * SECOND)
    report = bytearray(sender_report(Instant(0), 1))
    seconds = (later // SECOND + 2_208_988_800) & 0xFFFFFFFF
    report[8:12] = seconds.to_bytes(4, "big")
    found = find_sender_report(report, 0, len(report))
    assert found is not None
    assert found.wall == later


@given(st.binary(max_size=80))
def test_any_bytes_as_rtcp_are_read_or_ignored(data: bytes) -> None:
    find_sender_report(data, 0, len(data))


def test_receiver_report_is_well_formed() -> None:
    body = receiver_report(1, 2, lost=3, fraction=4, highest=5, lsr=6, delay_ns=SECOND)
    first = (int.from_bytes(body[2:4], "big") + 1) * 4
    second = (int.from_bytes(body[first + 2 : first + 4], "big") + 1) * 4
    assert (body[1], body[first + 1]) == (201, 202)
    assert first + second == len(body)
