"""Words: the Chinese sentences of decisions, with the measured and the demanded value."""

from __future__ import annotations

from typing import Final

from alerts.core.policy import told
from contracts.incident import Level
from contracts.instant import DAY, HOUR, MINUTE, SECOND
from contracts.observation import IncidentType, Observation
from contracts.policy import Measure

LEVELS: Final = {Level.NONE: "无", Level.BLUE: "蓝", Level.YELLOW: "黄", Level.ORANGE: "橙", Level.RED: "红"}
"""Internal alert levels (内部告警等级), not published warnings."""


SOURCE_NAME: Final = "source_name"
NAMING: Final = (SOURCE_NAME, "sensor_name")
"""Keys of an observation's detail under which its source's name comes along."""

_UNITS: Final = {
    "s": ("停留", "秒"),
    "Cel": ("温度", "℃"),
    "%LEL": ("可燃气体浓度", "%LEL"),
    "ppm": ("一氧化碳浓度", "ppm"),
    "m": ("水深", "m"),
    "mA": ("剩余电流", "mA"),
}
"""What is measured in a unit, and how people write the unit. The units are those of SenML (RFC 8428) and of the
catalogue; seconds are those that a vehicle has stood."""

_SWITCHES: Final = frozenset({IncidentType.SMOKE_SENSOR, IncidentType.FIRE_CONFIRMED})
"""Types whose value is 1 while in alarm: saying it tells nobody anything."""


def span(duration_ns: int) -> str:
    """A duration in seconds, `60 秒`, `2.5 秒`."""
    return f"{duration_ns / SECOND:.4g} 秒"


def age(duration_ns: int) -> str:
    """How long ago, for people: `95 秒`, `12 分钟`, `24 小时`, `3 天`."""
    for unit_ns, word, least in ((DAY, "天", 2), (HOUR, "小时", 2), (MINUTE, "分钟", 3)):
        if duration_ns >= least * unit_ns:
            return f"{duration_ns // unit_ns} {word}"
    return f"{duration_ns // SECOND} 秒"


def quantity(measure: Measure | None, value: float, unit: str = "") -> str:
    """What was measured, with its noun: `停留 60.4 秒`, `密度 3.20 人/㎡`, `可燃气体浓度 26 %LEL`."""
    if measure is Measure.DENSITY:
        noun = "密度"
    elif measure is Measure.COUNT_SHARE:
        noun = "人数为核定容量的"
    else:
        noun = _UNITS[unit][0] if unit in _UNITS else "测值"
    return f"{noun} {amount(measure, value, unit)}"


def amount(measure: Measure | None, value: float, unit: str = "") -> str:
    """A value with its unit alone, as it stands behind `阈值`: `60 秒`, `3.00 人/㎡`, `25 %LEL`."""
    if measure is Measure.DENSITY:
        return f"{value:.2f} 人/㎡"
    if measure is Measure.COUNT_SHARE:
        return f"{value:.0%}"
    shown = _UNITS[unit][1] if unit in _UNITS else unit
    return f"{value:g} {shown}".rstrip()


def source(observation: Observation) -> str:
    """Who says it: the name that came along with the observation, else the id."""
    return next((name for key in NAMING if (name := told(observation, key))), observation.source_id)


def claim(observation: Observation) -> str:
    """What a single-shot claim says: who, what value, how sure."""
    parts = [f"来源 {source(observation)} 报告"]
    if observation.type in _SWITCHES:
        parts.append("报警")
    elif observation.value is not None:
        parts.append(quantity(None, observation.value, observation.unit))
    if observation.samples > 1:
        parts.append(f"{observation.samples} 个样本持续 {span(observation.span_ns)}")
    parts.append(f"置信度 {observation.confidence:.2f}")
    if observation.external_id is not None:
        parts.append(f"设备报警号 {observation.external_id}")
    return ", ".join(parts)
