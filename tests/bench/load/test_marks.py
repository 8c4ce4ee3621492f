from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.load.marks import UUID, escape, find_mark, mark_unit, unescape

counters = st.integers(0, 2**64 - 1) | st.integers(0, 255).map(lambda low: low << 32) | st.just(0)


@given(counters, st.booleans(), st.binary(max_size=40))
def test_counter_is_found_again_and_makes_no_start_code(counter: int, hevc: bool, slices: bytes) -> None:
    unit = mark_unit(counter, hevc=hevc)
    assert b"\x00\x00\x01" not in unit
    assert b"\x00\x00\x00" not in unit
    assert unit[-1] == 0x80
    picture = b"\x00\x00\x00\x01\x67\x64\x00\x00\x00\x01" + unit + b"\x00\x00\x01\x65" + slices
    assert find_mark(picture) == counter


@given(st.binary().map(lambda noise: noise.replace(UUID, b"")))
def test_picture_without_our_mark_has_none(picture: bytes) -> None:
    assert find_mark(picture) is None


def test_cut_mark_is_none() -> None:
    assert find_mark(mark_unit(77)[:-4]) is None


@given(st.binary())
def test_emulation_prevention_is_undone(payload: bytes) -> None:
    escaped = escape(payload)
    assert not any(bytes([0, 0, low]) in escaped for low in range(3))
    assert unescape(escaped) == payload
