"""Packets of H.264 pictures, put together again as a receiver would (RFC 6184)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.h264 import FU_A, NAL_PPS, NAL_SPS, STAP_A, nal_type, packetize, parameter_sets, sdp_format, split_annexb


def units(min_size: int = 2, max_size: int = 4000) -> st.SearchStrategy[bytes]:
    """NAL units: a type of 1 to 23 and a body that holds no start code and ends without zero."""
    kinds = st.integers(1, 23).flatmap(lambda kind: st.sampled_from([kind, kind | 0x20, kind | 0x60]))
    bodies = st.binary(min_size=min_size - 1, max_size=max_size - 1).map(
        lambda body: body.replace(b"\x00", b"\x07") + b"\x01"
    )
    return st.builds(lambda kind, body: bytes([kind]) + body, kinds, bodies)


def reassemble(payloads: list[bytes]) -> list[bytes]:
    found: list[bytes] = []
    part = b""
    for payload in payloads:
        kind = payload[0] & 0x1F
        if kind == STAP_A:
            at = 1
            while at < len(payload):
                size = int.from_bytes(payload[at : at + 2], "big")
                found.append(payload[at + 2 : at + 2 + size])
                at += 2 + size
        elif kind == FU_A:
            if payload[1] & 0x80:
                part = bytes([(payload[0] & 0xE0) | (payload[1] & 0x1F)])
            part += payload[2:]
            if payload[1] & 0x40:
                found.append(part)
        else:
            found.append(payload)
    return found


@given(st.lists(units(), max_size=12), st.integers(16, 1500))
def test_any_picture_comes_out_of_its_packets_as_it_went_in(picture: list[bytes], payload_max: int) -> None:
    payloads = packetize(picture, payload_max)
    assert all(0 < len(payload) <= payload_max for payload in payloads)
    assert reassemble(payloads) == picture


@given(st.lists(units(), min_size=1, max_size=8), st.lists(st.booleans(), min_size=8, max_size=8))
def test_start_codes_of_three_and_four_bytes_part_the_units(picture: list[bytes], long: list[bool]) -> None:
    data = b"".join(
        (b"\x00" if four else b"") + b"\x00\x00\x01" + unit for unit, four in zip(picture, long, strict=False)
    )
    assert split_annexb(data) == picture


@given(st.binary(max_size=300))
def test_any_bytes_split_without_an_error(data: bytes) -> None:
    assert all(split_annexb(data))


def test_parameter_sets_travel_together_before_the_picture() -> None:
    sps, pps, idr = b"\x67\x42\xc0\x1e\x01", b"\x68\xce\x01", b"\x65" + b"\x01" * 3000
    payloads = packetize([sps, pps, idr], 1400)
    assert [nal_type(payload) for payload in payloads] == [STAP_A, FU_A, FU_A, FU_A]
    assert payloads[0] == b"\x78\x00\x05" + sps + b"\x00\x03" + pps
    assert [payload[1] & 0xC0 for payload in payloads[1:]] == [0x80, 0x00, 0x40]


def test_parameter_sets_are_found_and_told_in_the_description() -> None:
    sps, pps = bytes([0x60 | NAL_SPS, 0x42, 0xC0, 0x1E]), bytes([0x60 | NAL_PPS, 0xCE])
    assert parameter_sets([b"\x09\x10", sps, pps]) == (sps, pps)
    assert parameter_sets([sps]) is None
    line = sdp_format(sps, pps, 96)
    assert line == "a=fmtp:96 packetization-mode=1;profile-level-id=42C01E;sprop-parameter-sets=Z0LAHg==,aM4="
