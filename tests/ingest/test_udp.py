from __future__ import annotations

import random

import pytest

from contracts.instant import SECOND
from ingest.rtsp.assembly import Octets
from ingest.rtsp.udp import Reorder, UdpPorts
from tests.ingest.h264_clip import rtp


class Ordered:
    def __init__(self) -> None:
        self.sequences: list[int] = []
        self.reorder = Reorder(self._deliver)

    def _deliver(self, data: Octets, start: int, _end: int) -> None:
        self.sequences.append(data[start + 2] << 8 | data[start + 3])

    def take(self, sequence: int, now_ns: int = 0) -> None:
        packet = rtp(b"abc", sequence, 0, False)
        self.reorder.take(packet, 0, len(packet), now_ns)


def test_packets_shuffled_within_the_buffer_come_out_in_order_across_the_wrap() -> None:
    for seed in range(50):
        rng = random.Random(seed)
        order = sorted(range(1, 400), key=lambda each: each + rng.random() * 20)
        ordered = Ordered()
        for each in (0, *order):
            ordered.take((65_400 + each) & 0xFFFF)
        assert ordered.sequences == [(65_400 + each) & 0xFFFF for each in range(400)]
        assert ordered.reorder.late == 0


def test_gap_is_given_up_after_its_time_and_what_comes_later_is_late() -> None:
    ordered = Ordered()
    for each in (1, 3, 4):
        ordered.take(each)
    assert ordered.sequences == [1]
    ordered.reorder.check(SECOND)
    assert ordered.sequences == [1, 3, 4]
    ordered.take(2, SECOND)
    assert ordered.reorder.late == 1


def test_sender_that_counts_anew_is_followed() -> None:
    ordered = Ordered()
    for each in (*range(30_000, 30_010), *range(100, 140)):
        ordered.take(each)
    assert ordered.sequences[-1] == 139


def test_range_without_a_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="20001-20001"):
        UdpPorts(20_001, 20_001)
