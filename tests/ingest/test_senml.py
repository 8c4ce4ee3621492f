from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import MalformedMessage
from contracts.instant import SECOND, Instant
from ingest.mqtt.senml import SenmlRecord, parse_senml, seconds_of

NOW = Instant(1_795_000_000 * SECOND)


def parse(pack: object) -> list[SenmlRecord]:
    return parse_senml(json.dumps(pack).encode(), NOW)


def test_example_of_the_standard_with_base_values_and_relative_times() -> None:
    """RFC 8428, 5.1.2 and 5.1.3."""
    got = parse(
        [
            {
                "bn": "urn:dev:ow:10e2073a0108006:",
                "bt": 1.276020076001e09,
                "bu": "A",
                "n": "voltage",
                "u": "V",
                "v": 120.1,
            },
            {"n": "current", "t": -5, "v": 1.2},
            {"n": "current", "t": -4, "v": 1.3},
        ]
    )
    assert [record.name for record in got] == [
        "urn:dev:ow:10e2073a0108006:" + n for n in ("voltage", "current", "current")
    ]
    assert [record.unit for record in got] == ["V", "A", "A"]
    assert [seconds_of(record.time) for record in got] == pytest.approx(
        [1276020076.001, 1276020071.001, 1276020072.001]
    )
    assert [record.value for record in got] == [120.1, 1.2, 1.3]


def test_of_base_and_record_the_part_that_is_missing_is_zero() -> None:
    """RFC 8428, 4.5.4."""
    got = parse([{"bn": "m/", "bv": 20.0, "n": "a"}, {"n": "b", "v": 1}, {"bs": 5.0, "n": "c"}])
    assert [(record.value, record.total) for record in got] == [(20.0, None), (21.0, None), (None, 5.0)]
    with pytest.raises(MalformedMessage, match="a record needs exactly one value"):
        parse([{"bn": "m/", "n": "a"}])


def test_time_below_two_to_the_28_counts_from_now() -> None:
    got = parse([{"n": "a", "v": 1, "t": -60}, {"n": "b", "v": 1, "t": 2**28}, {"n": "c", "v": 1}])
    assert [record.time for record in got] == [NOW - 60 * SECOND, 2**28 * SECOND, NOW]
    assert [record.timed for record in got] == [True, True, False]


def test_base_value_and_base_sum_are_added_and_carry_on() -> None:
    got = parse(
        [
            {"bn": "m/", "bv": 20.0, "bs": 100.0, "n": "a", "v": 1.5, "s": 3.0},
            {"n": "b", "v": -1},
            {"n": "c", "s": 2},
        ]
    )
    assert [record.value for record in got] == [21.5, 19.0, None]
    assert [record.total for record in got] == [103.0, 100.0, 102.0]


def test_all_kinds_of_values() -> None:
    got = parse(
        [
            {"bn": "x:", "n": "t", "vs": "fire"},
            {"n": "f", "vb": True},
            {"n": "d", "vd": "aGkgCg"},
            {"n": "u", "v": 1, "ut": 30},
        ]
    )
    assert (got[0].text, got[1].flag, got[2].data, got[3].update_s) == ("fire", True, b"hi \n", 30.0)


@pytest.mark.parametrize(
    "pack",
    [
        [],
        {},
        "x",
        [1],
        [{"n": "a"}],
        [{"bn": "a", "bt": 1}],
        [{"v": 1}],
        [{"n": "-a", "v": 1}],
        [{"n": "温度", "v": 1}],
        [{"n": "a", "v": 1, "vs": "1"}],
        [{"n": "a", "v": True}],
        [{"n": "a", "v": "1"}],
        [{"n": "a", "vb": 1}],
        [{"n": "a", "vd": "*"}],
        [{"n": "a", "v": 1, "t": "now"}],
        [{"n": "a", "v": 1, "t": 1e300}],
        [{"n": "a", "v": 1, "u": 3}],
        [{"bver": 11, "n": "a", "v": 1}],
        [{"bver": "10", "n": "a", "v": 1}],
        [{"n": "a", "v": 1, "must_": 1}],
        [{"n": "a", "v": 1}, {"n": "b"}],
        [{"bv": 1e308, "n": "a", "v": 1e308}],
        [{"n": "a", "v": 10**400}],
        [{"n": "x" * 600, "v": 1}],
        [{"n": "a", "v": 1}] * 1001,
    ],
)
def test_what_the_standard_forbids_is_refused_whole(pack: Any) -> None:
    with pytest.raises(MalformedMessage):
        parse(pack)


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'[{"n":"a","v":NaN}]', b"null"])
def test_bytes_that_are_no_json_are_refused(payload: bytes) -> None:
    with pytest.raises(MalformedMessage):
        parse_senml(payload, NOW)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    try:
        parse_senml(payload, NOW)
    except MalformedMessage:
        return


LABELS = st.sampled_from(
    ["bn", "bt", "bu", "bv", "bs", "bver", "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut", "z_"]
)
ANY = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5)
)


@given(st.lists(st.dictionaries(LABELS, ANY, max_size=6), max_size=5))
def test_any_record_is_read_or_refused(pack: list[dict[str, object]]) -> None:
    try:
        got = parse(pack)
    except MalformedMessage:
        return
    for record in got:
        values = [record.value, record.text, record.flag, record.data]
        assert sum(value is not None for value in values) == 1 or record.total is not None


NAMES = st.text("abcXYZ019", min_size=1, max_size=6)


@given(
    records=st.lists(
        st.tuples(
            NAMES,
            st.integers(-(2**24), 2**24),
            st.integers(-10_000, 10_000),
            st.sampled_from(["Cel", "m", None]),
        ),
        min_size=1,
        max_size=8,
    ),
    base=st.tuples(NAMES, st.integers(2**29, 2**32), st.integers(-1000, 1000)),
)
def test_pack_with_bases_equals_the_same_pack_written_out(
    records: list[tuple[str, int, int, str | None]], base: tuple[str, int, int]
) -> None:
    name, time, value = base
    short: list[dict[str, object]] = [
        {"n": n, "t": t, "v": v, **({"u": u} if u else {})} for n, t, v, u in records
    ]
    short[0] = {"bn": name, "bt": time, "bv": value, "bu": "Cel", **short[0]}
    plain = [{"n": name + n, "t": time + t, "v": value + v, "u": u or "Cel"} for n, t, v, u in records]
    assert [(r.name, r.time, r.value, r.unit) for r in parse(short)] == [
        (r.name, r.time, r.value, r.unit) for r in parse(plain)
    ]
