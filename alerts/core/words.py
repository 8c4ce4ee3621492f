"""Words: the Chinese sentences of decisions, with the measured and the demanded value."""

from __future__ import annotations

from typing import Final

from contracts.incident import Level
from contracts.instant import SECOND
from contracts.observation import Observation
from contracts.policy import Measure

LEVELS: Final = {Level.NONE: "无", Level.BLUE: "蓝", Level.YELLOW: "黄", Level.ORANGE: "橙", Level.RED: "红"}
"""Internal alert levels (内部告警等级), not published warnings."""


def span(duration_ns: int) -> str:
    """A duration in seconds, `60 秒`, `2.5 秒`."""
    return f"{duration_ns / SECOND:.4g} 秒"


def quantity(measure: Measure | None, value: float, unit: str = "") -> str:
    """A value with the unit that people expect of its measure."""
    if measure is Measure.DENSITY:
        return f"密度 {value:.2f} 人/㎡"
    if measure is Measure.COUNT_SHARE:
        return f"人数为核定容量的 {value:.0%}"
    return f"测值 {value:g}{unit and ' '}{unit}"


def claim(observation: Observation) -> str:
    """What a single-shot claim says: who, how sure, what value."""
    parts = [f"来源 {observation.source_id} 报告"]
    if observation.value is not None:
        parts.append(f"测值 {observation.value:g} {observation.unit}".strip())
    if observation.samples > 1:
        parts.append(f"{observation.samples} 个样本持续 {span(observation.span_ns)}")
    parts.append(f"置信度 {observation.confidence:.2f}")
    if observation.external_id is not None:
        parts.append(f"设备报警号 {observation.external_id}")
    return ", ".join(parts)
