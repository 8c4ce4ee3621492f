"""Instant: a point in time as integer nanoseconds since 1970-01-01T00:00:00Z; durations in ns likewise.

JSON and people see RFC 3339 with +08:00 (Beijing time, no daylight saving since 1991).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, NewType

from contracts.errors import MalformedMessage

Instant = NewType("Instant", int)
"""Nanoseconds since the Unix epoch, UTC."""

DurationNs = NewType("DurationNs", int)
"""A span of time in nanoseconds."""

MS: Final = 1_000_000
SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR

BEIJING: Final = timezone(timedelta(hours=8), "+08:00")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
    r"(?P<offset>[Zz]|[+-][0-9]{2}:[0-5][0-9])?"
)
"""`date-time` of RFC 3339, section 5.6, and its note: small letters and a space are allowed. The offset is looked
at apart, for a sentence of its own."""


def to_rfc3339(instant: Instant) -> str:
    """RFC 3339 text in +08:00 with microseconds, e.g. `2026-11-22T16:04:12.000000+08:00`."""
    moment = _EPOCH + timedelta(microseconds=instant // 1000)
    return moment.astimezone(BEIJING).isoformat(timespec="microseconds")


def from_rfc3339(text: str) -> Instant:
    """Parse RFC 3339 text (section 5.6); a time without an offset is refused, never guessed.

    What ISO 8601 has beyond it (weeks, ordinal days, the basic form, commas, times without seconds) is refused.
    Digits behind the microseconds are cut off. Raises MalformedMessage, also for leap seconds.
    """
    form = _RFC3339.fullmatch(text)
    if form is None:
        raise MalformedMessage(f"'{text[:100]}' is not an RFC 3339 time; write 2026-11-22T16:04:12+08:00")
    if form["offset"] is None:
        raise MalformedMessage(f"'{text[:100]}' has no UTC offset; write +08:00 or Z behind it")
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise MalformedMessage(
            f"'{text[:100]}' is not an RFC 3339 time ({error}); write 2026-11-22T16:04:12+08:00"
        ) from None
    delta = moment - _EPOCH
    return Instant((delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds * 1000)


def from_unix_s(seconds: float) -> Instant:
    """Instant from Unix seconds (the form of SenML and MQTT payloads)."""
    return Instant(round(seconds * 1_000_000) * 1000)


def after(instant: Instant, duration_ns: int) -> Instant:
    """The instant `duration_ns` later (earlier when negative)."""
    return Instant(instant + duration_ns)


def seconds(value: float) -> DurationNs:
    """A duration from seconds."""
    return DurationNs(round(value * SECOND))


def beijing_date(instant: Instant) -> str:
    """The calendar day in Beijing, `YYYY-MM-DD`."""
    return to_rfc3339(instant)[:10]
