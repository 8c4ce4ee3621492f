"""Reading: one decoded sensor value with unit and quality."""

from __future__ import annotations

import enum

import msgspec

from contracts.instant import Instant


class Quality(enum.StrEnum):
    """Whether a value may be judged."""

    GOOD = "good"
    BAD = "bad"
    """Outside what is physically possible, or marked bad by the device; never an alarm."""
    STALE = "stale"
    """A retained or late message (over 120 s); never opens an alert."""


class Reading(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One value of one sensor. `external_id` is the device's own id of an alarm, when it sends one."""

    source_id: str
    value: float
    unit: str
    event_time: Instant
    arrival_time: Instant
    quality: Quality = Quality.GOOD
    external_id: str | None = None
    battery_low: bool = False
    tamper: bool = False
