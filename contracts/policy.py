"""Policy: the versioned rules of a site. All numbers are data; the defaults of domain practice are ours ([D])."""

from __future__ import annotations

import enum

import msgspec

from contracts.command import MuteMatcher
from contracts.incident import Level
from contracts.instant import Instant
from contracts.observation import IncidentType
from contracts.place import ZoneKind
from contracts.ticket import SlaClass


class Belief(enum.StrEnum):
    """The two speeds of belief, and the third way for device faults."""

    ARRIVAL = "arrival"
    """Sensor alarms, fire, gas: acts on arrival; only a reset from the source or a person ends it."""
    SAMPLED = "sampled"
    """Crowd and traffic: reorder buffer, holds over samples, hysteresis."""
    OPERATIONS = "operations"
    """Device faults: the operations queue, never a grid ticket."""


class Measure(enum.StrEnum):
    """What of an observation a level rule compares."""

    DENSITY = "density"
    COUNT_SHARE = "count_share"
    """Count over the zone's approved capacity."""
    VALUE = "value"


class LevelRule(msgspec.Struct, frozen=True, gc=False):
    """From `raise_at` on, held for `hold_s`, the incident has `level`. `sla`: the ticket's class."""

    level: Level
    raise_at: float
    hold_s: float
    sla: SlaClass


class TypeRule(msgspec.Struct, frozen=True, kw_only=True):
    """How one incident type (in some kinds of zone) is judged.

    `zone_kinds` empty = everywhere. `clear_share`: clears below this share of the lowest threshold, held for
    `clear_hold_s`. `gap_max_s`: samples further apart than this break a hold. `samples_min`: a hold needs at
    least so many samples. `auto`: a ticket may open without a person, from level `auto_from`. `merge_window_s`
    since last evidence joins the same incident. `join_radius_m`: observations of the same type nearer than this
    may be one thing. `fail_safe`: unreviewed for `review_s`, the incident goes on by itself (fire and gas).
    """

    type: IncidentType
    code: str
    name_zh: str
    name_en: str
    belief: Belief
    measure: Measure | None = None
    zone_kinds: tuple[ZoneKind, ...] = ()
    levels: tuple[LevelRule, ...] = ()
    clear_share: float = 0.8
    clear_hold_s: float = 120.0
    gap_max_s: float = 20.0
    samples_min: int = 3
    confidence_min: float = 0.0
    count_min: int = 0
    area_min_m2: float = 0.0
    auto: bool = False
    auto_from: Level = Level.BLUE
    merge_window_s: float = 600.0
    join_radius_m: float = 25.0
    review_s: float = 600.0
    fail_safe: bool = False
    lead: str = ""
    co: tuple[str, ...] = ()


class Mute(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A reason for silence with matcher, owner and expiry."""

    id: str
    matcher: MuteMatcher
    owner: str
    reason: str
    created_at: Instant
    expires_at: Instant


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """All rules of a site at one version.

    `lateness_s`: the reorder buffer of sampled types, in event time. `future_max_s`: observations further in the
    future are refused. `confirm_window_s`: two independent triggers in one fire zone within it confirm a fire.
    `fire_zone_radius_m`: the fire zone around a point that the catalogue names none for.
    """

    version: int
    rules: tuple[TypeRule, ...]
    lateness_s: float = 2.0
    late_max_s: float = 120.0
    future_max_s: float = 5.0
    confirm_window_s: float = 180.0
    fire_zone_radius_m: float = 100.0
    effects_per_step_max: int = 50_000
    open_incidents_max: int = 100_000
    schema: int = 1
