"""The default policy is complete and right; every wrong one is refused with its key."""

from __future__ import annotations

import copy
import tomllib
from typing import Any

import pytest

from alerts.core.policy import parse
from contracts.incident import Level
from contracts.observation import IncidentType
from contracts.place import ZoneKind
from contracts.policy import Belief
from contracts.ticket import SlaClass
from tests.alerts.core.county import DEFAULT, POLICY

RAW: dict[str, Any] = tomllib.loads(DEFAULT.read_text())

CODES = {
    "crowd.density": "21001",
    "crowd.capacity": "21003",
    "traffic.congestion": "22001",
    "traffic.stopped_vehicle": "22003",
    "traffic.wrong_way": "22004",
    "traffic.intrusion": "22005",
    "traffic.fire_lane": "22008",
    "fire.flame_suspected": "23001",
    "fire.smoke_suspected": "23002",
    "fire.confirmed": "23003",
    "fire.smoke_sensor": "23004",
    "fire.heat": "23005",
    "gas.lel1": "23006",
    "gas.lel2": "23007",
    "gas.co": "23008",
    "fire.electrical": "23010",
    "infra.ponding": "04006",
    "device.video_loss": "24001",
    "device.video_quality": "24002",
    "device.sensor_fault": "24003",
    "device.edge_offline": "24004",
}


def test_default_policy_has_every_type_with_its_code() -> None:
    assert {rule.type.value: rule.code for rule in POLICY.rules} == CODES
    assert set(CODES) == {type_.value for type_ in IncidentType}


def test_default_crowd_levels_are_those_of_the_domain() -> None:
    rules = {rule.zone_kinds: rule for rule in POLICY.rules if rule.type is IncidentType.CROWD_DENSITY}
    standing, moving = rules[(ZoneKind.STANDING,)], rules[(ZoneKind.MOVING,)]
    assert [row.raise_at for row in standing.levels] == [2.0, 3.0, 4.0, 5.0]
    assert [row.raise_at for row in moving.levels] == [1.0, 1.5, 2.0, 3.5]
    for rule in (standing, moving):
        assert [row.hold_s for row in rule.levels] == [60, 60, 30, 10]
        assert [row.sla for row in rule.levels] == [SlaClass.P4, SlaClass.P3, SlaClass.P2, SlaClass.P1]
        assert (rule.clear_share, rule.clear_hold_s, rule.count_min, rule.area_min_m2) == (0.8, 120, 10, 10)
        assert rule.auto_from is Level.YELLOW


def test_every_fire_and_gas_type_is_fail_safe_after_60_s_and_acts_on_arrival() -> None:
    for rule in POLICY.rules:
        hot = rule.type.value.startswith(("fire.", "gas."))
        assert rule.fail_safe is hot
        if hot:
            assert (rule.review_s, rule.merge_window_s, rule.belief) == (60, 1800, Belief.ARRIVAL)


def test_no_device_fault_opens_a_ticket() -> None:
    faults = [rule for rule in POLICY.rules if rule.type.value.startswith("device.")]
    assert len(faults) == 4
    assert all(rule.belief is Belief.OPERATIONS and not rule.auto for rule in faults)


def wrong(path: str, value: object) -> dict[str, Any]:
    raw = copy.deepcopy(RAW)
    spot: Any = raw
    *way, last = path.split(".")
    for step in way:
        spot = spot[int(step)] if step.isdigit() else spot[step]
    spot[int(last) if last.isdigit() else last] = value
    return raw


WRONG = {
    "an unknown key": ("latenes_s", 1, "latenes_s is not a key"),
    "an unknown key of a rule": ("rules.0.raise", 1, r"rules\[0\].raise is not a key"),
    "an unknown key of a level": ("rules.0.levels.0.at", 1, r"levels\[0\].at is not a key"),
    "a level that does not exist": ("rules.0.levels.0.level", "purple", "write one of blue"),
    "a level as a number": ("rules.0.levels.0.level", 1, "write one of blue"),
    "levels that fall": ("rules.0.levels.1.level", "blue", "must rise"),
    "thresholds that fall": ("rules.0.levels.1.raise_at", 1.0, "must rise"),
    "no level": ("rules.0.levels", [], "levels is empty"),
    "levels that are no tables": ("rules.0.levels", ["blue"], "not a table"),
    "levels that are no array": ("rules.0.levels", 3, "not an array"),
    "a rule that is no table": ("rules.0", 3, "not a table"),
    "no rules": ("rules", [], "missing"),
    "a type that does not exist": ("rules.0.type", "face.match", "Invalid enum value"),
    "a zone kind that does not exist": ("rules.0.zone_kinds", ["roof"], "Invalid enum value"),
    "the same zone kind twice": ("rules.1.zone_kinds", ["standing"], "does already"),
    "a clear share over 1": ("rules.0.clear_share", 1.2, "at most 1"),
    "a negative window": ("rules.0.merge_window_s", -1.0, "write 0 or more"),
    "a window that is no number": ("rules.0.gap_max_s", float("nan"), "write 0 or more"),
    "no samples": ("rules.0.samples_min", 0, "1 or more"),
    "a hold below zero": ("rules.0.levels.0.hold_s", -5, "0 or more"),
    "a sampled threshold of zero": ("rules.0.levels.0.raise_at", 0.0, "never clears"),
    "a negative lateness": ("lateness_s", -2.0, "lateness_s"),
    "room for no incident": ("open_incidents_max", 0, "1 or more"),
    "a text for a number": ("confirm_window_s", "soon", "Expected `float`"),
}


@pytest.mark.parametrize(("path", "value", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_wrong_policy_is_refused_with_its_key_and_the_way_out(path: str, value: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse(wrong(path, value))


def test_sampled_type_without_a_measure_is_refused() -> None:
    raw = copy.deepcopy(RAW)
    del raw["rules"][0]["measure"]
    with pytest.raises(ValueError, match="measure is missing"):
        parse(raw)


def test_device_fault_that_would_open_a_ticket_is_refused() -> None:
    index = next(i for i, rule in enumerate(RAW["rules"]) if rule["type"] == "device.video_loss")
    with pytest.raises(ValueError, match="operations queue"):
        parse(wrong(f"rules.{index}.auto", True))
