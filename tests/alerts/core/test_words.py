"""Sentences for people: nouns and units of each measure, names of sources, one word per decision."""

from __future__ import annotations

import msgspec
import pytest

from alerts.core import words
from contracts.command import FALSE_ALARM_REASONS, CommandKind
from contracts.incident import Action, Reason
from contracts.instant import DAY, HOUR, MINUTE, SECOND
from contracts.observation import IncidentType
from contracts.policy import Measure
from tests.alerts.core.county import HALL, T0, County, moved, observe


@pytest.mark.parametrize(
    ("measure", "value", "unit", "measured", "threshold"),
    [
        (Measure.VALUE, 60.4, "s", "停留 60.4 秒", "60.4 秒"),
        (Measure.VALUE, 62.5, "Cel", "温度 62.5 ℃", "62.5 ℃"),
        (Measure.VALUE, 26.0, "%LEL", "可燃气体浓度 26 %LEL", "26 %LEL"),
        (Measure.VALUE, 35.0, "ppm", "一氧化碳浓度 35 ppm", "35 ppm"),
        (Measure.VALUE, 0.31, "m", "水深 0.31 m", "0.31 m"),
        (Measure.VALUE, 420.0, "mA", "剩余电流 420 mA", "420 mA"),
        (Measure.VALUE, 4.0, "", "测值 4", "4"),
        (Measure.VALUE, 4.0, "kPa", "测值 4 kPa", "4 kPa"),
        (Measure.DENSITY, 3.2, "", "密度 3.20 人/㎡", "3.20 人/㎡"),
        (Measure.COUNT_SHARE, 1.2, "", "人数为核定容量的 120%", "120%"),
    ],
)
def test_each_measure_has_its_noun_and_unit(
    measure: Measure, value: float, unit: str, measured: str, threshold: str
) -> None:
    assert words.quantity(measure, value, unit) == measured
    assert words.amount(measure, value, unit) == threshold


@pytest.mark.parametrize(
    ("age_ns", "said"),
    [
        (121 * SECOND, "121 秒"),
        (10 * MINUTE, "10 分钟"),
        (119 * MINUTE, "119 分钟"),
        (24 * HOUR, "24 小时"),
        (3 * DAY, "3 天"),
    ],
)
def test_age_is_said_in_the_unit_that_people_use(age_ns: int, said: str) -> None:
    assert words.age(age_ns) == said


def test_smoke_alarm_is_an_alarm_and_not_a_value_of_one() -> None:
    alarm = msgspec.structs.replace(observe("S-1", IncidentType.SMOKE_SENSOR, T0, value=1.0), unit="1")
    assert words.claim(alarm) == "来源 S-1 报告, 报警, 置信度 0.90"


def test_name_that_comes_along_stands_for_the_id() -> None:
    gas = observe("S-1", IncidentType.GAS_LEL1, T0, value=26.0, detail=(("sensor_name", "锅炉房燃气"),))
    gas = msgspec.structs.replace(gas, unit="%LEL")
    assert words.claim(gas) == "来源 锅炉房燃气 报告, 可燃气体浓度 26 %LEL, 置信度 0.90"
    county = County()
    county.detector().says(IncidentType.SMOKE_SENSOR, detail=(("source_name", "东门烟感"),))
    assert "来源 东门烟感 报告" in county.incident().decisions[0].text


def test_vehicle_that_stands_is_told_in_seconds() -> None:
    county = County()
    for second in range(60, 75, 2):
        claim = observe(
            "C-1",
            IncidentType.STOPPED_VEHICLE,
            county.now,
            value=float(second),
            detail=(("zone_kind", "lane"),),
        )
        county.step(msgspec.structs.replace(claim, unit="s"))
        county.at(second - 58)
    text = county.incident().decisions[1].text
    assert text.startswith("停留 ")
    assert "级阈值 60 秒" in text
    assert "测值" not in text


def test_ticket_is_opened_for_a_reason_of_its_own_and_told_by_what_was_measured() -> None:
    county = County()
    for second in range(0, 70, 2):
        county.at(second).camera().sees_crowd(4.5)
    reasons = [decision.reason for decision in county.incident().decisions]
    assert reasons.count(Reason.TICKET_OPENED) == 1
    assert reasons.count(Reason.HOLD_MET) == 1
    assert "密度 4.50 人/㎡" in county.ticket().description


def test_rise_that_a_confirmation_causes_stands_behind_it() -> None:
    county = County()
    county.detector().alarms()
    assert county.person().asks(CommandKind.CONFIRM, county.incident().id).accepted
    assert [decision.action for decision in county.incident().decisions[-2:]] == [Action.CONFIRM, Action.RAISE]


def test_fail_safe_that_opens_the_ticket_says_that_it_stays_suspected() -> None:
    county = County()
    county.person().mutes(70, type="fire.smoke_sensor", source_id="S-1")
    county.detector().alarms()
    county.at(71)
    texts = [decision.text for decision in county.incident().decisions]
    assert "60 秒无人研判, 自动转派, 仍为疑似 (时限 60 秒)" in texts
    assert texts[-1] == "无人研判, 自动转派, 仍为疑似, 开立工单"


def test_muted_then_claimed_incident_tells_both_and_the_end_of_the_mute() -> None:
    county = County()
    county.person().mutes(50, type="fire.smoke_sensor", source_id="S-1")
    county.detector().alarms()
    assert county.person().asks(CommandKind.ACKNOWLEDGE, county.incident().id).accepted
    assert county.person().asks(CommandKind.ACKNOWLEDGE, county.incident().id).accepted
    county.at(51)
    told = [(decision.reason, decision.text) for decision in county.incident().decisions]
    assert [reason for reason, _ in told] == [
        Reason.ACTS_ON_ARRIVAL,
        Reason.MUTED,
        Reason.CLAIMED_BY_PERSON,
        Reason.MUTE_ENDED,
        Reason.TICKET_OPENED,
    ]
    assert "值班员一 认领" in told[2][1]
    assert "检修" in told[3][1]


@pytest.mark.parametrize("code", FALSE_ALARM_REASONS)
def test_false_alarm_code_is_told_in_words(code: str) -> None:
    county = County()
    county.detector(place=moved(HALL, 10)).alarms()
    county.person().asks(CommandKind.FALSE_ALARM, county.incident().id, reason=code)
    said = FALSE_ALARM_REASONS[code][0]
    assert county.incident().decisions[-1].text == f"值班员一 判为误报: {said}"
    assert county.events[county.ticket().id][-1].reason == said


def test_false_alarm_in_free_words_is_told_as_written() -> None:
    county = County()
    county.detector().alarms()
    county.person().asks(CommandKind.FALSE_ALARM, county.incident().id, reason="施工粉尘")
    assert "判为误报: 施工粉尘" in county.incident().decisions[-1].text
