"""From MQTT message to raw readings: which topic means which sensor, and where the payload holds what."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from contracts.errors import MalformedMessage
from contracts.instant import Instant, from_rfc3339, from_unix_s
from ingest.config import TopicMapping
from ingest.mqtt.senml import SenmlRecord, parse_senml

_MILLISECONDS_FROM: Final = 1e11
_TIME_MAX_S: Final = 9e9
_ALARM_ID_MAX: Final = 200
_FIELDS: Final = ("value", "alarm", "alarm_id", "battery_low", "tamper")
_VALUES: Final = {"value", "alarm"}
_SEPARATORS: Final = ":/._"


@dataclass(frozen=True, slots=True)
class RawReading:
    """What a message says of one sensor, before the catalogue is asked. `time` None: it has none of its own."""

    sensor_id: str
    value: float
    unit: str | None
    time: Instant | None
    alarm_id: str | None
    battery_low: bool
    tamper: bool


class TopicTable:
    """The mappings of a configuration, first match first."""

    def __init__(self, mappings: Sequence[TopicMapping]) -> None:
        self._entries = [(_pattern(mapping.topic), mapping) for mapping in mappings]

    def subscriptions(self, shared_group: str = "") -> list[str]:
        """Topic filters to subscribe to, each once."""
        prefix = f"$share/{shared_group}/" if shared_group else ""
        filters = [prefix + mapping.topic.replace("{sensor_id}", "+") for _, mapping in self._entries]
        return list(dict.fromkeys(filters))

    def sensor_of(self, topic: str) -> str | None:
        """The sensor id that a topic names, None when it names none."""
        for pattern, _ in self._entries:
            if match := pattern.match(topic):
                return match.groupdict().get("sensor_id")
        return None

    def read(self, topic: str, payload: bytes, now: Instant, known: Callable[[str], bool]) -> list[RawReading]:
        """The readings of a message. `known` tells sensor ids, to find them in SenML names.

        Raises MalformedMessage; its reason is `topic`, `invalid_json`, `senml`, `mapping` or `not_a_number`.
        """
        for pattern, mapping in self._entries:
            match = pattern.match(topic)
            if match is not None:
                named = match.groupdict().get("sensor_id")
                if mapping.format == "senml":
                    return _from_senml(parse_senml(payload, now), named, known)
                return [_from_json(payload, mapping, named)]
        raise MalformedMessage(
            f"主题 {topic[:100]!r} 没有对应的 mapping (no mapping for this topic)", reason="topic"
        )


def _pattern(topic: str) -> re.Pattern[str]:
    parts = []
    for level in topic.split("/"):
        match level:
            case "+":
                parts.append("[^/]*")
            case "#":
                parts.append(".*")
            case "{sensor_id}":
                parts.append("(?P<sensor_id>[^/]+)")
            case _:
                parts.append(re.escape(level))
    return re.compile("/".join(parts) + r"\Z", re.DOTALL)


def _from_json(payload: bytes, mapping: TopicMapping, named: str | None) -> RawReading:
    try:
        document = msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedMessage(f"载荷不是有效的 JSON (not JSON): {error}", reason="invalid_json") from None
    sensor_id = named
    if sensor_id is None:
        found = pointed(document, mapping.sensor_id)
        if not isinstance(found, str | int) or isinstance(found, bool):
            raise _unmapped(mapping.sensor_id, "sensor id")
        sensor_id = str(found)
    value = _as_number(pointed(document, mapping.value), mapping.value)
    unit = pointed(document, mapping.unit)
    return RawReading(
        sensor_id=sensor_id,
        value=value,
        unit=unit if isinstance(unit, str) else None,
        time=_as_time(pointed(document, mapping.time)),
        alarm_id=_as_alarm_id(pointed(document, mapping.alarm_id)),
        battery_low=_as_flag(pointed(document, mapping.battery_low)),
        tamper=_as_flag(pointed(document, mapping.tamper)),
    )


def pointed(document: object, pointer: str) -> object:
    """What a JSON pointer (RFC 6901) leads to, None when it leads nowhere or is empty."""
    if not pointer:
        return None
    for part in pointer[1:].split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            if key not in document:
                return None
            document = document[key]
        elif isinstance(document, list) and key.isascii() and key.isdigit() and int(key[:9]) < len(document):
            document = document[int(key[:9])]
        else:
            return None
    return document


def _unmapped(pointer: str, what: str) -> MalformedMessage:
    return MalformedMessage(f"载荷中 {pointer} 没有 {what} (nothing usable there)", reason="mapping")


def _as_number(found: object, pointer: str) -> float:
    if isinstance(found, bool):
        return float(found)
    if isinstance(found, str):
        try:
            found = float(found)
        except ValueError:
            raise _unmapped(pointer, "number") from None
    if not isinstance(found, int | float):
        raise _unmapped(pointer, "number")
    try:
        number = float(found)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise MalformedMessage(f"载荷中 {pointer} 不是有限的数 (not a finite number)", reason="not_a_number")
    return number


def _as_time(found: object) -> Instant | None:
    if found is None:
        return None
    if isinstance(found, str):
        return from_rfc3339(found)
    if isinstance(found, int | float) and not isinstance(found, bool) and abs(found) < _TIME_MAX_S * 1000:
        seconds = float(found) / 1000 if abs(found) >= _MILLISECONDS_FROM else float(found)
        if abs(seconds) < _TIME_MAX_S:
            return from_unix_s(seconds)
    raise MalformedMessage(f"时间无法读取 (cannot read the time): {str(found)[:40]}", reason="mapping")


def _as_alarm_id(found: object) -> str | None:
    if found is None or found == "":
        return None
    if isinstance(found, str | int) and not isinstance(found, bool) and len(str(found)) <= _ALARM_ID_MAX:
        return str(found)
    raise MalformedMessage("告警编号应为 200 字以内的文本或整数 (alarm id)", reason="mapping")


def _as_flag(found: object) -> bool:
    return found is True or (isinstance(found, int | float) and found == 1)


def _from_senml(records: list[SenmlRecord], named: str | None, known: Callable[[str], bool]) -> list[RawReading]:
    """Records of a pack grouped by sensor and time, each sensor's in order of time, as a pack may bring samples of
    a while (RFC 8428, 5.1.3). `<sensor>:alarm_id` and its like stand beside the value; one whose time has no value
    belongs to the sensor's last."""
    sensors: dict[str, dict[Instant, dict[str, SenmlRecord]]] = {}
    for record in records:
        sensor_id, field = _split_name(record.name, named, known)
        group = sensors.setdefault(sensor_id, {}).setdefault(record.time, {})
        if field in group:
            raise MalformedMessage(
                f"SenML 中 {record.name[:80]} 在同一时间出现两次 (named twice for one time)", reason="senml"
            )
        group[field] = record
    return [_from_group(sensor_id, group) for sensor_id, at in sensors.items() for group in _samples(at)]


def _samples(at: dict[Instant, dict[str, SenmlRecord]]) -> list[dict[str, SenmlRecord]]:
    """One sensor's records by time: the samples in order, and beside the last what stands apart from a value."""
    ordered = [group for _, group in sorted(at.items())]
    samples = [group for group in ordered if group.keys() & _VALUES]
    if not samples:
        return ordered
    for group in ordered:
        if not group.keys() & _VALUES:
            samples[-1] = group | samples[-1]
    return samples


def _split_name(name: str, named: str | None, known: Callable[[str], bool]) -> tuple[str, str]:
    """(sensor id, field) of a SenML name; the topic's sensor id wins over the name."""
    field = ""
    sensor = name
    for each in _FIELDS:
        if name == each:
            sensor, field = "", each
        elif name.endswith(each) and name[-len(each) - 1] in _SEPARATORS:
            sensor, field = name[: -len(each) - 1], each
    if named is not None:
        return named, field or "value"
    if not known(sensor):
        tail = re.split("[:/]", sensor)[-1]
        sensor = tail if known(tail) else sensor
    return sensor, field or "value"


def _from_group(sensor_id: str, group: dict[str, SenmlRecord]) -> RawReading:
    record = group.get("value") or group.get("alarm")
    if record is None:
        raise MalformedMessage(f"SenML 中传感器 {sensor_id[:80]} 没有数值 (no value)", reason="senml")
    value = record.value if record.value is not None else None
    if value is None and record.flag is not None:
        value = float(record.flag)
    if value is None:
        raise MalformedMessage(f"SenML 中 {record.name[:80]} 不是数字 (no number)", reason="senml")
    alarm_id = group.get("alarm_id")
    return RawReading(
        sensor_id=sensor_id,
        value=value,
        unit=record.unit,
        time=record.time if record.timed else None,
        alarm_id=_as_alarm_id(_plain(alarm_id)) if alarm_id is not None else None,
        battery_low=_as_flag(_plain(group.get("battery_low"))),
        tamper=_as_flag(_plain(group.get("tamper"))),
    )


def _plain(record: SenmlRecord | None) -> object:
    """The one value of a record, None without one."""
    if record is None:
        return None
    values: tuple[object, ...] = (record.text, record.flag, record.value)
    found = next((value for value in values if value is not None), None)
    return int(found) if isinstance(found, float) and found.is_integer() else found
