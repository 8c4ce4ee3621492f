"""The class of a ticket from the level of its incident; clocks on calendars are not part of this module yet."""

from __future__ import annotations

from typing import Final

from contracts.incident import Level
from contracts.policy import TypeRule
from contracts.ticket import SlaClass

_BY_LEVEL: Final = {
    Level.RED: SlaClass.P1,
    Level.ORANGE: SlaClass.P2,
    Level.YELLOW: SlaClass.P3,
    Level.BLUE: SlaClass.P4,
    Level.NONE: SlaClass.P4,
}

URGENT: Final = frozenset({SlaClass.P1, SlaClass.P2})
"""Classes whose tickets register (T06) without a person."""


def class_for(rule: TypeRule, level: Level) -> SlaClass:
    """The class that `rule` gives to `level`; red P1, orange P2, yellow P3, blue P4 where it names none."""
    return next((row.sla for row in rule.levels if row.level is level), _BY_LEVEL[level])


def more_urgent(one: SlaClass, other: SlaClass) -> SlaClass:
    """The more urgent of two classes: a ticket's class never falls by itself."""
    return min(one, other)
