"""Counters and gauges of one service, with one shape for all: received = sent + dropped + in flight.

Names are plain (`pictures_received`), a drop or refusal carries its reason. They leave the process two ways: as
a HealthReport to alerts (so that the wall shows them) and, from there, as Prometheus text at the API.
"""

from __future__ import annotations

from collections.abc import Sequence

from contracts.ids import derive_id
from contracts.instant import SECOND, Instant
from contracts.source import HealthReport, RefusedNote

_KEYS_MAX = 2_000
_NOTES_MAX = 200


class StageCounters:
    """Running totals by (name, reason) and gauges by name; bounded, so bad input cannot grow it."""

    def __init__(self, service: str) -> None:
        self.service = service
        self._totals: dict[str, int] = {}
        self._gauges: dict[str, float] = {}
        self._refused: dict[tuple[str, str], tuple[str, int]] = {}

    def count(self, name: str, reason: str = "", n: int = 1) -> None:
        """Add `n` to a total."""
        key = f"{name}:{reason}" if reason else name
        if key not in self._totals and len(self._totals) >= _KEYS_MAX:
            key = "other"
        self._totals[key] = self._totals.get(key, 0) + n

    def refuse(self, name: str, reason: str, source_id: str, text: str) -> None:
        """Count refused input under `name:reason`, and note who sent it and why for the next report.

        Beyond some hundred senders at once, further ones are summed under `*`: names come from outside.
        """
        self.count(name, reason)
        self.note(RefusedNote(reason, source_id, text))

    def note(self, refused: RefusedNote) -> None:
        """Add to what the next report tells."""
        key = (refused.reason, refused.source_id)
        if key not in self._refused and len(self._refused) >= _NOTES_MAX:
            key = (refused.reason, "*")
        self._refused[key] = (refused.text, self._refused.get(key, ("", 0))[1] + refused.n)

    def take_refused(self) -> tuple[RefusedNote, ...]:
        """What was refused since it was last asked for."""
        notes = tuple(RefusedNote(*key, text, n) for key, (text, n) in self._refused.items())
        self._refused.clear()
        return notes

    def gauge(self, name: str, value: float) -> None:
        """Set a value of the moment."""
        if name in self._gauges or len(self._gauges) < _KEYS_MAX:
            self._gauges[name] = value

    def total(self, name: str, reason: str = "") -> int:
        """The running total, 0 when never counted."""
        return self._totals.get(f"{name}:{reason}" if reason else name, 0)

    def value(self, name: str) -> float | None:
        """The gauge, None when never set."""
        return self._gauges.get(name)

    def report(self, site: str, instance: str, now: Instant, started_at: Instant) -> HealthReport:
        """What the service says of itself."""
        return HealthReport(
            id=derive_id("health", site, self.service, instance, started_at, now),
            site=site,
            service=self.service,
            instance=instance,
            at=now,
            started_at=started_at,
            counters=tuple(sorted(self._totals.items())),
            gauges=tuple(sorted(self._gauges.items())),
        )


def prometheus_text(reports: Sequence[HealthReport], now: Instant) -> str:
    """Reports in the Prometheus text format (version 0.0.4): each metric told once, all services under it.

    Totals and gauges keep their plain names as labels, since services of different versions report side by side.
    """
    totals = ["# TYPE gridwhistle_events_total counter"]
    gauges = ["# TYPE gridwhistle_gauge gauge"]
    ages = ["# TYPE gridwhistle_report_age_seconds gauge"]
    for report in reports:
        labels = f'service="{_label(report.service)}",instance="{_label(report.instance)}"'
        for key, total in report.counters:
            name, _, reason = key.partition(":")
            totals.append(
                f'gridwhistle_events_total{{{labels},name="{_label(name)}",reason="{_label(reason)}"}} {total}'
            )
        gauges += [f'gridwhistle_gauge{{{labels},name="{_label(key)}"}} {value}' for key, value in report.gauges]
        ages.append(f"gridwhistle_report_age_seconds{{{labels}}} {max(0, now - report.at) / SECOND:.3f}")
    return "\n".join([*totals, *gauges, *ages]) + "\n"


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
