from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import MalformedMessage, RefusedInput, UnknownSource
from contracts.instant import SECOND, Instant, to_rfc3339
from contracts.place import Place
from contracts.reading import Quality, Reading
from contracts.source import Sensor, SensorKind
from ingest.config import DEFAULT_MAPPINGS, TopicMapping
from ingest.mqtt.mapping import RawReading, TopicTable, pointed
from ingest.mqtt.reading import to_reading

NOW = Instant(1_795_000_000 * SECOND)
PLACE = Place(105.7, 38.8, "152921001001001")
KNOWN = {"S-1", "S-2"}
HEAT = Sensor(
    id="S-1", name="h", kind=SensorKind.HEAT, place=PLACE, owner="o", unit="Cel", valid_min=-40, valid_max=300
)


def read(topic: str, payload: object, *mappings: TopicMapping) -> list[RawReading]:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return TopicTable(mappings or DEFAULT_MAPPINGS).read(topic, raw, NOW, KNOWN.__contains__)


def reading(raw: RawReading, sensor: Sensor | None = HEAT, *, retained: bool = False) -> Reading:
    return to_reading(raw, sensor, NOW, NOW, retained=retained, late_max_s=120, future_max_s=5)


def raw(value: float = 20.0, unit: str | None = None, time: Instant | None = None) -> RawReading:
    return RawReading("S-1", value, unit, time, None, False, False)


def test_same_reading_in_senml_and_plain_json_gives_the_same_reading() -> None:
    at = NOW - 2 * SECOND
    plain = read(
        "county/152921/sensor/S-1/json",
        {"value": 71.5, "unit": "°C", "time": to_rfc3339(Instant(at)), "alarm_id": "A7", "battery_low": True},
    )
    base = {"bn": "urn:gw:sensor:S-1:", "bt": at / SECOND}
    senml = read(
        "county/152921/sensor/S-1/senml",
        [
            {**base, "n": "value", "u": "Cel", "v": 71.5},
            {"n": "alarm_id", "vs": "A7"},
            {"n": "battery_low", "vb": True},
        ],
    )
    assert [reading(each) for each in plain] == [reading(each) for each in senml]
    assert reading(plain[0]).external_id == "A7"


@pytest.mark.parametrize(
    ("time", "wanted"),
    [
        (1_795_000_000, NOW),
        (1_795_000_000.5, NOW + SECOND // 2),
        (1_795_000_000_500, NOW + SECOND // 2),
        ("2026-11-18T15:06:40+08:00", None),
        (None, None),
    ],
)
def test_times_of_devices_are_understood(time: object, wanted: int | None) -> None:
    got = read("county/1/sensor/S-1/json", {"value": 1, "time": time})[0].time
    assert got == wanted if not isinstance(time, str) else isinstance(got, int)


def test_pack_of_several_sensors_is_split_by_name() -> None:
    mapping = TopicMapping(topic="gateway/+", format="senml")
    got = read(
        "gateway/7",
        [
            {"bn": "urn:gw:", "n": "S-1/value", "v": 3},
            {"n": "S-2", "v": 4},
            {"n": "S-2:alarm_id", "vs": "x"},
            {"n": "S-9", "v": 5},
        ],
        mapping,
    )
    assert [(each.sensor_id, each.value, each.alarm_id) for each in got] == [
        ("S-1", 3.0, None),
        ("S-2", 4.0, "x"),
        ("urn:gw:S-9", 5.0, None),
    ]


def test_samples_of_a_while_in_one_pack_are_a_reading_each_in_order_of_time() -> None:
    """As in RFC 8428, 5.1.3: one name, relative times."""
    got = read(
        "county/152921/sensor/S-1/senml",
        [
            {"bn": "urn:dev:S-1:", "bt": NOW / SECOND, "bu": "Cel", "n": "value", "t": -1, "v": 56.0},
            {"n": "value", "t": -3, "v": 50.0},
            {"n": "value", "t": -2, "v": 53.0},
            {"n": "battery_low", "vb": True},
            {"n": "alarm_id", "t": -1, "vs": "A-7"},
        ],
    )
    assert [(each.time, each.value, each.alarm_id, each.battery_low) for each in got] == [
        (NOW - 3 * SECOND, 50.0, None, False),
        (NOW - 2 * SECOND, 53.0, None, False),
        (NOW - SECOND, 56.0, "A-7", True),
    ]


@pytest.mark.parametrize("time", [{}, {"t": -5}])
def test_one_field_twice_for_one_time_is_refused(time: dict[str, int]) -> None:
    with pytest.raises(MalformedMessage, match="named twice for one time"):
        read(
            "county/152921/sensor/S-1/senml",
            [{"n": "value", "v": 1.0, **time}, {"n": "value", "v": 2.0, **time}],
        )


def test_vendor_layout_is_a_matter_of_configuration() -> None:
    mapping = TopicMapping(
        topic="v/up/#",
        sensor_id="/dev/id",
        value="/data/0/val",
        unit="/data/0/u",
        time="/ts",
        alarm_id="/data/0/a~1b",
    )
    got = read(
        "v/up/x/y", {"dev": {"id": 17}, "ts": NOW // 10**6, "data": [{"val": "5.5", "u": "m", "a/b": 9}]}, mapping
    )
    assert got == [RawReading("17", 5.5, "m", NOW, "9", False, False)]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{", "invalid_json"),
        (b"\xff", "invalid_json"),
        (b"[" * 50_000, "invalid_json"),
        ({}, "mapping"),
        ([], "mapping"),
        ({"value": None}, "mapping"),
        ({"value": [1]}, "mapping"),
        ({"value": "x"}, "mapping"),
        ({"value": "inf"}, "not_a_number"),
        ({"value": 10**400}, "not_a_number"),
        ({"value": 1, "time": "yesterday"}, "malformed"),
        ({"value": 1, "time": "2026-11-18T15:06:40"}, "malformed"),
        ({"value": 1, "time": 1e30}, "mapping"),
        ({"value": 1, "alarm_id": {"a": 1}}, "mapping"),
        ({"value": 1, "alarm_id": "x" * 300}, "mapping"),
    ],
)
def test_payload_without_a_usable_value_is_refused(payload: Any, reason: str) -> None:
    with pytest.raises(MalformedMessage) as caught:
        read("county/1/sensor/S-1/json", payload)
    assert caught.value.reason == reason


def test_topic_without_mapping_is_refused() -> None:
    with pytest.raises(MalformedMessage) as caught:
        read("other/topic", {"value": 1})
    assert caught.value.reason == "topic"


def test_subscriptions_follow_the_mappings() -> None:
    table = TopicTable(
        [
            TopicMapping(topic="county/+/sensor/{sensor_id}/senml", format="senml"),
            TopicMapping(topic="{sensor_id}/up/#"),
        ]
    )
    assert table.subscriptions() == ["county/+/sensor/+/senml", "+/up/#"]
    assert table.subscriptions("edge")[0] == "$share/edge/county/+/sensor/+/senml"


@pytest.mark.parametrize("topic", ["", "a/#/b", "a+/b", "{sensor_id}x", "{a}/b", "{sensor_id}/{sensor_id}", "a/b"])
def test_unusable_topic_of_a_mapping_stops_the_start(topic: str) -> None:
    with pytest.raises(ValueError, match="topic"):
        TopicMapping(topic=topic)


@given(st.binary(max_size=120), st.sampled_from(["json", "senml"]))
def test_any_payload_is_read_or_refused(payload: bytes, form: str) -> None:
    try:
        read(f"county/1/sensor/S-1/{form}", payload)
    except MalformedMessage:
        return


@given(
    st.recursive(st.none() | st.integers(), lambda deeper: st.lists(deeper) | st.dictionaries(st.text(), deeper))
)
def test_pointer_leads_somewhere_or_nowhere(document: object) -> None:
    for pointer in ("", "/a", "/0/1", "/-1", "/a~1b/~0", "//"):
        pointed(document, pointer)


def test_old_retained_and_unknown_are_refused_with_a_reason() -> None:
    for wrong, sensor, retained, reason in [
        (raw(), None, False, "unknown_source"),
        (raw(), HEAT, True, "retained"),
        (raw(time=Instant(NOW - 121 * SECOND)), HEAT, False, "too_old"),
        (raw(unit="lx"), HEAT, False, "unit"),
    ]:
        with pytest.raises(RefusedInput) as caught:
            reading(wrong, sensor, retained=retained)
        assert caught.value.reason == reason
    with pytest.raises(UnknownSource):
        reading(raw(), None)


def test_impossible_value_is_marked_bad_and_a_clock_ahead_is_not_believed() -> None:
    assert reading(raw(-999)).quality is Quality.BAD
    assert reading(raw(300)).quality is Quality.GOOD
    assert reading(raw(time=Instant(NOW + 3600 * SECOND))).event_time == NOW
    assert reading(raw(time=Instant(NOW + 2 * SECOND))).event_time == NOW + 2 * SECOND
    assert reading(raw(time=Instant(NOW - 119 * SECOND))).event_time == NOW - 119 * SECOND


@pytest.mark.parametrize(
    ("value", "unit", "wanted"), [(300.15, "K", 27.0), (27, "℃", 27.0), (27, "", 27.0), (27, None, 27.0)]
)
def test_units_are_converted(value: float, unit: str | None, wanted: float) -> None:
    assert reading(raw(value, unit)).value == pytest.approx(wanted)
