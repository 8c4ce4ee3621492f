"""EngineState: all that the engine remembers between two steps, as plain records that a snapshot holds."""

from __future__ import annotations

from typing import Final

import msgspec

from alerts.core import limits
from alerts.tickets.ticket_file import TicketFile
from contracts.command import CommandAnswer
from contracts.incident import OPEN_STATES, Decision, Incident, IncidentState, Level
from contracts.instant import Instant
from contracts.observation import EvidenceRef, IncidentType, Observation
from contracts.place import Place
from contracts.policy import Mute
from contracts.source import SourceChange, SourceKind, SourceState
from contracts.ticket import SlaClass


class LiveIncident(msgspec.Struct, kw_only=True):
    """An incident as the engine works on it; `Incident` is its published copy. Times are event times, in ns.

    `type` is what it was born as (its id and its joins follow it); `known_as`, with `code` and `title`, is what it
    is by now: 23004 感烟报警 becomes 23003 火灾(已确认) on the same incident and ticket.
    `alarms`: claims that no source has taken back, `source|type` to the time of the latest; `resets`: those taken
    back, and when. `triggers`: latest alarm times per source, for confirming a fire. `series`: keys of the
    sampled series behind it. `material_version`: the version at which it last changed in a way that a person
    must know before acting. `ended_at`: when it left the open states. `remind_count`: reminders given while
    unreviewed.
    """

    id: str
    type: IncidentType
    known_as: IncidentType
    family: str
    code: str
    title: str
    state: IncidentState
    level: Level
    sla: SlaClass
    place: Place
    exercise: bool
    operations: bool
    first_event_time: Instant
    last_event_time: Instant
    opened_at: Instant
    updated_at: Instant
    version: int = 0
    material_version: int = 0
    suspected: bool = True
    confirmed_fire: bool = False
    unreviewed: bool = False
    unknown: bool = False
    value: float | None = None
    unit: str = ""
    count: int | None = None
    count_error: float | None = None
    density: float | None = None
    peak_count: int | None = None
    peak_density: float | None = None
    source_ids: list[str] = []
    alarm_ids: list[str] = []
    sample_ids: list[str] = []
    observation_total: int = 0
    external_ids: list[str] = []
    evidence: list[EvidenceRef] = []
    decisions: list[Decision] = []
    ticket_id: str | None = None
    muted_by: str | None = None
    owner: str | None = None
    review_due_at: Instant | None = None
    aliases: list[str] = []
    alarms: dict[str, int] = {}
    resets: dict[str, int] = {}
    triggers: dict[str, list[int]] = {}
    series: list[str] = []
    zone_ids: list[str] = []
    fire_zones: list[str] = []
    models: list[str] = []
    ended_at: Instant | None = None
    remind_count: int = 0

    @property
    def is_open(self) -> bool:
        """A1, A2 or A3."""
        return self.state in OPEN_STATES

    @property
    def is_full(self) -> bool:
        """Takes no further source, or no further alarm."""
        return (
            len(self.source_ids) >= limits.SOURCES_PER_INCIDENT_MAX
            or len(self.alarm_ids) >= limits.ALARMS_PER_INCIDENT_MAX
        )

    def name_sample(self, observation_id: str) -> None:
        """Name a sample or repeated claim; the latest are kept."""
        self.sample_ids.append(observation_id)
        if len(self.sample_ids) > limits.SAMPLES_TAIL_MAX:
            del self.sample_ids[0]

    def publish(self, site: str, policy_version: int) -> Incident:
        """The copy that is stored, shown and sent."""
        return Incident(
            id=self.id,
            site=site,
            type=self.type,
            code=self.code,
            state=self.state,
            level=self.level,
            place=self.place,
            first_event_time=self.first_event_time,
            last_event_time=self.last_event_time,
            opened_at=self.opened_at,
            updated_at=self.updated_at,
            version=self.version,
            title=self.title,
            suspected=self.suspected,
            unreviewed=self.unreviewed,
            unknown=self.unknown,
            operations=self.operations,
            value=self.value,
            unit=self.unit,
            count=self.count,
            count_error=self.count_error,
            density=self.density,
            peak_count=self.peak_count,
            peak_density=self.peak_density,
            source_ids=tuple(self.source_ids),
            observation_ids=(*self.alarm_ids, *self.sample_ids),
            observation_total=self.observation_total,
            external_ids=tuple(self.external_ids),
            models=tuple(self.models),
            evidence=tuple(self.evidence),
            decisions=tuple(self.decisions),
            ticket_id=self.ticket_id,
            muted_by=self.muted_by,
            owner=self.owner,
            review_due_at=self.review_due_at,
            aliases=tuple(self.aliases),
            exercise=self.exercise,
            policy_version=policy_version,
        )


class Series(msgspec.Struct):
    """What one source says of one sampled thing in one zone, and how long it has said so. Times in ns, 0 = none.

    Per level of its rule: since when (`above_since`) and over how many samples (`above_n`) it has been at or over
    the raise threshold, since when below the clear threshold (`below_since`), and whether it counts (`on`).
    `first_id` and `first_time` name the sample that began what is held; empty when nothing is. `regular`: it
    sends samples again and again, so silence means that it cannot see; `heard_at`: when the latest was judged.
    `broken_at`: nothing may be held across this moment (blind, unknown). `ended_said_at`: when the source's word
    that it ended was taken in. `quiet_level`: a person judged this level away; only a worse one, or a new rise,
    speaks again.
    """

    key: str
    source_id: str
    type: IncidentType
    exercise: bool
    zone_kind: str = ""
    zone_version: int = 0
    last_time: int = 0
    last_ids: list[str] = []
    above_since: list[int] = []
    above_n: list[int] = []
    below_since: list[int] = []
    on: list[bool] = []
    level: Level = Level.NONE
    measured: float = 0.0
    first_id: str = ""
    first_time: int = 0
    unknown: bool = False
    regular: bool = False
    heard_at: int = 0
    broken_at: int = 0
    ended_said_at: int = 0
    quiet_level: Level = Level.NONE
    incident_id: str | None = None


ARRIVING: Final = frozenset({SourceState.LIVE, SourceState.SUSPECT})
"""States of a link over which the source still reaches us."""


class SourceMemory(msgspec.Struct):
    """What the engine knows of a source: what its two witnesses say, where it is, and what depends on it.

    `link`: whether anything arrives, as ingest says; `sight`: what the pictures show, as inference says. Neither
    speaks for the other: a covered camera whose stream comes back is still covered. `cut`: nothing that means
    anything has arrived since the link failed; connecting leaves it as it was.
    """

    kind: SourceKind
    link: SourceChange | None = None
    sight: SourceChange | None = None
    cut: bool = False
    place: Place | None = None
    series: list[str] = []
    incidents: list[str] = []

    @property
    def blind(self) -> bool:
        """It cannot see: covered, stalled, failing, stale, switched off."""
        return self.cut or (self.sight is not None and self.sight.state is not SourceState.LIVE)

    @property
    def shown(self) -> SourceChange | None:
        """What people are told, the worst first: nothing arrives, nothing is seen, it is suspect, it is live."""
        if self.link is None or (
            self.link.state in ARRIVING and self.sight is not None and self.sight.state is not SourceState.LIVE
        ):
            return self.sight
        return self.link


class Fault(msgspec.Struct):
    """A device fault on its way into, or out of, the operations queue; `active` while its cause lasts."""

    key: str
    source_id: str
    type: IncidentType
    since: int
    active: bool
    text: str
    place: Place
    exercise: bool
    observation_id: str = ""
    incident_id: str | None = None
    gone_since: int = 0


class EngineState(msgspec.Struct):
    """Everything that a snapshot holds. The spatial index is derived from it.

    `buffer` is a heap of (event time, id, sample), `timers` a heap of (due, order, kind, id); a timer whose
    cause went away is ignored when it falls due. `seen`, `answers` and `closed` keep insertion order, oldest
    first; `seen` holds when each was taken. `case_day`, `case_count` and `exercise_case_count` number the cases of
    a day.
    """

    now: Instant = Instant(0)
    incidents: dict[str, LiveIncident] = {}
    series: dict[str, Series] = {}
    sources: dict[str, SourceMemory] = {}
    faults: dict[str, Fault] = {}
    tickets: dict[str, TicketFile] = {}
    closed: dict[str, int] = {}
    mutes: dict[str, Mute] = {}
    answers: dict[str, CommandAnswer] = {}
    seen: dict[str, int] = {}
    buffer: list[tuple[int, str, Observation]] = []
    timers: list[tuple[int, int, str, str]] = []
    timer_order: int = 0
    open_total: int = 0
    case_day: str = ""
    case_count: int = 0
    exercise_case_count: int = 0
    counters: dict[str, int] = {}
