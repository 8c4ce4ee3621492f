"""Routing: who leads a ticket (主办) and who helps (协办), by the taxonomy's table."""

from __future__ import annotations

import msgspec

from contracts.incident import Level
from contracts.place import Place
from contracts.policy import TypeRule


class Route(msgspec.Struct, frozen=True):
    """One lead unit and any number of others. `auto`: the ticket may open without a person."""

    lead: str
    co: tuple[str, ...]
    auto: bool


def route(rule: TypeRule, level: Level) -> Route:
    """Where a ticket of this type and level goes."""
    return Route(rule.lead, rule.co, rule.auto and level >= rule.auto_from)


def is_located(place: Place) -> bool:
    """Whether a grid holds the place; without one the ticket waits in state 15 (待定位)."""
    return place.grid_code is not None
