"""Incident: what the county believes is happening; on the wall it is called 告警."""

from __future__ import annotations

import enum

import msgspec

from contracts.instant import Instant
from contracts.observation import EvidenceRef, IncidentType
from contracts.place import Place


class Level(enum.IntEnum):
    """Internal alert level (内部告警等级), never a published warning (预警). Higher is worse."""

    NONE = 0
    BLUE = 1
    YELLOW = 2
    ORANGE = 3
    RED = 4


class IncidentState(enum.StrEnum):
    """States A1 to A7 of an alert."""

    CANDIDATE = "A1"
    PENDING_REVIEW = "A2"
    CONFIRMED = "A3"
    FALSE_ALARM = "A4"
    MERGED = "A5"
    EXPIRED = "A6"
    CLEARED = "A7"


OPEN_STATES = frozenset({IncidentState.CANDIDATE, IncidentState.PENDING_REVIEW, IncidentState.CONFIRMED})


class Action(enum.StrEnum):
    """What a decision does."""

    NONE = "none"
    OPEN = "open"
    RAISE = "raise"
    UPDATE = "update"
    LOWER = "lower"
    CONFIRM = "confirm"
    CLEAR = "clear"
    EXPIRE = "expire"
    DROP = "drop"
    REFUSE = "refuse"
    MERGE = "merge"
    MUTE = "mute"


class Reason(enum.StrEnum):
    """Why: the one vocabulary of journal, metrics, API and `gridwhistle explain`."""

    # evidence
    FIRST_EVIDENCE = "first_evidence"
    BELOW_THRESHOLD = "below_threshold"
    HOLD_RUNNING = "hold_running"
    HOLD_MET = "hold_met"
    HOLD_BROKEN_BY_GAP = "hold_broken_by_gap"
    ACTS_ON_ARRIVAL = "acts_on_arrival"
    TICKET_OPENED = "ticket_opened"
    ESCALATED = "escalated"
    LEVEL_LOWERED = "level_lowered"
    SAME_INCIDENT = "same_incident"
    SECOND_INDEPENDENT_SOURCE = "second_independent_source"
    # ends
    CLEAR_HOLD_RUNNING = "clear_hold_running"
    QUIET_LONG_ENOUGH = "quiet_long_enough"
    RESET_BY_SOURCE = "reset_by_source"
    HELD_OPEN_UNKNOWN = "held_open_unknown"
    NOBODY_ACTED = "nobody_acted"
    REVIEW_TIMEOUT_FAIL_SAFE = "review_timeout_fail_safe"
    # looks
    LOOKED_AT = "looked_at"
    # people
    CONFIRMED_BY_PERSON = "confirmed_by_person"
    FALSE_ALARM_BY_PERSON = "false_alarm_by_person"
    CLEARED_BY_PERSON = "cleared_by_person"
    CLAIMED_BY_PERSON = "claimed_by_person"
    MUTED = "muted"
    MUTE_ENDED = "mute_ended"
    # refusals
    DUPLICATE = "duplicate"
    TOO_LATE = "too_late"
    LATE_ALARM = "late_alarm"
    FROM_THE_FUTURE = "from_the_future"
    UNCALIBRATED = "uncalibrated"
    UNKNOWN_TYPE = "unknown_type"
    WRONG_SITE = "wrong_site"
    BELOW_CONFIDENCE = "below_confidence"
    OPERATIONS_QUEUE = "operations_queue"
    OUTDATED_ZONE = "outdated_zone"
    # limits
    WAITS_FOR_PERSON = "waits_for_person"
    LIMIT_REACHED = "limit_reached"


class Decision(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One decision with its reason. `text` is a Chinese sentence with the measured and the demanded value."""

    at: Instant
    action: Action
    reason: Reason
    text: str = ""
    observation_id: str | None = None


class Incident(msgspec.Struct, frozen=True, kw_only=True, tag="incident", tag_field="record"):
    """An incident as stored, shown and sent (a copy; the engine keeps its own working state).

    `id` is derived at birth from site, type, place and first observation. `suspected` is 疑似: machine-sensed,
    not yet confirmed by a person or a second independent source. `unknown` is True while its sources are blind
    or late. `observation_ids` holds all single-shot alarms and a bounded tail of samples; `observation_total`
    counts them all. `external_ids` are the devices' own ids of every alarm behind it. `models`: name, version,
    hash and licence of every model that saw it.
    """

    id: str
    site: str
    type: IncidentType
    code: str
    state: IncidentState
    level: Level
    place: Place
    first_event_time: Instant
    last_event_time: Instant
    opened_at: Instant
    updated_at: Instant
    version: int
    title: str = ""
    suspected: bool = True
    unreviewed: bool = False
    unknown: bool = False
    operations: bool = False
    value: float | None = None
    unit: str = ""
    count: int | None = None
    count_error: float | None = None
    density: float | None = None
    peak_count: int | None = None
    peak_density: float | None = None
    source_ids: tuple[str, ...] = ()
    observation_ids: tuple[str, ...] = ()
    observation_total: int = 0
    external_ids: tuple[str, ...] = ()
    evidence: tuple[EvidenceRef, ...] = ()
    decisions: tuple[Decision, ...] = ()
    ticket_id: str | None = None
    muted_by: str | None = None
    owner: str | None = None
    review_due_at: Instant | None = None
    aliases: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    exercise: bool = False
    policy_version: int = 0
    schema: int = 1
