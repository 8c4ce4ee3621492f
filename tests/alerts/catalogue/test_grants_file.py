"""Share grants from spreadsheets: all of them or none, each with its end."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.catalogue.grants_file import read_grants
from contracts.errors import ConfigError
from contracts.instant import to_rfc3339
from tests.alerts.catalogue.entries import camera_id

HEAD = "授权编号,授权单位,摄像机,用途,批准人,生效,到期\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_grants_are_read_in_every_encoding_and_a_day_holds_to_its_end_in_beijing(encoding: str) -> None:
    text = HEAD + f"G-1,公安局,{camera_id(1)}；{camera_id(2)},联动指挥,张,2026/01/01,2026-12-31\r\n\r\n"
    (grant,) = read_grants(text.encode(encoding), "grants.csv")
    assert (grant.owner, grant.purpose, grant.cameras) == ("公安局", "联动指挥", (camera_id(1), camera_id(2)))
    assert to_rfc3339(grant.begins).startswith("2026-01-01T00:00:00")
    assert to_rfc3339(grant.expires).startswith("2027-01-01T00:00:00")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("G-1,公安局,,联动指挥,,,", "到期"),
        ("G-1,公安局,,,,,2026-12-31", "用途"),
        ("G-1,公安局,,联动,,,2026-02-30", "not a date"),
        ("G-1,公安局,,联动,,,9999-12-31", "2200"),
        ("G-1,公安局,,联动,,0001-01-01,2026-12-31", "1970"),
        ("G-1,公安局,,联动,,2027-01-01,2026-12-30", "ends before"),
        ("G-1,公安局,,联动,,,2026-12-31\r\nG-1,公安局,,联动,,,2026-12-31", "used twice"),
    ],
)
def test_first_mistake_is_told_with_its_line(row: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as wrong:
        read_grants((HEAD + row).encode(), "grants.csv")
    assert "grants.csv 第 " in str(wrong.value)


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_give_grants_or_words(data: bytes, headed: bool) -> None:
    with suppress(ConfigError):
        read_grants((HEAD.encode() if headed else b"") + data, "grants.csv")
