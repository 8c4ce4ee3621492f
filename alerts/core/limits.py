"""Limits: a bound on everything that the engine remembers or does in one step, each with what happens there."""

from __future__ import annotations

from typing import Final

from contracts.instant import DAY, SECOND

SEEN_MAX: Final = 100_000
"""Ids of single-shot claims remembered against repetition; the oldest are forgotten (days of a quiet county)."""

SEEN_NS: Final = DAY
"""So long is the id of a single-shot claim remembered; then a detector that uses an alarm id again is believed.

A claim with a device's own alarm id has the same id whenever it is told, so a detector with a constant id, or one
whose counter began again, would else be silent for good. What an open incident still holds is not told twice.
Ingest has a memory of its own before this one: it hands on none of the latest 64 alarm ids of a sensor again, at
whatever age, until it restarts."""

SEEN_PER_SERIES_MAX: Final = 8
"""Ids of a series' latest samples remembered; an older repetition is refused as too late anyway."""

SERIES_MAX: Final = 200_000
"""Sampled series (source and zone); the oldest one without an incident is forgotten."""

BUFFER_MAX: Final = 200_000
"""Samples in the reorder buffer; over it the oldest are judged before their time, counted."""

SOURCES_MAX: Final = 100_000
"""Sources whose state is remembered; further ones are not tracked, counted."""

ALARMS_PER_INCIDENT_MAX: Final = 512
"""Single-shot alarms of one incident; the next one opens another incident, so that none is lost."""

SAMPLES_TAIL_MAX: Final = 16
"""Latest samples named in an incident."""

SOURCES_PER_INCIDENT_MAX: Final = 64
"""Sources of one incident; a further one opens another incident."""

DECISIONS_HEAD: Final = 16
DECISIONS_MAX: Final = 64
"""Decisions kept in an incident: the first 16 and the latest 48; the journal can tell the others again."""

EVIDENCE_HEAD: Final = 2
MODELS_MAX: Final = 8
"""Models that saw one incident; a canary and an upgrade make three."""
EVIDENCE_MAX: Final = 6
"""Pictures kept in an incident: the first 2 and the latest 4."""

TRIGGERS_PER_SOURCE_MAX: Final = 8
"""Latest alarm times of each source that are compared when a fire is confirmed."""

ANSWERS_MAX: Final = 10_000
"""Answers remembered for commands that are asked twice."""

MUTES_MAX: Final = 1_000
"""Mutes at a time; a further one is refused."""

CLOSED_TICKETS_MAX: Final = 2_000
"""Closed tickets kept for reopening; the one closed first is forgotten."""

TIMERS_PER_STEP_MAX: Final = 10_000
"""Timers served in one step; `next_due` then stays in the past, so that the rest follows at once."""

ZONE_REACH_M: Final = 500.0
"""The same zone name further away than this is another zone."""

MUTE_MAX_NS: Final = 7 * DAY
"""The longest mute."""

MUTE_ALARM_MAX_NS: Final = DAY
"""The longest mute of fire, gas and sensor alarms (work on a detector)."""

FALSE_ALARM_QUIET_NS: Final = 600 * SECOND
"""So long after a false alarm the same camera's claims join it; sensors are believed again at once."""

LATE_ALARM_SHOWN_NS: Final = DAY
"""So long an alarm that came too late stays in the operations queue, unless a person ends it."""

SHOW_EVERY_NS: Final = 5 * SECOND
"""New values of an incident that change no decision are shown at most so often."""
