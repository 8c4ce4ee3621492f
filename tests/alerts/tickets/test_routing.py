"""Who gets a ticket, how urgent it is."""

from __future__ import annotations

from alerts.tickets.routing import is_located, route
from alerts.tickets.sla import class_for, more_urgent
from contracts.incident import Level
from contracts.observation import IncidentType
from contracts.place import Place
from contracts.policy import TypeRule
from contracts.ticket import SlaClass
from tests.alerts.core.county import POLICY


def rule_of(type_: IncidentType) -> TypeRule:
    return next(rule for rule in POLICY.rules if rule.type is type_)


def test_crowd_opens_by_itself_from_yellow_on_and_goes_to_the_street() -> None:
    rule = rule_of(IncidentType.CROWD_DENSITY)
    assert [route(rule, level).auto for level in (Level.BLUE, Level.YELLOW, Level.RED)] == [False, True, True]
    assert (route(rule, Level.YELLOW).lead, route(rule, Level.YELLOW).co) == ("街道", ("公安派出所",))


def test_confirmed_fire_goes_to_119_with_helpers() -> None:
    path = route(rule_of(IncidentType.FIRE_CONFIRMED), Level.RED)
    assert path.lead == "消防救援大队(119)"
    assert "街道" in path.co


def test_class_comes_from_the_rule_and_falls_back_to_the_level() -> None:
    rule = rule_of(IncidentType.SMOKE_SENSOR)
    assert class_for(rule, Level.ORANGE) is SlaClass.P2
    assert [class_for(rule, level) for level in (Level.BLUE, Level.YELLOW, Level.RED)] == [
        SlaClass.P4,
        SlaClass.P3,
        SlaClass.P1,
    ]


def test_more_urgent_of_two_classes_is_the_lower_number() -> None:
    assert more_urgent(SlaClass.P3, SlaClass.P1) is SlaClass.P1
    assert more_urgent(SlaClass.P2, SlaClass.P4) is SlaClass.P2


def test_place_without_a_grid_is_not_located() -> None:
    assert is_located(Place(105.7, 38.8, "152921001001001"))
    assert not is_located(Place(105.7, 38.8))
