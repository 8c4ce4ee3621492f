from __future__ import annotations

import struct
from itertools import pairwise

import pytest

from bench.load.clips import KEY_INTERVAL, ClipName
from bench.load.marks import find_mark
from bench.load.programme import PackedPicture, Programme
from contracts.instant import SECOND, Instant
from ingest.rtsp.rtcp import find_sender_report
from sim.rtp_stream import interleave
from tests.bench.load.small_clip import clip


def headers(picture: PackedPicture) -> list[tuple[int, int, int, int]]:
    """Marker, sequence, timestamp and SSRC of each packet."""
    found = []
    for packet in picture.packets:
        _, kind, sequence, timestamp, ssrc = struct.unpack_from(">BBHII", packet)
        found.append((kind >> 7, sequence, timestamp, ssrc))
    return found


@pytest.mark.parametrize("name", [ClipName.NORMAL, pytest.param(ClipName.NORMAL265, marks=pytest.mark.slow)])
def test_sequence_and_time_run_through_over_the_end_of_the_clip(name: ClipName) -> None:
    programme = Programme(clip(name), kept=60)
    sequences, times = [], []
    for number in range(3 * KEY_INTERVAL + len(clip(name).pictures)):
        packets = headers(programme.picture(number))
        assert [marker for marker, *_ in packets] == [0] * (len(packets) - 1) + [1]
        assert len({timestamp for _, _, timestamp, _ in packets}) == 1
        assert {ssrc for *_, ssrc in packets} == {programme.ssrc}
        sequences += [sequence for _, sequence, _, _ in packets]
        times.append(packets[0][2])
    assert all((b - a) % 65_536 == 1 for a, b in pairwise(sequences))
    assert all((b - a) % 2**32 == 3_600 for a, b in pairwise(times))


def test_key_pictures_alone_carry_a_counter_that_grows_by_one() -> None:
    programme = Programme(clip(), kept=60)
    counters = [programme.picture(number).counter for number in range(4 * KEY_INTERVAL)]
    assert counters[::KEY_INTERVAL] == [0, 1, 2, 3]
    assert sum(counter is not None for counter in counters) == 4
    key = programme.picture(3 * KEY_INTERVAL)
    assert [find_mark(packet) for packet in key.packets if find_mark(packet) is not None] == [3]


def test_packets_fit_a_network_and_are_framed_for_the_channel_asked_for() -> None:
    programme = Programme(clip(), kept=60)
    picture = programme.picture(0)
    assert max(map(len, picture.packets)) <= 1_412
    assert picture.framed(4) == b"".join(interleave(4, packet) for packet in picture.packets)
    assert picture.framed(0)[:2] == b"$\x00"


def test_picture_that_is_no_longer_kept_is_refused() -> None:
    programme = Programme(clip(), kept=10)
    programme.picture(30)
    with pytest.raises(LookupError, match="oldest kept one is 21"):
        programme.picture(20)


def test_sender_report_of_about_every_fifth_second_tells_the_picture_s_times() -> None:
    programme = Programme(clip(), kept=200)
    wall = Instant(1_700_000_000 * SECOND + SECOND // 2)
    reports = [programme.report(programme.picture(number), wall) for number in range(200)]
    assert [number for number, report in enumerate(reports) if report is not None] == [0, 126]
    report = reports[126]
    assert report is not None
    read = find_sender_report(report, 0, len(report))
    assert read is not None
    assert read.rtp_timestamp == programme.picture(126).timestamp
    assert read.wall is not None
    assert abs(read.wall - wall) < 10
