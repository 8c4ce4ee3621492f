from __future__ import annotations

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import MalformedMessage
from ingest.rtsp.depacketize_h265 import H265Depacketizer
from ingest.rtsp.h265 import NAL_SPS, nal_type, parse_sps
from tests.ingest.h264_clip import START, split_nals, stream
from tests.ingest.h265_clip import aggregate, clip, fragments

Packet = tuple[bytes, int, int, bool]
Units = tuple[tuple[tuple[bytes, ...], bool], ...]


def packed(units: Units, seed: int = 1, size: int = 1400, markers: bool = True) -> list[Packet]:
    return stream(units, seed=seed, size=size, markers=markers, fragments=fragments, aggregate=aggregate)


class Received:
    """A depacketizer with its output."""

    def __init__(self, collecting: bool = False) -> None:
        self.pictures: list[tuple[bytes, bool]] = []
        self.depacketizer = H265Depacketizer(lambda data, _time, _late, key: self.pictures.append((data, key)))
        self.depacketizer.collect(collecting)

    def feed(self, packets: list[Packet]) -> Received:
        for payload, sequence, timestamp, marker in packets:
            self.depacketizer.packet(b"\xff" + payload, 1, 1 + len(payload), sequence, timestamp, marker)
        return self


def slices(nals: tuple[bytes, ...] | list[bytes]) -> list[bytes]:
    return [nal for nal in nals if nal_type(nal) < 32]


def decoded(pictures: list[bytes]) -> list[tuple[int, int]]:
    decoder = av.CodecContext.create("hevc", "r")
    frames = [frame for data in pictures for frame in decoder.decode(av.Packet(data))]
    return [(frame.width, frame.height) for frame in [*frames, *decoder.decode(None)]]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.integers(40, 60_000), markers=st.booleans())
def test_packetized_in_any_way_gives_the_key_pictures_back(seed: int, size: int, markers: bool) -> None:
    units = clip(30)
    got = Received().feed(packed(units, seed, size, markers))
    wanted = [slices(nals) for nals, key in units if key]
    assert [slices(split_nals(data)) for data, _ in got.pictures] == wanted
    assert got.depacketizer.packets_lost == got.depacketizer.packets_malformed == 0
    assert decoded([data for data, _ in got.pictures]) == [(160, 96)] * 3


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.integers(40, 60_000))
def test_collecting_gives_every_picture_in_order_and_all_decode(seed: int, size: int) -> None:
    units = clip(30)
    got = Received(collecting=True).feed(packed(units, seed, size))
    assert [slices(split_nals(data)) for data, _ in got.pictures] == [slices(nals) for nals, _ in units]
    assert [key for _, key in got.pictures] == [key for _, key in units]
    assert decoded([data for data, _ in got.pictures]) == [(160, 96)] * 30


def test_leading_pictures_of_the_first_clean_random_access_point_are_left_out_and_the_rest_decodes() -> None:
    units = clip(40, gop=12, options=":open-gop=1:bframes=2:b-adapt=0")
    kinds = [nal_type(slices(nals)[0]) for nals, _ in units]
    assert 21 in kinds[1:], "the clip has a CRA picture in its middle"
    assert {8, 9} & set(kinds), "and RASL pictures"
    start = kinds.index(21)
    got = Received(collecting=True).feed(packed(units[start:]))
    given_kinds = [nal_type(slices(split_nals(data))[0]) for data, _ in got.pictures]
    second = [index for index, kind in enumerate(kinds) if kind == 21][1]
    rest = kinds[second:]
    assert given_kinds == [kind for kind in kinds[start:second] if kind not in (8, 9)] + rest
    assert got.depacketizer.chains_broken == 0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), lost=st.sets(st.integers(0, 200), max_size=6), collecting=st.booleans())
def test_lost_packets_never_give_a_picture_that_was_not_sent(seed: int, lost: set[int], collecting: bool) -> None:
    units = clip(30)
    packets = [each for index, each in enumerate(packed(units, seed, 300)) if index not in lost]
    got = Received(collecting).feed(packets)
    sent = [slices(nals) for nals, _ in units]
    places = [sent.index(slices(split_nals(data))) for data, _ in got.pictures]
    assert places == sorted(places)
    for place, before, (_, key) in zip(places[1:], places, got.pictures[1:], strict=False):
        assert key or place == before + 1, "a picture whose predecessor is missing was handed on"


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.binary(max_size=80), st.integers(0, 65_535), st.integers(0, 2**32 - 1), st.booleans()),
        max_size=40,
    ),
    st.booleans(),
)
def test_garbage_never_raises(packets: list[Packet], collecting: bool) -> None:
    got = Received(collecting).feed(packets)
    assert got.depacketizer.packets == len(packets)


@pytest.mark.parametrize(("width", "height"), [(160, 96), (640, 360), (1920, 1080)])
def test_picture_size_is_read_from_the_parameter_set(width: int, height: int) -> None:
    nals = clip(1, width, height)[0][0]
    got = parse_sps(next(nal for nal in nals if nal_type(nal) == NAL_SPS))
    assert (got.width, got.height) == (width, height)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_as_parameter_set_are_read_or_refused(data: bytes) -> None:
    try:
        got = parse_sps(b"\x42\x01" + data)
    except MalformedMessage:
        return
    assert 0 < got.width <= 16_384
    assert 0 < got.height <= 16_384


def test_start_codes_are_four_bytes_long() -> None:
    got = Received().feed(packed(clip(10)))
    assert all(data.startswith(START) for data, _ in got.pictures)
