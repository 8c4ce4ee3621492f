"""Policy rules: parsed from data, checked, and looked up in constant time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import msgspec

from contracts.incident import Level
from contracts.instant import seconds
from contracts.observation import IncidentType, Observation
from contracts.policy import Belief, LevelRule, Measure, Policy, TypeRule

T = IncidentType

FIRE: Final = "fire"
"""Family of all that may be one fire: two independent triggers of it confirm each other."""

_FAMILIES: Final = {
    T.FLAME_SUSPECTED: FIRE,
    T.SMOKE_SUSPECTED: FIRE,
    T.SMOKE_SENSOR: FIRE,
    T.HEAT: FIRE,
    T.FIRE_CONFIRMED: FIRE,
    T.GAS_LEL1: "gas",
    T.GAS_LEL2: "gas",
}


def family(type_: IncidentType) -> str:
    """The types that describe one happening share a family; all others are a family of their own."""
    return _FAMILIES.get(type_, type_.value)


@dataclass(frozen=True, slots=True)
class Rule:
    """A TypeRule with its durations in ns and its clear thresholds worked out. Indices run with `levels`."""

    of: TypeRule
    family: str
    levels: tuple[Level, ...]
    raise_at: tuple[float, ...]
    hold_ns: tuple[int, ...]
    clear_at: tuple[float, ...]
    """A level ends only below `clear_share` of its own threshold."""
    clear_hold_ns: int
    gap_max_ns: int
    merge_window_ns: int
    review_ns: int


def _compile(rule: TypeRule) -> Rule:
    return Rule(
        of=rule,
        family=family(rule.type),
        levels=tuple(row.level for row in rule.levels),
        raise_at=tuple(row.raise_at for row in rule.levels),
        hold_ns=tuple(int(seconds(row.hold_s)) for row in rule.levels),
        clear_at=tuple(row.raise_at * rule.clear_share for row in rule.levels),
        clear_hold_ns=seconds(rule.clear_hold_s),
        gap_max_ns=seconds(rule.gap_max_s),
        merge_window_ns=seconds(rule.merge_window_s),
        review_ns=seconds(rule.review_s),
    )


class Rules:
    """The rules of one policy, found by type and kind of zone in one look-up."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.lateness_ns: int = seconds(policy.lateness_s)
        self.late_max_ns: int = seconds(policy.late_max_s)
        self.future_max_ns: int = seconds(policy.future_max_s)
        self.confirm_window_ns: int = seconds(policy.confirm_window_s)
        self._by_kind: dict[tuple[str, str], Rule] = {}
        self._by_type: dict[str, Rule] = {}
        for type_rule in policy.rules:
            rule = _compile(type_rule)
            self._by_type.setdefault(type_rule.type, rule)
            for kind in type_rule.zone_kinds or ("",):
                self._by_kind.setdefault((type_rule.type, kind), rule)
        self.fault_rules = tuple(rule for rule in self._by_type.values() if rule.of.belief is Belief.OPERATIONS)
        self.reach_m = max(policy.fire_zone_radius_m, *(rule.join_radius_m for rule in policy.rules), 1.0)

    def of_type(self, type_: IncidentType) -> Rule | None:
        """The first rule of a type: its code, names and routing, which do not depend on the zone."""
        return self._by_type.get(type_)

    def of(self, observation: Observation) -> Rule | None:
        """The rule for the observation's type and the kind of its zone; one without kinds holds everywhere."""
        general = self._by_kind.get((observation.type, ""))
        if general is not None:
            return general
        return self._by_kind.get((observation.type, told(observation, "zone_kind")))

    def of_kind(self, type_: IncidentType, zone_kind: str) -> Rule | None:
        """The rule for a type in a kind of zone."""
        return self._by_kind.get((type_, "")) or self._by_kind.get((type_, zone_kind))


def told(observation: Observation, key: str) -> str:
    """The word that the observation's detail holds for `key`, else an empty string."""
    for name, value in observation.detail:
        if name == key:
            return value
    return ""


def told_number(observation: Observation, key: str) -> float | None:
    """The finite, positive number that the observation's detail holds for `key`; None when it holds none."""
    text = told(observation, key)
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0.0 < number < float("inf") else None


_LEVELS: Final = {level.name.lower(): level.value for level in Level if level is not Level.NONE}


def parse(mapping: Mapping[str, object]) -> Policy:
    """The policy that a parsed TOML file holds; levels are written blue, yellow, orange, red.

    Raises ValueError with a sentence that names the key, what is wrong and what to write.
    """
    _known(mapping, Policy, "")
    rules = mapping.get("rules")
    if not isinstance(rules, list) or not rules:
        raise ValueError("[[rules]] is missing; write one table per incident type")
    raw = {**mapping, "rules": [_named_levels(rule, index) for index, rule in enumerate(rules)]}
    try:
        policy = msgspec.convert(raw, Policy)
    except msgspec.ValidationError as error:
        raise ValueError(f"{error}") from None
    _check_bounds(policy)
    taken: dict[tuple[str, str], int] = {}
    for index, rule in enumerate(policy.rules):
        _check_rule(rule, f"rules[{index}] ({rule.type.value})")
        for kind in rule.zone_kinds or ("",):
            other = taken.setdefault((rule.type, kind), index)
            if other != index:
                raise ValueError(
                    f"rules[{index}] judges {rule.type.value} in zones '{kind or 'all'}', which rules[{other}] "
                    "does already; remove one"
                )
    return policy


def _known(mapping: Mapping[str, object], type_: type[msgspec.Struct], where: str) -> None:
    names = {field.name for field in msgspec.structs.fields(type_)}
    for key in mapping:
        if key not in names:
            raise ValueError(f"{where}{key} is not a key of the policy; known here: {', '.join(sorted(names))}")


def _named_levels(rule: object, index: int) -> dict[str, object]:
    """The rule with its level names turned into numbers."""
    where = f"rules[{index}]."
    if not isinstance(rule, Mapping):
        raise ValueError(f"rules[{index}] is not a table; write [[rules]]")
    _known(rule, TypeRule, where)
    raw = dict(rule)
    if "auto_from" in raw:
        raw["auto_from"] = _level(raw["auto_from"], f"{where}auto_from")
    rows = raw.get("levels", [])
    if not isinstance(rows, list):
        raise ValueError(f"{where}levels is not an array of tables")
    levels: list[dict[str, object]] = []
    for position, row in enumerate(cast("Sequence[object]", rows)):
        spot = f"{where}levels[{position}]"
        if not isinstance(row, Mapping):
            raise ValueError(
                f"{spot} is not a table; write {{level = 'yellow', raise_at = 3.0, hold_s = 60, sla = 'P3'}}"
            )
        _known(row, LevelRule, f"{spot}.")
        levels.append({**row, "level": _level(row.get("level"), f"{spot}.level")})
    raw["levels"] = levels
    return raw


def _level(name: object, where: str) -> int:
    if not isinstance(name, str) or name not in _LEVELS:
        raise ValueError(f"{where} is {name!r}; write one of {', '.join(_LEVELS)}")
    return _LEVELS[name]


def _check_bounds(policy: Policy) -> None:
    for key in ("lateness_s", "late_max_s", "future_max_s", "confirm_window_s", "fire_zone_radius_m"):
        value = getattr(policy, key)
        if not 0.0 <= value < 1e6:
            raise ValueError(f"{key} is {value}; write a number from 0 to 1,000,000")
    for key in ("effects_per_step_max", "open_incidents_max"):
        if getattr(policy, key) < 1:
            raise ValueError(f"{key} is {getattr(policy, key)}; write 1 or more")


_AT_LEAST_ZERO: Final = (
    "clear_hold_s",
    "gap_max_s",
    "confidence_min",
    "count_min",
    "area_min_m2",
    "merge_window_s",
    "join_radius_m",
    "review_s",
)


def _check_rule(rule: TypeRule, where: str) -> None:
    if not rule.levels:
        raise ValueError(f"{where}.levels is empty; write at least one level")
    for key in _AT_LEAST_ZERO:
        value = getattr(rule, key)
        if not 0.0 <= value < 1e7:
            raise ValueError(f"{where}.{key} is {value}; write 0 or more")
    if not 0.0 < rule.clear_share <= 1.0:
        raise ValueError(f"{where}.clear_share is {rule.clear_share}; write more than 0 and at most 1")
    if rule.samples_min < 1:
        raise ValueError(f"{where}.samples_min is {rule.samples_min}; write 1 or more")
    for before, after in zip(rule.levels, rule.levels[1:], strict=False):
        if after.level <= before.level or after.raise_at < before.raise_at:
            raise ValueError(f"{where}.levels must rise: {after.level.name.lower()} stands behind a worse one")
    for row in rule.levels:
        if row.hold_s < 0.0 or not row.raise_at >= 0.0:
            raise ValueError(f"{where}.levels {row.level.name.lower()}: hold_s and raise_at must be 0 or more")
    if rule.belief is Belief.SAMPLED and rule.measure is None:
        raise ValueError(f"{where}.measure is missing; write one of {', '.join(Measure)}")
    if rule.belief is Belief.SAMPLED and rule.levels[0].raise_at <= 0.0:
        raise ValueError(f"{where}.levels: raise_at of a sampled type must be more than 0, else it never clears")
    if rule.belief is Belief.OPERATIONS and rule.auto:
        raise ValueError(f"{where}.auto is true; device faults go to the operations queue and open no ticket")
