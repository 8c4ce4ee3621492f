"""Quantizers out of slice headers, against an encoder that was told which to use."""

from __future__ import annotations

import struct
from fractions import Fraction
from functools import cache

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.rtsp.depacketize_h264 import H264Depacketizer
from ingest.rtsp.depacketize_h265 import H265Depacketizer
from ingest.rtsp.h264 import NAL_PPS, NAL_SLICE, NAL_SPS, parameter_set_id
from ingest.rtsp.qp_h264 import HEAD_BYTES, H264Quantizers
from tests.ingest.h264_clip import encode_scene, interleaved, rtp, stream

Units = tuple[tuple[tuple[bytes, ...], bool], ...]


@cache
def encoded(qp: int, options: str = "", preset: str = "veryfast", pictures: int = 30) -> Units:
    """A clip of which every P slice has this quantizer."""
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = 160, 96, "yuv420p"
    context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
    context.options = {
        "preset": preset,
        "x264-params": f"qp={qp}:keyint=10:min-keyint=10:scenecut=0:threads=1:repeat-headers=1{options}",
    }
    return encode_scene(context, pictures)


def quantizers(units: Units) -> H264Quantizers:
    sets: dict[int, dict[int, bytes]] = {NAL_SPS: {}, NAL_PPS: {}}
    for nals, _ in units:
        for nal in nals:
            if nal[0] & 0x1F in sets:
                sets[nal[0] & 0x1F][parameter_set_id(nal)] = nal
    return H264Quantizers(sets[NAL_SPS], sets[NAL_PPS])


def heads(units: Units) -> list[bytes]:
    return [nal[:HEAD_BYTES] for nals, _ in units for nal in nals if nal[0] & 0x1F == NAL_SLICE]


OPTIONS = [
    ":bframes=0:ref=1:weightp=0",
    ":bframes=0:ref=1:weightp=0:cabac=0",
    ":bframes=0:ref=4:weightp=2",
    ":bframes=0:slices=3:aud=1:weightp=1",
    ":bframes=0:interlaced=1:weightp=0",
    ":bframes=3:b-pyramid=normal:ref=5",
]


@pytest.mark.parametrize("qp", [12, 26, 33, 51])
@pytest.mark.parametrize("options", OPTIONS)
def test_encoder_is_told_a_quantizer_then_it_is_read_of_every_p_slice(qp: int, options: str) -> None:
    units = encoded(qp, options)
    read = quantizers(units)
    found = [read.read(head) for head in heads(units)]
    assert {each for each in found if each is not None} == {qp}
    least = 0.2 if "bframes=3" in options else 1.0
    assert sum(each is not None for each in found) >= least * len(found), "B slices alone are left out"


def test_rate_control_changes_the_quantizer_then_template_and_field_by_field_agree() -> None:
    units = encoded(30, ":bframes=0:qp=30:weightp=1:ref=2")[:]
    varied = [
        *heads(units), *heads(encoded(23, ":bframes=0:weightp=1:ref=2")), *heads(encoded(41, ":bframes=0:ref=2")),
    ]  # fmt: skip
    kept = quantizers(units)
    assert [kept.read(head) for head in varied] == [quantizers(units).read(head) for head in varied]


def test_parameter_sets_are_missing_then_nothing_is_read() -> None:
    assert H264Quantizers({}, {}).read(heads(encoded(30))[0]) is None
    assert H264Quantizers({0: b"\x67"}, {0: b"\x68"}).read(heads(encoded(30))[0]) is None
    assert quantizers(encoded(30)).read(b"") is None


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_as_slice_or_sets_then_a_quantizer_in_range_or_none(data: bytes) -> None:
    units = encoded(26, OPTIONS[0])
    for read in (quantizers(units), H264Quantizers({0: b"\x67" + data}, {0: b"\x68" + data})):
        for head in (data, heads(units)[0], b"\x41" + data):
            found = read.read(head)
            assert found is None or -36 <= found <= 51


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 200), st.integers(0, HEAD_BYTES - 1), st.integers(0, 255), st.integers(1, HEAD_BYTES))
def test_header_is_damaged_or_cut_then_a_template_reads_what_the_fields_say(
    number: int, at: int, value: int, length: int
) -> None:
    units = encoded(26, OPTIONS[0])
    some = heads(units)
    kept = quantizers(units)
    assert kept.read(some[0]) == 26
    head = bytearray(some[number % len(some)])
    head[at % len(head)] = value
    cut = bytes(head[:length])
    assert kept.read(cut) == quantizers(units).read(cut)


def played(
    depacketizer: H264Depacketizer | H265Depacketizer, units: Units, *, walk: bool, size: int
) -> list[float]:
    """What is told of each picture's quantizer while its clip comes in."""
    told = []
    packets = stream(units, size=size)
    for payload, sequence, timestamp, marker in packets:
        framed = bytearray(interleaved(rtp(payload, sequence, timestamp, marker)))
        if not walk or depacketizer.walk(framed, 0, len(framed), 0) == 0:
            depacketizer.packet(framed, 16, len(framed), sequence, timestamp, marker)
        if marker:
            quantizer = depacketizer.take_quantizer()
            told += [] if quantizer is None else [quantizer]
    return told


@pytest.mark.parametrize("walk", [False, True])
@pytest.mark.parametrize("size", [60, 1400])
def test_dropped_pictures_are_sampled_then_their_quantizer_is_told_however_they_are_packed(
    walk: bool, size: int
) -> None:
    units = encoded(33, OPTIONS[0], pictures=40)
    depacketizer = H264Depacketizer(lambda *_: None)
    assert played(depacketizer, units, walk=walk, size=size) == []
    depacketizer.sampling = True
    told = played(depacketizer, units, walk=walk, size=size)
    assert set(told) == {33.0}
    assert len(told) >= 30


def test_nobody_asks_for_the_samples_then_few_are_kept() -> None:
    units = encoded(33, OPTIONS[0], pictures=40)
    depacketizer = H264Depacketizer(lambda *_: None)
    depacketizer.sampling = True
    for payload, sequence, timestamp, marker in stream(units):
        depacketizer.packet(payload, 0, len(payload), sequence, timestamp, marker)
    assert 1 <= len(depacketizer.heads) <= 6
    assert all(len(head) <= HEAD_BYTES + 1 for head in depacketizer.heads)


def test_many_pictures_in_one_read_then_the_last_of_them_is_sampled_within_its_packet() -> None:
    units = encoded(33, OPTIONS[0], pictures=10)
    depacketizer = H264Depacketizer(lambda *_: None)
    depacketizer.sampling = True
    nal = heads(units)[0]
    rng = np.random.default_rng(1)
    framed = bytearray()
    for number in range(5):
        body = nal[: 6 + number] + rng.bytes(20)
        framed += struct.pack("!cBH", b"$", 0, 12 + len(body)) + rtp(body, 10 + number, 3600 * number, True)
    depacketizer.next_sequence = 10
    assert depacketizer.walk(framed, 0, len(framed), 0) == len(framed)
    (head,) = depacketizer.heads
    assert head == bytes(framed[-len(head) :])
