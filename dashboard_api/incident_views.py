"""Views of incidents (告警)."""

from __future__ import annotations

import msgspec

from contracts.incident import OPEN_STATES, Decision, Incident, IncidentState
from contracts.instant import to_rfc3339
from contracts.policy import TypeRule
from dashboard_api.directory import Directory
from dashboard_api.names import (
    INCIDENT_STATES,
    REASONS,
    Name,
    name_of,
)
from dashboard_api.views import (
    Coded,
    EvidenceView,
    LevelView,
    PlaceView,
    coded,
    evidence_views,
    level_view,
    optional_time,
    place_view,
)


class SourceRef(msgspec.Struct, frozen=True, gc=False):
    """A source that stands behind an incident."""

    id: str
    name: str
    kind: str | None


class Measured(msgspec.Struct, frozen=True, gc=False):
    """What was measured. `density` (1/m2) is null where the ground is not calibrated (未标定)."""

    value: float | None
    unit: str
    count: int | None
    count_error: float | None
    density: float | None
    peak_count: int | None
    peak_density: float | None


class Demanded(msgspec.Struct, frozen=True, gc=False):
    """What the rule asks for the incident's level: `measure` >= `raise_at`, held for `hold_s` seconds."""

    measure: str
    raise_at: float
    hold_s: float


class DecisionView(msgspec.Struct, frozen=True, gc=False):
    """One decision with its reason; `text` is the sentence with the measured and the demanded value."""

    at: str
    action: str
    reason: Coded
    text: str
    observation_id: str | None


class IncidentView(msgspec.Struct, frozen=True, kw_only=True):
    """An incident (告警) as lists and the live link show it. `decision` is the latest one.

    `belief` is the rule's: `arrival` acts on arrival, `sampled` by thresholds and holds, `operations` is for the
    operations queue; null while the policy is not known here. `type` is what it was born as, `name` what `code`
    stands for: what it is known as now, the same words as on its ticket.
    """

    id: str
    site: str
    seq: int
    version: int
    type: Coded
    code: str
    name: Name
    state: Coded
    open: bool
    level: LevelView
    title: str
    place: PlaceView
    exercise: bool
    suspected: bool
    unreviewed: bool
    unknown: bool
    operations: bool
    first_event_time: str
    last_event_time: str
    opened_at: str
    updated_at: str
    measured: Measured
    demanded: Demanded | None
    belief: str | None
    decision: DecisionView | None
    sources: tuple[SourceRef, ...]
    observation_total: int
    evidence: tuple[EvidenceView, ...]
    ticket_id: str | None
    muted_by: str | None
    owner: str | None
    review_due_at: str | None
    aliases: tuple[str, ...]


class IncidentDetail(IncidentView, frozen=True, kw_only=True):
    """One incident with every decision, oldest first."""

    decisions: tuple[DecisionView, ...]
    observation_ids: tuple[str, ...]
    external_ids: tuple[str, ...]
    policy_version: int


def decision_view(decision: Decision) -> DecisionView:
    """A decision with the name of its reason."""
    return DecisionView(
        at=to_rfc3339(decision.at),
        action=decision.action,
        reason=coded(name_of(REASONS, decision.reason), decision.reason),
        text=decision.text,
        observation_id=decision.observation_id,
    )


def demanded(incident: Incident, rule: TypeRule | None) -> Demanded | None:
    """What the rule in force asks for this level, None where no threshold decides (alarms act on arrival)."""
    if rule is None or rule.measure is None or not rule.levels:
        return None
    exact = [step for step in rule.levels if step.level == incident.level]
    step = exact[0] if exact else min(rule.levels, key=lambda step: step.level)
    return Demanded(rule.measure, step.raise_at, step.hold_s)


def incident_view(incident: Incident, seq: int, directory: Directory) -> IncidentView:
    """The incident as lists show it."""
    return IncidentView(**_incident_fields(incident, seq, directory))  # type: ignore[arg-type]


def incident_detail(incident: Incident, seq: int, directory: Directory) -> IncidentDetail:
    """The incident with all its decisions."""
    return IncidentDetail(
        **_incident_fields(incident, seq, directory),  # type: ignore[arg-type]
        decisions=tuple(decision_view(decision) for decision in incident.decisions),
        observation_ids=incident.observation_ids,
        external_ids=incident.external_ids,
        policy_version=incident.policy_version,
    )


def _incident_fields(incident: Incident, seq: int, directory: Directory) -> dict[str, object]:
    rule = directory.rule(incident.type, incident.place.zone_id)
    spoken = [decision for decision in incident.decisions if decision.text] or list(incident.decisions)
    return {
        "id": incident.id,
        "site": incident.site,
        "seq": seq,
        "version": incident.version,
        "type": coded(directory.type_name(incident.type), incident.type),
        "code": incident.code,
        "name": directory.code_name(incident.code, incident.type),
        "state": coded(name_of(INCIDENT_STATES, incident.state), incident.state),
        "open": incident.state in OPEN_STATES,
        "level": level_view(incident.level),
        "title": incident.title,
        "place": place_view(incident.place, directory),
        "exercise": incident.exercise,
        "suspected": incident.suspected,
        "unreviewed": incident.unreviewed,
        "unknown": incident.unknown,
        "operations": incident.operations,
        "first_event_time": to_rfc3339(incident.first_event_time),
        "last_event_time": to_rfc3339(incident.last_event_time),
        "opened_at": to_rfc3339(incident.opened_at),
        "updated_at": to_rfc3339(incident.updated_at),
        "measured": Measured(
            value=incident.value,
            unit=incident.unit,
            count=incident.count,
            count_error=incident.count_error,
            density=incident.density,
            peak_count=incident.peak_count,
            peak_density=incident.peak_density,
        ),
        "demanded": demanded(incident, rule),
        "belief": rule.belief if rule else None,
        "decision": decision_view(spoken[-1]) if spoken else None,
        "sources": tuple(source_ref(source_id, directory) for source_id in incident.source_ids),
        "observation_total": incident.observation_total,
        "evidence": evidence_views("incidents", incident.id, incident.evidence),
        "ticket_id": incident.ticket_id,
        "muted_by": incident.muted_by,
        "owner": incident.owner,
        "review_due_at": (
            optional_time(incident.review_due_at) if incident.state == IncidentState.PENDING_REVIEW else None
        ),
        "aliases": incident.aliases,
    }


def source_ref(source_id: str, directory: Directory) -> SourceRef:
    """A source's id, name and kind."""
    entry = directory.sources.get(source_id)
    return SourceRef(source_id, entry.name, entry.kind) if entry else SourceRef(source_id, source_id, None)
