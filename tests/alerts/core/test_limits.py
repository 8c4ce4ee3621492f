"""At every limit: what happens there, and that no alarm is lost to it."""

from __future__ import annotations

import msgspec
import pytest

from alerts.core import limits
from alerts.core.batch import Batch
from alerts.core.engine import Engine
from alerts.core.policy import parse
from contracts.command import CommandKind
from contracts.incident import IncidentState, Level, Reason
from contracts.instant import SECOND
from contracts.observation import EvidenceRef, IncidentType, Phase
from contracts.policy import Policy
from contracts.source import SourceState
from tests.alerts.core.county import (
    COUNTY,
    HALL,
    POLICY,
    SITE,
    SQUARE,
    T0,
    County,
    crowd,
    instant,
    moved,
    observe,
)

SMOKE = IncidentType.SMOKE_SENSOR


def changed_policy(**fields: object) -> Policy:
    return msgspec.structs.replace(POLICY, **fields)


def far(number: int) -> County:
    """A county in which `number` detectors far from each other are in alarm."""
    county = County()
    for each in range(number):
        place = moved(HALL, 1000 * each, fire_zone=f"F-{each}")
        county.step(observe(f"S-{each}", SMOKE, county.now, place=place, external_id=f"x{each}"))
    return county


def test_open_incidents_at_their_limit_refuse_crowds_but_never_alarms() -> None:
    county = County(changed_policy(open_incidents_max=1))
    county.detector("S-1").alarms("a")
    county.detector("S-2", moved(HALL, 900, fire_zone="F-2")).alarms("b")
    assert len(county.incidents) == 2
    for second in range(0, 66, 2):
        county.at(second).camera().sees_crowd(3.2)
    assert len(county.incidents) == 2
    assert set(county.reasons()) == {Reason.LIMIT_REACHED}


def test_effects_at_their_limit_leave_timers_for_the_next_step() -> None:
    county = far(5)
    county.engine = Engine.restore(SITE, COUNTY, changed_policy(effects_per_step_max=2), county.engine.snapshot())
    county.now = instant(60)
    county.take(Batch())
    assert county.engine.next_due() == instant(60)
    states = {incident.state for incident in county.incidents.values()}
    assert states == {IncidentState.PENDING_REVIEW, IncidentState.CONFIRMED}
    county.at(60.1)
    assert {incident.state for incident in county.incidents.values()} == {IncidentState.CONFIRMED}


def test_samples_over_the_limit_of_a_step_follow_in_the_next_one() -> None:
    county = County(changed_policy(effects_per_step_max=1))
    county.step(crowd("C-1", T0, 3.2), crowd("C-1", instant(1), 3.2), observe("S-1", SMOKE, T0))
    county.now = instant(10)
    county.step(observe("S-2", SMOKE, instant(10)))
    assert len(county.engine.state.buffer) == 1
    county.take(Batch())
    assert county.engine.state.buffer == []


def test_buffer_over_its_limit_judges_the_oldest_early_and_counts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BUFFER_MAX", 3)
    county = County()
    county.step(*(crowd(f"C-{n}", instant(n / 10), 0.5) for n in range(5)))
    assert len(county.engine.state.buffer) == 3
    assert county.engine.counters()["released_early"] == 2


def test_memory_of_seen_alarms_is_bounded_and_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEEN_MAX", 3)
    assert len(far(5).engine.state.seen) == 3


def test_alarm_repeated_after_it_was_forgotten_is_known_by_its_incident(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEEN_MAX", 1)
    county = far(3)
    county.at(2000).step(observe("S-0", SMOKE, instant(2000), place=HALL, external_id="x0"))
    assert county.reasons() == [Reason.DUPLICATE]


def test_claim_that_nobody_remembers_never_overwrites_an_incident(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEEN_MAX", 1)
    monkeypatch.setattr(limits, "SOURCES_MAX", 0)
    county = County()
    first, other = observe("S-0", SMOKE, T0), observe("S-1", SMOKE, T0, place=moved(HALL, 900, fire_zone="F"))
    county.step(first, other)
    county.at(1900).step(msgspec.structs.replace(first, event_time=county.now, arrival_time=county.now))
    assert len(county.incidents) == 3


def test_series_over_the_limit_forget_the_oldest_quiet_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SERIES_MAX", 2)
    county = County()
    for second in range(0, 66, 2):
        county.at(second).camera("C-busy").sees_crowd(3.2)
    for number in range(4):
        county.camera(f"C-{number}", moved(SQUARE, 1000 * number)).sees_crowd(0.5)
    county.at(80)
    assert len(county.engine.state.series) == 2
    assert any("C-busy" in key for key in county.engine.state.series)
    assert county.engine.counters()["series_forgotten"] == 3


def test_sources_over_the_limit_are_not_tracked_but_their_alarms_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SOURCES_MAX", 1)
    county = far(3)
    county.camera("C-1").goes(SourceState.BLIND)
    county.camera("C-2").sees_crowd(1.0)
    county.at(10)
    assert len(county.incidents) == 3
    assert county.reasons() == [Reason.LIMIT_REACHED]
    assert county.engine.counters()["sources_over_limit"] == 4


def test_answers_and_mutes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ANSWERS_MAX", 3)
    monkeypatch.setattr(limits, "MUTES_MAX", 2)
    county = County()
    answers = [county.person().mutes(3600, source_id=f"C-{n}") for n in range(5)]
    assert [answer.accepted for answer in answers] == [True, True, False, False, False]
    assert answers[-1].reason == "limit_reached"
    assert len(county.engine.state.answers) == 3


def test_closed_tickets_over_the_limit_forget_the_one_closed_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLOSED_TICKETS_MAX", 2)
    county = far(4)
    for ticket in list(county.tickets.values()):
        county.at((county.now - T0) / SECOND + 1)
        assert county.person().moves(ticket, "91", reason="误报").accepted
    assert list(county.engine.state.closed) == [ticket.id for ticket in county.tickets.values()][2:]
    assert county.person().moves(next(iter(county.tickets.values())), "50").reason == "unknown_target"


def test_alarms_over_the_limit_of_an_incident_open_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ALARMS_PER_INCIDENT_MAX", 4)
    county = County()
    for number in range(10):
        county.at(number).detector().alarms(f"a{number}")
    assert sorted(len(incident.external_ids) for incident in county.incidents.values()) == [2, 4, 4]


def test_pictures_and_decisions_keep_the_first_and_the_latest() -> None:
    county = County()
    for number in range(100):
        at = instant(number)
        picture = EvidenceRef(
            sha256=f"{number}",
            path=f"{number}.jpg",
            media_type="image/jpeg",
            width=640,
            height=360,
            size=1,
            event_time=at,
            source_id="C-1",
        )
        flame = observe("C-1", IncidentType.FLAME_SUSPECTED, at, external_id=f"f{number}")
        county.at(number).step(msgspec.structs.replace(flame, evidence=(picture,)))
    incident = county.incident()
    assert [picture.sha256 for picture in incident.evidence] == ["0", "1", "96", "97", "98", "99"]
    assert county.ticket().evidence == incident.evidence
    assert len(incident.decisions) == limits.DECISIONS_MAX
    assert incident.decisions[0].reason is Reason.ACTS_ON_ARRIVAL


def test_policy_with_other_levels_goes_on_with_what_was_on() -> None:
    county = County()
    for second in range(0, 66, 2):
        county.at(second).camera().sees_crowd(3.2)
    rules = tuple(
        msgspec.structs.replace(rule, levels=rule.levels[1:]) if rule.type is IncidentType.CROWD_DENSITY else rule
        for rule in POLICY.rules
    )
    county.engine = Engine.restore(SITE, COUNTY, changed_policy(version=2, rules=rules), county.engine.snapshot())
    for second in range(66, 80, 2):
        county.at(second).camera().sees_crowd(2.9)
    assert county.incident().level is Level.YELLOW
    assert county.incident().policy_version == 2


def test_policy_without_the_type_leaves_its_incidents_to_people() -> None:
    county = County()
    county.detector().alarms("a")
    county.camera("C-1", SQUARE).goes(SourceState.STALE)
    rules = tuple(rule for rule in POLICY.rules if rule.code not in ("23004", "24001", "23003"))
    county.engine = Engine.restore(SITE, COUNTY, changed_policy(rules=rules), county.engine.snapshot())
    county.at(100).detector().alarms("b")
    assert county.incident().state is IncidentState.PENDING_REVIEW
    assert county.reasons() == [Reason.UNKNOWN_TYPE]
    assert county.person().asks(CommandKind.CONFIRM, county.incident().id).accepted
    assert county.incident().level is Level.RED
    assert county.person().asks(CommandKind.FALSE_ALARM, county.incident().id, reason="x").reason in ("", "role")


def test_parse_leaves_its_input_as_it_was() -> None:
    raw = {"version": 1, "rules": [{"type": "gas.co", "levels": [{"level": "blue"}]}]}
    before = repr(raw)
    with pytest.raises(ValueError, match="raise_at"):
        parse(raw)
    assert repr(raw) == before


def test_phase_unknown_of_a_quiet_series_changes_nothing() -> None:
    county = County()
    county.camera().sees_crowd(None, phase=Phase.UNKNOWN)
    county.at(5).camera().sees_crowd(0.2)
    county.at(10)
    assert county.incidents == {}
