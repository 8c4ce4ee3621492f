"""What encoders send between the plain cases, in H.264 and H.265 alike: real encoders, real decoders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import av
import pytest

from contracts.frame import Codec
from ingest.rtsp import h264, h265
from ingest.rtsp.assembly import KeyPicturePolicy
from ingest.rtsp.codecs import make_depacketizer
from tests.ingest import h264_clip, h265_clip
from tests.ingest.h264_clip import split_nals, stream

Units = tuple[tuple[tuple[bytes, ...], bool], ...]
Packet = tuple[bytes, int, int, bool]


@dataclass(frozen=True)
class Coding:
    """One codec, its encoder, packing and NAL unit types."""

    codec: Codec
    decoder: str
    clip: Callable[..., Units]
    fragments: Callable[[bytes, int], Iterator[bytes]]
    aggregate: Callable[[list[bytes]], bytes]
    kind: Callable[[bytes], int]
    slices: range
    keys: range
    sets: tuple[int, ...]
    delimiter: int
    sei: int
    slice_header_at: int
    """First byte behind the NAL unit header."""
    three_slices: str
    """Options of its encoder; x265 wants a thread for it."""

    def packed(
        self, units: Units, *, sequence: int = 100, timestamp: int = 9_000, size: int = 1400, step: int = 3_600
    ) -> list[Packet]:
        return stream(
            units,
            seed=3,
            sequence=sequence,
            timestamp=timestamp,
            step=step,
            size=size,
            fragments=self.fragments,
            aggregate=self.aggregate,
        )

    def picture(self, nals: tuple[bytes, ...] | list[bytes]) -> list[bytes]:
        return [nal for nal in nals if self.kind(nal) in self.slices]


def h264_kind(nal: bytes) -> int:
    return nal[0] & 0x1F


H264 = Coding(
    Codec.H264, "h264", h264_clip.clip, h264_clip.fragments, h264_clip.stap_a, h264_kind, range(1, 6), range(5, 6),
    (h264.NAL_SPS, h264.NAL_PPS), h264.NAL_AUD, h264.NAL_SEI, 1, ":slices=3",
)  # fmt: skip
H265 = Coding(
    Codec.HEVC, "hevc", h265_clip.clip, h265_clip.fragments, h265_clip.aggregate, h265.nal_type, range(32),
    range(16, 22), (h265.NAL_VPS, h265.NAL_SPS, h265.NAL_PPS), h265.NAL_AUD, 39, 2,
    ":slices=3:pools=1:wpp=1",
)  # fmt: skip
BOTH = pytest.mark.parametrize("coding", [H264, H265], ids=["h264", "h265"])


class Received:
    """A depacketizer and its pictures, as (bytes, key)."""

    def __init__(self, coding: Coding, *, collecting: bool = False) -> None:
        self.coding = coding
        self.pictures: list[tuple[bytes, bool]] = []
        self.depacketizer = make_depacketizer(
            coding.codec, self._take, picture_bytes_max=4 << 20, policy=KeyPicturePolicy.RECOVERY_POINT
        )
        self.depacketizer.collect(collecting)

    def _take(self, data: bytes, _timestamp: int, _late: bool, key: bool) -> None:
        self.pictures.append((data, key))

    def feed(self, packets: list[Packet]) -> Received:
        for payload, sequence, timestamp, marker in packets:
            self.depacketizer.packet(b"\xff" + payload, 1, 1 + len(payload), sequence, timestamp, marker)
        return self

    def pictures_of(self) -> list[list[bytes]]:
        return [self.coding.picture(split_nals(data)) for data, _ in self.pictures]


def keys_of(coding: Coding, units: Units) -> list[list[bytes]]:
    return [coding.picture(nals) for nals, key in units if key]


def decoded_alone(coding: Coding, data: bytes) -> tuple[int, int]:
    """Size of the one picture that a decoder which saw nothing before makes of it."""
    decoder = av.CodecContext.create(coding.decoder, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
    (frame,) = frames
    return frame.width, frame.height


@BOTH
@pytest.mark.parametrize("markers", [True, False])
@pytest.mark.parametrize("collecting", [True, False])
@pytest.mark.parametrize("size", [60, 1400])
def test_several_slices_make_one_picture(coding: Coding, markers: bool, collecting: bool, size: int) -> None:
    units = coding.clip(12, width=320, height=192, options=coding.three_slices)
    assert {len(coding.picture(nals)) for nals, _ in units} == {3}
    packets = [(p, s, t, m and markers) for p, s, t, m in coding.packed(units, size=size)]
    got = Received(coding, collecting=collecting).feed(packets)
    wanted = [coding.picture(nals) for nals, _ in units] if collecting else keys_of(coding, units)
    # Without markers the last picture is open still.
    assert got.pictures_of() == (wanted[:-1] if collecting and not markers else wanted)
    assert got.depacketizer.packets_malformed == 0


@BOTH
def test_lost_first_slice_of_several_loses_the_picture_and_no_other(coding: Coding) -> None:
    units = coding.clip(30, width=320, height=192, options=coding.three_slices)
    packets = coding.packed(units, size=60_000)
    second = list(dict.fromkeys(t for _, _, t, _ in packets))[10]
    of_second = [index for index, each in enumerate(packets) if each[2] == second]
    first = next(
        index
        for index in of_second
        if any(coding.kind(nal) in coding.slices for nal in units_in(coding, packets[index]))
    )
    got = Received(coding).feed(packets[:first] + packets[first + 1 :])
    keys = keys_of(coding, units)
    assert got.pictures_of() == [keys[0], keys[2]]
    assert (got.depacketizer.key_pictures_lost, got.depacketizer.packets_lost) == (1, 1)


def units_in(coding: Coding, packet: Packet) -> list[bytes]:
    """NAL units that begin in a packet."""
    payload = packet[0]
    kind = coding.kind(payload)
    if kind in (h264.NAL_FU_A, h265.NAL_FU) and kind not in coding.slices:
        inner = payload[coding.slice_header_at] & (0x1F if coding is H264 else 0x3F)
        whole = bytes((inner if coding is H264 else inner << 1, 1))
        return [whole] if payload[coding.slice_header_at] & 0x80 else []
    if kind not in (h264.NAL_STAP_A, h265.NAL_AP):
        return [payload]
    out, at = [], coding.slice_header_at
    while at < len(payload):
        size = int.from_bytes(payload[at : at + 2], "big")
        out.append(payload[at + 2 : at + 2 + size])
        at += 2 + size
    return out


@BOTH
def test_delimiters_and_messages_in_front_belong_to_their_picture(coding: Coding) -> None:
    units = coding.clip(12, options=":aud=1")
    assert all(coding.kind(nals[0]) == coding.delimiter for nals, _ in units)
    message = bytes((coding.sei,)) if coding is H264 else bytes((coding.sei << 1, 1))
    message += b"\x05\x11" + bytes(range(16)) + b"\x07\x80"
    with_message = tuple(((nals[0], message, *nals[1:]), key) for nals, key in units)
    got = Received(coding).feed(coding.packed(with_message))
    assert got.pictures_of() == keys_of(coding, units)
    for data, _ in got.pictures:
        kinds = [coding.kind(nal) for nal in split_nals(data)]
        assert tuple(kinds[: len(coding.sets)]) == coding.sets, "parameter sets stand in front"
        assert kinds.count(coding.delimiter) == 0
        assert message in split_nals(data), "counters and clocks of the camera stay with the picture"
        assert decoded_alone(coding, data) == (160, 96)


@BOTH
def test_start_in_the_middle_of_a_group_waits_for_the_next_key_picture(coding: Coding) -> None:
    units = coding.clip(30)
    packets = coding.packed(units, size=200)
    times = list(dict.fromkeys(timestamp for _, _, timestamp, _ in packets))
    for begin in (next(i for i, each in enumerate(packets) if each[2] == times[place]) for place in (1, 5, 9)):
        for further in (0, 1):
            got = Received(coding, collecting=True).feed(packets[begin + further :])
            assert got.pictures_of() == [coding.picture(nals) for nals, _ in units[10:]]
            assert got.pictures[0][1]


@BOTH
def test_start_within_a_key_picture_waits_for_the_next_one(coding: Coding) -> None:
    units = coding.clip(30, width=320, height=192)
    packets = coding.packed(units, size=300)
    first = packets[0][2]
    inside = [index for index, each in enumerate(packets) if each[2] == first]
    got = Received(coding).feed(packets[inside[-1] :])
    assert got.pictures_of() == keys_of(coding, units)[1:]


@BOTH
@pytest.mark.parametrize("markers", [True, False])
def test_missing_markers_cost_no_picture_whose_end_is_known(coding: Coding, markers: bool) -> None:
    """Some of the pictures bear a marker, the others end with the next timestamp."""
    units = coding.clip(30)
    packets = coding.packed(units)
    times = list(dict.fromkeys(timestamp for _, _, timestamp, _ in packets))
    mixed = [(p, s, t, m and markers and times.index(t) % 3 == 0) for p, s, t, m in packets]
    got = Received(coding).feed(mixed)
    assert got.pictures_of() == keys_of(coding, units)
    assert got.depacketizer.dropped_pictures + len(got.pictures) >= 29


@BOTH
@pytest.mark.parametrize("collecting", [True, False])
def test_resolution_that_changes_in_mid_stream_comes_with_its_new_parameter_sets(
    coding: Coding, collecting: bool
) -> None:
    small, large = coding.clip(20), coding.clip(20, width=320, height=192)
    packets = coding.packed(small)
    after = coding.packed(large, sequence=100 + len(packets), timestamp=9_000_000)
    back = coding.packed(small, sequence=100 + len(packets) + len(after), timestamp=99_000_000)
    got = Received(coding, collecting=collecting)
    changes = []
    for part in (packets, after, back):
        before = got.depacketizer.sets_changed
        got.feed(part)
        changes.append(got.depacketizer.sets_changed > before)
    keys = [data for data, key in got.pictures if key]
    assert [decoded_alone(coding, data) for data in keys] == [(160, 96)] * 2 + [(320, 192)] * 2 + [(160, 96)] * 2
    assert changes == [True] * 3
    assert len(got.pictures) == (60 if collecting else 6)


def test_stream_of_recovery_points_without_any_idr_is_received_from_its_second_group_on() -> None:
    units = H264.clip(40, options=":open-gop=1:bframes=2")
    without = units[1:]
    assert all(h264_kind(nal) != h264.NAL_IDR for nals, _ in without for nal in nals)
    got = Received(H264).feed(H264.packed(without))
    assert len(got.pictures) == 3
    assert all(decoded_alone(H264, data) == (160, 96) for data, _ in got.pictures)


def test_stream_of_clean_random_access_points_is_received_from_any_of_them_on() -> None:
    units = H265.clip(40, options=":open-gop=1:bframes=2:b-adapt=0")
    kinds = [h265.nal_type(H265.picture(nals)[0]) for nals, _ in units]
    clean = [index for index, kind in enumerate(kinds) if kind == 21]
    assert len(clean) >= 2
    got = Received(H265).feed(H265.packed(units[clean[0] :]))
    assert len(got.pictures) == len(clean)
    assert all(decoded_alone(H265, data) == (160, 96) for data, _ in got.pictures)


@BOTH
def test_key_pictures_that_are_minutes_apart_all_come(coding: Coding) -> None:
    """Smart codecs: nothing is forgotten in between, and nothing grows."""
    group = coding.clip(10)
    quiet = group[1:10] * 120
    units = (group[0], *quiet, group[0], *quiet[:100], group[0])
    packets = coding.packed(units, step=36_000)
    got = Received(coding).feed(packets)
    assert got.pictures_of() == keys_of(coding, (group[0],) * 3)
    assert got.depacketizer.dropped_pictures == len(units) - 3
