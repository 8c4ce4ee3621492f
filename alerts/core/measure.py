"""Measure: what of a sample a rule compares with its thresholds, or why it cannot be compared."""

from __future__ import annotations

import math

from alerts.core.decide import Verdict
from alerts.core.policy import Rule, told_number
from contracts.incident import Action, Reason
from contracts.observation import Observation
from contracts.policy import Measure


def measure(observation: Observation, rule: Rule) -> float | Verdict:
    """What the rule compares; a verdict when the observation cannot be judged. Too few people measure 0."""
    kind = rule.of.measure
    if kind is Measure.DENSITY:
        area_m2 = told_number(observation, "area_m2")
        if observation.density is None:
            return Verdict(Action.REFUSE, Reason.UNCALIBRATED, "地面未标定, 密度未知, 只报人数")
        if area_m2 is not None and area_m2 < rule.of.area_min_m2:
            text = f"区域面积 {area_m2:g} ㎡ 小于 {rule.of.area_min_m2:g} ㎡, 密度无意义"
            return Verdict(Action.REFUSE, Reason.UNCALIBRATED, text)
        value = observation.density
    elif kind is Measure.COUNT_SHARE:
        capacity = told_number(observation, "capacity")
        if capacity is None or observation.count is None:
            return Verdict(Action.REFUSE, Reason.UNCALIBRATED, "未登记核定容量, 容量规则停用")
        value = observation.count / capacity
    elif observation.value is None:
        return Verdict(Action.REFUSE, Reason.UNCALIBRATED, "没有测值, 无法判断")
    else:
        value = observation.value
    if not math.isfinite(value) or value < 0.0:
        return Verdict(Action.REFUSE, Reason.UNCALIBRATED, f"测值 {value} 无效")
    return 0.0 if observation.count is not None and observation.count < rule.of.count_min else value
