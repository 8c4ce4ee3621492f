"""Freshness: how old the last look at a camera may become, by what it looks at and the hour of the day.

A profile is a bound in seconds and hours at which another one holds, in Beijing time. Which profile a camera has
stands in the catalogue; what the profiles are, in the configuration. Pure: `now` is given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from contracts.instant import DAY, HOUR, MINUTE, Instant

_BEIJING_NS: Final = 8 * HOUR
_TIME: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d|24:00")
_DAYS: Final = re.compile(r"[1-7](-[1-7])?(,[1-7](-[1-7])?)*")
_THURSDAY: Final = 3
"""1970-01-01, counted from Monday."""


class Hours(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[inference.profiles.NAME.hours]]`: a time of the day at which another bound holds."""

    begin: str
    """`07:00`, Beijing time."""
    end: str
    """`08:30`; at most `24:00`, and after `begin`: a night is two of them."""
    days: str = "1-7"
    """1 = Monday: `1-5`, or `6,7`."""
    bound_s: float

    def __post_init__(self) -> None:
        if not _TIME.fullmatch(self.begin) or not _TIME.fullmatch(self.end) or self.begin >= self.end:
            raise ValueError(f"hours: begin 与 end 应如 07:00 与 08:30 (got {self.begin!r} to {self.end!r})")
        if not _DAYS.fullmatch(self.days):
            raise ValueError(f"hours: days 应如 1-5 或 6,7 (got {self.days!r})")
        if self.bound_s <= 0:
            raise ValueError("hours: bound_s 必须大于 0 (must be above 0)")

    def holds(self, weekday: int, minute: int) -> bool:
        """`weekday` 1 = Monday, `minute` of the day."""
        if not _minutes(self.begin) <= minute < _minutes(self.end):
            return False
        spans = (part.partition("-") for part in self.days.split(","))
        return any(int(first) <= weekday <= int(last or first) for first, _, last in spans)


class FreshnessProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[inference.profiles.NAME]`: how fresh the cameras of this profile are kept."""

    bound_s: float
    """Every camera of it is looked at within so many seconds, while there is capacity for it..."""
    hours: tuple[Hours, ...] = ()
    """...except at these hours; the first that fits holds."""

    def __post_init__(self) -> None:
        if self.bound_s <= 0:
            raise ValueError("profiles: bound_s 必须大于 0 (must be above 0)")

    def at(self, now: Instant) -> float:
        """The bound in seconds."""
        day, within = divmod(now + _BEIJING_NS, DAY)
        weekday, minute = (day + _THURSDAY) % 7 + 1, within // MINUTE
        return next((each.bound_s for each in self.hours if each.holds(weekday, minute)), self.bound_s)


def _minutes(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


PROFILES: Final[Mapping[str, FreshnessProfile]] = {
    # School hours as most counties have them; a site states its own.
    "school_gate": FreshnessProfile(
        bound_s=15.0,
        hours=(
            Hours(begin="07:00", end="08:30", days="1-5", bound_s=1.0),
            Hours(begin="11:30", end="14:30", days="1-5", bound_s=2.0),
            Hours(begin="16:00", end="18:00", days="1-5", bound_s=1.0),
        ),
    ),
    "square": FreshnessProfile(bound_s=10.0, hours=(Hours(begin="18:00", end="22:00", bound_s=3.0),)),
    "junction": FreshnessProfile(
        bound_s=10.0,
        hours=(
            Hours(begin="07:00", end="09:00", bound_s=4.0),
            Hours(begin="17:00", end="19:00", bound_s=4.0),
        ),
    ),
    "forest": FreshnessProfile(bound_s=15.0, hours=(Hours(begin="10:00", end="18:00", bound_s=8.0),)),
    "alley": FreshnessProfile(bound_s=30.0),
}
"""Profiles that every site has, all [D]; `[inference.profiles]` replaces them one by one or adds others."""
WORDS: Final[Mapping[str, str]] = {
    "校门": "school_gate",
    "学校": "school_gate",
    "广场": "square",
    "路口": "junction",
    "林区": "forest",
    "草原": "forest",
    "背街小巷": "alley",
    "巷道": "alley",
}
"""Chinese words for them, as they stand in a catalogue."""


class Freshness:
    """The bounds of a site. `unknown`: profiles that cameras name and nobody has written down."""

    def __init__(self, profiles: Mapping[str, FreshnessProfile], default_s: float) -> None:
        self._profiles = {**PROFILES, **profiles}
        self._default_s = default_s
        self.unknown: set[str] = set()

    def bound_s(self, profile: str, now: Instant) -> float:
        """Seconds within which a camera of this profile ("" = none) is to be looked at, at this hour."""
        if not profile:
            return self._default_s
        known = self._profiles.get(profile) or self._profiles.get(WORDS.get(profile, ""))
        if known is None:
            self.unknown.add(profile)
            return self._default_s
        return known.at(now)
