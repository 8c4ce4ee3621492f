"""Raw readings against the catalogue: unit, plausible range, age. What fails is refused with a reason."""

from __future__ import annotations

from typing import Final

from contracts.errors import MalformedMessage, RefusedInput, UnknownSource
from contracts.instant import SECOND, Instant
from contracts.reading import Quality, Reading
from contracts.source import Sensor, SensorKind
from ingest.mqtt.mapping import RawReading

ALARM_KINDS: Final = frozenset({SensorKind.SMOKE, SensorKind.CALL_POINT})
"""Kinds whose value is an alarm, 0 or 1, without a unit."""

_NAMES: Final = {
    "°C": "Cel",
    "℃": "Cel",
    "C": "Cel",
    "degC": "Cel",
    "%": "%LEL",
    "LEL": "%LEL",
    "%lel": "%LEL",
    "PPM": "ppm",
}
_FACTORS: Final = {
    ("A", "mA"): (1000.0, 0.0),
    ("mm", "m"): (0.001, 0.0),
    ("cm", "m"): (0.01, 0.0),
    ("/", "%LEL"): (100.0, 0.0),
    ("K", "Cel"): (1.0, -273.15),
    ("ppb", "ppm"): (0.001, 0.0),
}


def to_reading(
    raw: RawReading,
    sensor: Sensor | None,
    arrival: Instant,
    heard_at: Instant,
    *,
    retained: bool,
    late_max_s: float,
    future_max_s: float,
) -> Reading:
    """The Reading of a raw one, in the catalogue's unit. Outside its valid range its quality is BAD.

    Without a time of its own it happened when the message was first heard (`heard_at`; `arrival` is that of this
    copy). A time further ahead than `future_max_s` is replaced by arrival, so that no alarm is lost to a wrong
    clock. Raises UnknownSource; RefusedInput with reason `retained` or `too_old` (such a message never opens an
    alert, domain practice [D]); MalformedMessage with reason `unit`.
    """
    if sensor is None:
        raise UnknownSource(f"传感器 {raw.sensor_id[:80]!r} 不在目录中 (not in the catalogue); 请先登记")
    if retained:
        raise RefusedInput(
            f"传感器 {sensor.id} 的保留消息不参与告警 (a retained message never opens an alert)", reason="retained"
        )
    event_time = heard_at if raw.time is None else raw.time
    age_ns = arrival - event_time
    if age_ns > late_max_s * SECOND:
        raise RefusedInput(
            f"传感器 {sensor.id} 的消息已过 {age_ns / SECOND:.0f} 秒, 上限 {late_max_s:g} 秒 (too old to alert)",
            reason="too_old",
        )
    if -age_ns > future_max_s * SECOND:
        event_time = arrival
    value = in_unit(raw.value, raw.unit, sensor)
    good = sensor.valid_min <= value <= sensor.valid_max
    return Reading(
        source_id=sensor.id,
        value=value,
        unit=sensor.unit,
        event_time=event_time,
        arrival_time=arrival,
        quality=Quality.GOOD if good else Quality.BAD,
        external_id=raw.alarm_id,
        battery_low=raw.battery_low,
        tamper=raw.tamper,
    )


def in_unit(value: float, unit: str | None, sensor: Sensor) -> float:
    """The value in the sensor's unit. Raises MalformedMessage for a unit that does not fit."""
    if not unit or unit == sensor.unit or sensor.kind in ALARM_KINDS:
        return value
    given = _NAMES.get(unit, unit)
    wanted = _NAMES.get(sensor.unit, sensor.unit)
    if given == wanted:
        return value
    factor = _FACTORS.get((given, wanted))
    if factor is None:
        raise MalformedMessage(
            f"传感器 {sensor.id} 的单位 {unit[:20]!r} 与目录 {sensor.unit!r} 不符 (unit does not fit)",
            reason="unit",
        )
    return value * factor[0] + factor[1]
