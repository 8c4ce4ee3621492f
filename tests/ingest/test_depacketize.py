from __future__ import annotations

import random

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import MalformedMessage
from ingest.rtsp.assembly import KeyPicturePolicy
from ingest.rtsp.depacketize_h264 import H264Depacketizer
from ingest.rtsp.h264 import has_recovery_point, parse_sps
from tests.ingest.h264_clip import START, clip, fragments, interleaved, rtp, split_nals, stap_a, stream

Packet = tuple[bytes, int, int, bool]


class Received:
    """A depacketizer with its output."""

    def __init__(self, **options: object) -> None:
        self.pictures: list[tuple[bytes, int, bool]] = []
        self.depacketizer = H264Depacketizer(self._take, **options)  # type: ignore[arg-type]

    def _take(self, data: bytes, timestamp: int, late: bool, _key: bool) -> None:
        self.pictures.append((data, timestamp, late))

    def feed(self, packets: list[Packet]) -> Received:
        for payload, sequence, timestamp, marker in packets:
            junk = b"\xff\xee" + payload + b"\xdd"
            self.depacketizer.packet(junk, 2, 2 + len(payload), sequence, timestamp, marker)
        return self


def expected(units: tuple[tuple[tuple[bytes, ...], bool], ...]) -> list[bytes]:
    """The key pictures of a clip with one SPS and PPS, as Annex B."""
    out = []
    for nals, key in units:
        if key:
            sets = [nal for nal in nals if nal[0] & 0x1F in (7, 8)]
            rest = [nal for nal in nals if nal[0] & 0x1F not in (7, 8, 9, 12)]
            out.append(b"".join(START + nal for nal in sets + rest))
    return out


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.integers(40, 60_000), markers=st.booleans())
def test_packetized_in_any_way_gives_the_key_pictures_back(seed: int, size: int, markers: bool) -> None:
    units = clip(30)
    got = Received().feed(stream(units, seed=seed, size=size, markers=markers))
    assert [data for data, _, _ in got.pictures] == expected(units)
    assert got.depacketizer.packets_lost == 0
    assert got.depacketizer.packets_malformed == 0
    dropped = sum(not key for _, key in units)
    assert got.depacketizer.dropped_pictures == dropped - (0 if markers else 1)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), lost=st.sets(st.integers(0, 200), max_size=6))
def test_lost_packets_never_give_a_picture_that_was_not_sent(seed: int, lost: set[int]) -> None:
    units = clip(30)
    packets = stream(units, seed=seed, size=300)
    kept = [packet for index, packet in enumerate(packets) if index not in lost]
    got = Received().feed(kept)
    slices = {tuple(n for n in split_nals(data) if n[0] & 0x1F == 5) for data in expected(units)}
    for data, _, _ in got.pictures:
        assert tuple(n for n in split_nals(data) if n[0] & 0x1F == 5) in slices
    gaps = {i for i in lost if i < len(packets)}
    first = min(set(range(len(packets))) - gaps)
    last = max(set(range(len(packets))) - gaps)
    assert got.depacketizer.packets_lost == len({i for i in gaps if first < i < last})


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.binary(max_size=80), st.integers(0, 65_535), st.integers(0, 2**32 - 1), st.booleans()),
        max_size=40,
    )
)
def test_garbage_never_raises(packets: list[Packet]) -> None:
    got = Received(picture_bytes_max=200).feed(packets)
    assert got.depacketizer.packets == len(packets)
    assert all(len(data) < 200 + 80 + 64 * 2 * 4200 for data, _, _ in got.pictures)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_mutated_streams_never_raise(seed: int) -> None:
    rng = random.Random(seed)
    packets = []
    for payload, sequence, timestamp, marker in stream(clip(30), size=200):
        raw = bytearray(payload)
        if rng.random() < 0.3:
            raw[rng.randrange(min(4, len(raw)))] ^= 1 << rng.randrange(8)
        if rng.random() < 0.1:
            raw = raw[: rng.randrange(len(raw) + 1)]
        packets.append((bytes(raw), sequence, timestamp, marker))
    Received().feed(packets)


def test_start_in_the_middle_of_a_key_picture_waits_for_the_next_one() -> None:
    units = clip(30)
    packets = stream(units, size=100)
    middle = next(i for i, p in enumerate(packets) if p[0][0] & 0x1F == 28 and not p[0][1] & 0x80)
    got = Received().feed(packets[middle:])
    sets = [nal for nal in units[0][0] if nal[0] & 0x1F in (7, 8)]
    assert len(sets) == 2
    assert [data for data, _, _ in got.pictures] == expected(units)[1:]
    assert got.depacketizer.key_pictures_lost == 1


def test_parameter_sets_from_sdp_alone_are_put_in_front_and_the_picture_decodes() -> None:
    units = clip(10)
    sets = [nal for nal in units[0][0] if nal[0] & 0x1F in (7, 8)]
    bare = tuple((tuple(n for n in nals if n[0] & 0x1F not in (7, 8)), key) for nals, key in units)
    without = Received().feed(stream(bare))
    assert without.pictures == []
    assert without.depacketizer.key_pictures_without_sets == 1
    got = Received()
    for nal in sets:
        got.depacketizer.add_parameter_set(nal)
    got.feed(stream(bare))
    decoder = av.CodecContext.create("h264", "r")
    frames = [*decoder.decode(av.Packet(got.pictures[0][0])), *decoder.decode(None)]
    assert [(frame.width, frame.height) for frame in frames] == [(160, 96)]


def test_lost_marker_of_a_key_picture_is_made_good_by_the_next_timestamp() -> None:
    units = clip(12)
    packets = stream(units, seed=5, markers=True)
    blind = [(p, s, t, False) for p, s, t, _ in packets]
    got = Received().feed(blind)
    assert [late for _, _, late in got.pictures] == [True, True]


def test_gap_after_an_unmarked_key_picture_refuses_it_since_its_end_may_be_missing() -> None:
    units = clip(3)
    packets = [(p, s, t, False) for p, s, t, _ in stream(units, size=200)]
    key_time = packets[0][2]
    last_of_key = max(i for i, p in enumerate(packets) if p[2] == key_time)
    got = Received().feed(packets[:last_of_key] + packets[last_of_key + 1 :])
    assert got.pictures == []
    assert got.depacketizer.key_pictures_lost == 1


def test_picture_over_the_bound_is_refused_and_counted_without_keeping_it() -> None:
    nal = b"\x65\x88" + bytes(50_000)
    sets = [b"\x67\x42\xc0\x1e\xda\x02\x80\xf6\x84", b"\x68\xce\x38\x80"]
    got = Received(picture_bytes_max=10_000)
    packets = [(stap_a(sets), 0, 9, False)]
    parts = list(fragments(nal, 1000))
    packets += [(part, i + 1, 9, i == len(parts) - 1) for i, part in enumerate(parts)]
    got.feed(packets)
    assert got.pictures == []
    assert got.depacketizer.key_pictures_too_large == 1


def test_sequence_that_begins_anew_does_not_silence_the_stream() -> None:
    units = clip(10)
    got = Received().feed(stream(units, sequence=40_000)).feed(stream(units, sequence=100, timestamp=5))
    assert len(got.pictures) == 2


def test_several_slices_make_one_picture() -> None:
    units = clip(10, options=":slices=4")
    assert sum(nal[0] & 0x1F == 5 for nal in units[0][0]) == 4
    got = Received().feed(stream(units, seed=3))
    assert [data for data, _, _ in got.pictures] == expected(units)


@pytest.mark.parametrize(("policy", "wanted"), [(KeyPicturePolicy.RECOVERY_POINT, 3), (KeyPicturePolicy.IDR, 1)])
def test_recovery_point_pictures_are_key_pictures_by_policy(policy: KeyPicturePolicy, wanted: int) -> None:
    units = clip(30, options=":open-gop=1:bframes=2")
    idr = sum(any(nal[0] & 0x1F == 5 for nal in nals) for nals, _ in units)
    assert idr == 1, "the clip has one IDR picture and two recovery points"
    got = Received(policy=policy).feed(stream(units))
    assert len(got.pictures) == wanted


def test_recovery_point_picture_whose_first_fragment_is_lost_is_a_key_picture_lost() -> None:
    units = clip(30, options=":open-gop=1:bframes=2")
    packets = stream(units, size=200)
    recovery = [
        index
        for index, (payload, *_) in enumerate(packets)
        if payload[0] & 0x1F == 6 and has_recovery_point(payload)
    ]
    first = next(index for index in range(recovery[0], len(packets)) if packets[index][0][0] & 0x1F == 28)
    assert packets[first][0][1] & 0x80, "its first fragment"
    got = Received().feed([*packets[:first], *packets[first + 1 :]])
    assert got.depacketizer.key_pictures_lost == 1
    assert len(got.pictures) == 2


def test_recovery_point_that_needs_more_pictures_does_not_count() -> None:
    assert has_recovery_point(bytes((6, 6, 1, 0x84, 0x80)))
    assert not has_recovery_point(bytes((6, 6, 2, 0x21, 0x80, 0x80)))
    assert not has_recovery_point(bytes((6, 5, 2, 1, 2, 0x80)))
    assert not has_recovery_point(b"\x06\xff\xff\xff")


@pytest.mark.parametrize(
    ("width", "height", "rate"), [(160, 96, 25), (640, 360, 25), (1920, 1080, 15), (98, 62, 30)]
)
def test_picture_size_and_rate_are_read_from_the_parameter_set(width: int, height: int, rate: int) -> None:
    units = clip(1, width=width, height=height, rate=rate)
    sps = next(nal for nal in units[0][0] if nal[0] & 0x1F == 7)
    got = parse_sps(sps)
    assert (got.width, got.height, got.pictures_per_s) == (width, height, rate)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_as_parameter_set_are_read_or_refused(data: bytes) -> None:
    try:
        got = parse_sps(b"\x67" + data)
    except MalformedMessage:
        return
    assert 0 < got.width <= 16_384
    assert 0 < got.height <= 16_384


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.integers(40, 60_000))
def test_collecting_gives_every_picture_in_decoding_order(seed: int, size: int) -> None:
    units = clip(30)
    got = Received()
    got.depacketizer.collect(True)
    got.feed(stream(units, seed=seed, size=size))
    sent = [[n for n in nals if n[0] & 0x1F in (1, 5)] for nals, _ in units]
    assert [[n for n in split_nals(data) if n[0] & 0x1F in (1, 5)] for data, _, _ in got.pictures] == sent
    assert got.depacketizer.kept_pictures == sum(not key for _, key in units)


def test_collecting_that_begins_in_the_middle_waits_for_the_next_key_picture() -> None:
    units = clip(30)
    got = Received().feed(stream(units[:4]))
    assert len(got.pictures) == 1
    got.depacketizer.collect(True)
    sequence = 65_500 + len(stream(units[:4]))
    got.feed(stream(units[4:], sequence=sequence, timestamp=7))
    assert len(got.pictures) == 1 + 20
    got.depacketizer.collect(False)
    got.feed(stream(units, sequence=100, timestamp=99_999_999))
    assert len(got.pictures) == 21 + 3


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.integers(200, 3000))
def test_collecting_measures_the_same_sizes_as_dropping(seed: int, size: int) -> None:
    """Else a suspect, whose pictures are collected, would look quiet."""
    measured = []
    for collecting in (False, True):
        got = Received()
        got.depacketizer.collect(collecting)
        of = got.feed(stream(clip(30), seed=seed, size=size)).depacketizer
        measured.append(
            (
                of.dropped_pictures + of.collected_pictures,
                of.dropped_bytes + of.collected_bytes,
                of.dropped_bytes_max,
            )
        )
        assert (of.dropped_pictures == 0) is collecting
    assert measured[0] == measured[1]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), lost=st.sets(st.integers(0, 200), min_size=1, max_size=6))
def test_collected_picture_never_follows_one_that_is_missing(seed: int, lost: set[int]) -> None:
    units = clip(30)
    packets = [each for index, each in enumerate(stream(units, seed=seed, size=300)) if index not in lost]
    got = Received()
    got.depacketizer.collect(True)
    got.feed(packets)
    sent = [[n for n in nals if n[0] & 0x1F in (1, 5)] for nals, _ in units]
    places = [sent.index([n for n in split_nals(data) if n[0] & 0x1F in (1, 5)]) for data, _, _ in got.pictures]
    for place, before in zip(places[1:], places, strict=False):
        assert units[place][1] or place == before + 1


def test_new_parameter_set_in_the_middle_of_a_group_goes_in_front_of_the_next_picture() -> None:
    units = clip(10)
    changed = b"\x68\xce\x38\x81"
    with_set = (*units[:3], ((changed, *units[3][0]), False), *units[4:])
    got = Received()
    got.depacketizer.collect(True)
    got.feed(stream(with_set))
    fronts = [changed in split_nals(data) for data, _, _ in got.pictures]
    assert fronts == [False] * 3 + [True] + [False] * 6


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.integers(20, 3000), splits=st.integers(1, 30))
def test_walk_over_the_buffer_counts_and_gives_what_single_packets_do(seed: int, size: int, splits: int) -> None:
    units = clip(30)
    rng = random.Random(seed)
    packets = stream(units, seed=seed, size=size)
    one = Received().feed(packets)
    two = Received()
    raw = bytearray(b"".join(interleaved(rtp(*packet)) for packet in packets))
    at, known = 0, 0
    while at < len(raw):
        known = min(len(raw), known + rng.randint(1, max(2, len(raw) // splits)))
        while at < known:
            after = two.depacketizer.walk(raw, at, known, 0)
            if after == at:
                length = int.from_bytes(raw[at + 2 : at + 4], "big")
                after = at + 4 + length
                known = max(known, after)
                payload, sequence, timestamp, marker = packets_by_place(raw, at)
                two.depacketizer.packet(raw, payload, after, sequence, timestamp, marker)
            at = after
    assert two.pictures == one.pictures
    for name in ("packets", "pictures", "dropped_pictures", "dropped_bytes", "dropped_bytes_max", "packets_lost"):
        assert getattr(two.depacketizer, name) == getattr(one.depacketizer, name), name


def packets_by_place(raw: bytearray, at: int) -> tuple[int, int, int, bool]:
    return (
        at + 16,
        int.from_bytes(raw[at + 6 : at + 8], "big"),
        int.from_bytes(raw[at + 8 : at + 12], "big"),
        raw[at + 5] >= 0x80,
    )
