from __future__ import annotations

import struct
from itertools import pairwise

import pytest

from bench.load.clips import KEY_INTERVAL
from bench.load.faults import Fault, FrozenStream, Sending, send_with
from bench.load.programme import PackedPicture, Programme
from contracts.errors import SourceError
from contracts.instant import SECOND, Instant
from ingest.rtsp.message import parse_message
from ingest.rtsp.rtcp import find_sender_report
from tests.bench.load.small_clip import clip

WALL = Instant(1_700_000_000 * SECOND)


@pytest.fixture
def programme() -> Programme:
    return Programme(clip(), kept=400)


def sending(fault: Fault, picture: PackedPicture, played: int, stream: int = 3) -> Sending:
    return send_with(
        fault, picture, channel=0, played=played, stream=stream, ssrc=77, wall=WALL, frozen=FrozenStream()
    )


def packets(blob: bytes) -> list[bytes]:
    """The interleaved packets in it."""
    found = []
    while blob:
        end = 4 + int.from_bytes(blob[2:4], "big")
        found.append(blob[4:end])
        blob = blob[end:]
    return found


def test_frozen_stream_repeats_its_first_key_picture_in_running_packets_and_times(programme: Programme) -> None:
    frozen = FrozenStream()
    shown = [frozen.send(programme.picture(number), 0) for number in range(3 * KEY_INTERVAL)]
    first, later = packets(shown[0]), packets(shown[2 * KEY_INTERVAL])
    assert programme.picture(2 * KEY_INTERVAL).packets != programme.picture(0).packets
    assert [packet[12:] for packet in later] == [packet[12:] for packet in first]
    assert later[0][4:8] == programme.picture(2 * KEY_INTERVAL).packets[0][4:8]
    assert packets(shown[1])[0][12:] == programme.picture(1).packets[0][12:]
    numbers = [int.from_bytes(packet[2:4], "big") for blob in shown for packet in packets(blob)]
    assert {(later - earlier) % 65_536 for earlier, later in pairwise(numbers)} == {1}


def test_lossy_stream_lacks_two_packets_in_a_hundred_and_says_which_pictures_are_whole(
    programme: Programme,
) -> None:
    sent = missing = 0
    for number in range(300):
        picture = programme.picture(number)
        found = sending(Fault.LOSS, picture, number)
        lost = len(picture.packets) - len(packets(found.blob))
        assert found.whole is (lost == 0)
        sent, missing = sent + len(picture.packets), missing + lost
    assert 0.015 < missing / sent < 0.025


@pytest.mark.parametrize("fault", [Fault.FLAP, Fault.STALL, Fault.GARBAGE])
def test_stream_that_breaks_is_good_for_four_seconds(programme: Programme, fault: Fault) -> None:
    picture = programme.picture(0)
    assert sending(fault, picture, 99) == Sending(picture.framed(0), whole=True)
    assert not sending(fault, picture, 100).whole


def test_flapping_one_is_reset_and_stalled_one_says_nothing(programme: Programme) -> None:
    assert sending(Fault.FLAP, programme.picture(0), 100).reset
    assert sending(Fault.STALL, programme.picture(0), 100) == Sending()


def test_garbage_holds_no_packet_and_is_no_rtsp(programme: Programme) -> None:
    noise = sending(Fault.GARBAGE, programme.picture(0), 100).blob
    assert len(noise) == 4_096
    assert b"$" not in noise
    with pytest.raises(SourceError):
        parse_message(noise)


def test_wrong_rtcp_follows_a_whole_picture_and_lies_in_many_ways(programme: Programme) -> None:
    picture = programme.picture(0)
    lies = set()
    for played in range(100):
        found = sending(Fault.WRONG_RTCP, picture, played)
        assert found.whole
        assert found.blob.startswith(picture.framed(0))
        lie = found.blob[len(picture.framed(0)) :]
        assert lie[:2] == b"$\x01"
        lies.add(lie)
        assert sending(Fault.WRONG_RTCP, picture, played) == found, "repeatable"
    assert len(lies) > 50


def test_jumped_clock_keeps_the_payload_and_moves_both_clocks_by_an_hour(programme: Programme) -> None:
    picture = programme.picture(4 * KEY_INTERVAL)
    still = sending(Fault.CLOCK_JUMP, picture, 0).blob
    jumped = sending(Fault.CLOCK_JUMP, picture, 200).blob
    (before,) = struct.unpack_from(">I", still, 8)
    (after,) = struct.unpack_from(">I", jumped, 8)
    assert (after - before) % 2**32 == 3_600 * 90_000
    assert jumped[12 : 4 + len(picture.packets[0])] == still[12 : 4 + len(picture.packets[0])]
    at = len(picture.framed(0)) + 4
    first, second = find_sender_report(still, at, len(still)), find_sender_report(jumped, at, len(jumped))
    assert first is not None
    assert second is not None
    assert first.wall is not None
    assert second.wall is not None
    assert second.wall - first.wall == 3_600 * SECOND
    assert (second.rtp_timestamp - first.rtp_timestamp) % 2**32 == 3_600 * 90_000
