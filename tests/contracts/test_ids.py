from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import GridwhistleError, RefusedInput
from contracts.ids import derive_id, parse_device_id, parse_grid_code
from contracts.instant import Instant, from_rfc3339, from_unix_s, to_rfc3339


def test_check_2_grid_code_validates_and_each_fault_has_its_own_code() -> None:
    """Domain check 2 (validation; reissue of retired codes belongs to the grid ledger)."""
    assert parse_grid_code("152921001001001").community == "001"
    faults = {
        "15292100100101": "grid_code_length",
        "999999001001001": "grid_code_county",
        "152921001001000": "grid_code_sequence",
        "15292100100100a": "grid_code_letters",
        "１52921001001001": "grid_code_letters",
    }
    for text, reason in faults.items():
        with pytest.raises(RefusedInput) as refused:
            parse_grid_code(text)
        assert refused.value.reason == reason


def test_check_4_device_id_decodes_and_faults_are_refused() -> None:
    """Domain check 4."""
    device = parse_device_id("15292100001320000001")
    assert (device.county, device.unit, device.industry, device.device_type) == ("152921", "00", "00", "132")
    assert device.describe().startswith("阿拉善左旗 / 接入单位 00 / 社会治安路面 / 网络摄像机 (IPC) / ")
    assert device.is_camera
    assert not parse_device_id("15292100001180000001").is_camera
    faults = {
        "1529210000132000001": "device_id_length",
        "15292100009990000001": "device_id_type",
        "99999900001320000001": "device_id_county",
    }
    for text, reason in faults.items():
        with pytest.raises(RefusedInput) as refused:
            parse_device_id(text)
        assert refused.value.reason == reason


@given(
    st.lists(st.text(max_size=8), min_size=1, max_size=4), st.lists(st.text(max_size=8), min_size=1, max_size=4)
)
def test_different_parts_then_different_ids(first: list[str], second: list[str]) -> None:
    assert (derive_id("x", *first) == derive_id("x", *second)) == (first == second)


@given(st.integers(0, 4_102_444_800_000_000))
def test_rfc3339_round_trip_keeps_microseconds(microseconds: int) -> None:
    instant = Instant(microseconds * 1000)
    text = to_rfc3339(instant)
    assert text.endswith("+08:00")
    assert from_rfc3339(text) == instant


def test_time_without_offset_is_refused_never_guessed() -> None:
    with pytest.raises(RefusedInput, match="no UTC offset"):
        from_rfc3339("2026-11-22T16:04:12")
    with pytest.raises(RefusedInput, match="not an RFC 3339"):
        from_rfc3339("yesterday")
    assert from_unix_s(1.5) == 1_500_000_000


def test_every_error_says_whether_to_retry_and_has_its_own_reason() -> None:
    classes = [GridwhistleError]
    for each in classes:
        classes += [child for child in each.__subclasses__() if child.__module__ == each.__module__]
    reasons = [each.reason for each in classes]
    assert len(set(reasons)) == len(reasons)
    assert all(isinstance(each.retriable, bool) for each in classes)
    assert len(classes) >= 24
