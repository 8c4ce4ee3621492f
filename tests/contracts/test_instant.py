from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import MalformedMessage
from contracts.instant import Instant, from_rfc3339

MOMENTS = st.datetimes()
OFFSETS = st.integers(-(23 * 60 + 59), 23 * 60 + 59)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant_of(moment: datetime) -> Instant:
    return Instant((moment - EPOCH) // timedelta(microseconds=1) * 1000)


def offset_text(minutes: int) -> str:
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


@given(
    moment=MOMENTS,
    minutes=st.none() | OFFSETS,
    separator=st.sampled_from("Tt "),
    zulu=st.sampled_from("Zz"),
    beyond=st.text("0123456789", max_size=9),
)
def test_every_form_of_the_grammar_is_the_instant_that_it_says(
    moment: datetime, minutes: int | None, separator: str, zulu: str, beyond: str
) -> None:
    """RFC 3339, section 5.6; digits behind the microseconds are cut off."""
    offset = zulu if minutes is None else offset_text(minutes)
    text = f"{moment.isoformat(separator, 'microseconds')}{beyond}{offset}"
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes or 0)))
    assert from_rfc3339(text) == instant_of(aware)


@given(moment=MOMENTS)
def test_forms_that_iso_8601_alone_has_are_refused(moment: datetime) -> None:
    aware = moment.replace(microsecond=0, tzinfo=timezone(timedelta(hours=8)))
    year, week, day = aware.isocalendar()
    date, time = aware.date().isoformat(), aware.strftime("%H:%M:%S")
    for text in (
        f"{year:04d}-W{week:02d}-{day}T{time}+08:00",
        f"{year:04d}W{week:02d}{day}T{time}+08:00",
        f"{date.replace('-', '')}T{time.replace(':', '')}+0800",
        f"{date.replace('-', '')}T{time}+08:00",
        f"{date}T{time.replace(':', '')}+08:00",
        f"{date[:4]}-{aware.timetuple().tm_yday:03d}T{time}+08:00",
        f"{date}T{time},5+08:00",
        f"{date}T{time}.+08:00",
        f"{date}T{time[:5]}+08:00",
        f"{date}T{time[:2]}+08:00",
        f"{date}T{time}+0800",
        f"{date}T{time}+08",
        f"{date}T{time}+08:00:30",
        f"{date}_{time}+08:00",
        f" {date}T{time}+08:00",
        f"{date}T{time}+08:00\n",
        date,
    ):
        with pytest.raises(MalformedMessage, match="is not an RFC 3339 time"):
            from_rfc3339(text)


@given(text=st.text(max_size=40) | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.,WZz+-]{0,20}"))
def test_any_text_is_an_instant_or_refused(text: str) -> None:
    try:
        found = from_rfc3339(text)
    except MalformedMessage:
        return
    assert found % 1000 == 0


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29T00:00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T16:60:00Z",
        "2016-12-31T23:59:60Z",
        "2026-11-22T16:04:12+24:00",
        "2026-11-22T16:04:12+08:60",
        "２０２６-11-22T16:04:12Z",
    ],
)
def test_numbers_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(MalformedMessage, match="is not an RFC 3339 time"):
        from_rfc3339(text)


def test_time_without_an_offset_is_refused_with_the_way_out() -> None:
    with pytest.raises(MalformedMessage, match="has no UTC offset; write"):
        from_rfc3339("2026-11-22T16:04:12.5")
