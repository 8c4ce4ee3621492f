"""What holds for every stream, by hypothesis: determinism, restarts, order, safety, no undefined state."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.core.batch import Batch
from alerts.core.effects import Effect, IncidentChanged, TicketChanged
from alerts.core.engine import Engine
from contracts.command import Command, CommandKind, MuteMatcher
from contracts.incident import Incident, IncidentState, Level
from contracts.instant import MS, SECOND, Instant
from contracts.observation import IncidentType, Observation, Phase
from contracts.place import Place
from contracts.principal import Principal
from contracts.source import SEEING, SourceChange, SourceKind, SourceState
from contracts.ticket import Ticket
from tests.alerts.core.county import (
    COUNTY,
    HALL,
    LEAD,
    OPERATOR,
    OTHER_LEAD,
    POLICY,
    SITE,
    SQUARE,
    T0,
    WORKER,
    County,
    crowd,
    instant,
    moved,
    observe,
    run,
)

OPEN = {IncidentState.PENDING_REVIEW, IncidentState.CONFIRMED}
FIRES = [IncidentType.SMOKE_SENSOR, IncidentType.HEAT, IncidentType.FLAME_SUSPECTED, IncidentType.SMOKE_SUSPECTED]
FIELD = Place(105.9, 38.9, "152921002001001")
PLACES = [HALL, moved(HALL, 15, fire_zone="FZ-2"), FIELD, moved(FIELD, 60), moved(FIELD, 60, grid_code=None)]


def kind_of(source_id: str) -> SourceKind:
    return SourceKind.CAMERA if source_id.startswith("C") else SourceKind.SENSOR


@st.composite
def alarms(draw: st.DrawFn, phases: Sequence[Phase] = (Phase.ACTIVE, Phase.CLEAR, Phase.UNKNOWN)) -> Observation:
    source = draw(st.sampled_from(["S-1", "S-2", "S-3", "C-1", "C-2"]))
    phase = draw(st.sampled_from(list(phases)))
    second = draw(st.integers(0, 400))
    gas = [IncidentType.GAS_LEL1, IncidentType.GAS_LEL2]
    type_ = draw(st.sampled_from(gas if source == "S-3" else FIRES))
    return observe(
        source,
        type_,
        instant(second),
        phase=phase,
        kind=kind_of(source),
        place=draw(st.sampled_from(PLACES)),
        external_id=f"{source}/{type_.value}@{second}" if phase is Phase.ACTIVE else None,
        exercise=draw(st.sampled_from([False, False, False, True])),
    )


@st.composite
def samples(draw: st.DrawFn) -> Observation:
    return crowd(
        draw(st.sampled_from(["C-1", "C-2"])),
        instant(draw(st.integers(0, 400)) * 0.5),
        draw(st.sampled_from([0.2, 2.5, 3.2, 4.4, 5.6])),
        phase=draw(st.sampled_from([Phase.SAMPLE] * 9 + [Phase.UNKNOWN])),
    )


@st.composite
def changes(draw: st.DrawFn) -> SourceChange:
    source, second = draw(st.sampled_from(["S-1", "C-1", "C-2"])), draw(st.integers(0, 400))
    state = draw(st.sampled_from(SourceState))
    reason = draw(st.sampled_from(["", SEEING]))
    return SourceChange(
        id=f"{source}-{state.value}-{reason}-{second}",
        site=SITE,
        source_id=source,
        kind=kind_of(source),
        state=state,
        at=instant(second),
        reason=reason,
        place=draw(st.sampled_from([None, SQUARE])),
    )


class Wish(msgspec.Struct, frozen=True):
    """A command whose target is chosen among what exists when it is asked."""

    kind: CommandKind
    principal: Principal
    pick: int
    argument: str
    reason: str


WISHES = st.builds(
    Wish,
    st.sampled_from(CommandKind),
    st.sampled_from([OPERATOR, LEAD, OTHER_LEAD, WORKER]),
    st.integers(0, 5),
    st.sampled_from(["10", "15", "20", "30", "40", "50", "60", "70", "90", "91", "92", "94", "?"]),
    st.sampled_from(["", "理由"]),
)

ANYTHING = st.lists(st.one_of(alarms(), samples(), changes(), WISHES, st.none()), max_size=60)


def act(county: County, item: Observation | SourceChange | Wish | None, number: int) -> None:
    """Do one thing; None lets nine seconds pass."""
    match item:
        case Observation():
            county.step(item)
        case SourceChange():
            county.take(Batch(source_changes=(item,)))
        case Wish():
            county.take(Batch(commands=(command_of(county, item, number),)))
        case None:
            county.at((county.now - T0) / SECOND + 9)


def command_of(county: County, wish: Wish, number: int) -> Command:
    ids = [*(county.tickets if wish.kind is CommandKind.TICKET_MOVE else county.incidents), "nobody"]
    return Command(
        id=f"w{number}",
        site=SITE,
        kind=wish.kind,
        principal=wish.principal,
        at=county.now,
        target_id=ids[wish.pick % len(ids)],
        argument=wish.argument,
        reason=wish.reason,
        note="152921001001007",
        until=instant(1000),
        matcher=MuteMatcher(type="fire.smoke_sensor", source_id="S-1") if wish.pick % 2 else None,
    )


@settings(max_examples=200)
@given(ANYTHING)
def test_no_sequence_raises_or_reaches_an_undefined_state_and_no_alarm_is_lost(
    items: list[Observation | SourceChange | Wish | None],
) -> None:
    county = County()
    sent: set[str] = set()
    for number, item in enumerate(items):
        act(county, item, number)
        if isinstance(item, Observation) and item.phase is Phase.ACTIVE and item.external_id is not None:
            sent.add(item.external_id)
    county.at(5000)
    refused = {refusal.observation_id for refusal in county.refused}
    behind = [id_ for incident in county.incidents.values() for id_ in incident.external_ids]
    claims = [item for item in items if isinstance(item, Observation)]
    unused = {claim.external_id for claim in claims if claim.id in refused and claim.external_id}
    assert len(behind) == len(set(behind))
    assert set(behind) | unused >= sent
    assert {incident.state for incident in county.incidents.values()} <= set(IncidentState)
    assert county.engine.state.open_total == sum(live.is_open for live in county.engine.state.incidents.values())


@given(ANYTHING, st.data())
def test_engine_restored_at_any_point_goes_on_as_the_uninterrupted_one(
    items: list[Observation | SourceChange | Wish | None], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(items)))
    whole, broken = County(), County()
    for number, item in enumerate(items):
        if number == cut:
            broken.engine = Engine.restore(SITE, COUNTY, POLICY, broken.engine.snapshot())
        act(whole, item, number)
        act(broken, item, number)
    whole.at(3000)
    broken.at(3000)
    assert broken.engine.snapshot() == whole.engine.snapshot()
    assert broken.incidents == whole.incidents
    assert broken.tickets == whole.tickets


@given(st.lists(st.lists(st.one_of(alarms(), samples()), max_size=6), max_size=12))
def test_same_calls_give_the_same_effects(batches: list[list[Observation]]) -> None:
    steps = [(Batch(tuple(batch)), instant(30 * n)) for n, batch in enumerate(batches)]
    assert run(POLICY, steps)[1] == run(POLICY, steps)[1]


def final(effects: list[list[Effect]]) -> tuple[dict[str, Incident], dict[str, Ticket]]:
    incidents, tickets = {}, {}
    for step in effects:
        for effect in step:
            if isinstance(effect, IncidentChanged):
                incidents[effect.incident.id] = effect.incident
            elif isinstance(effect, TicketChanged):
                tickets[effect.ticket.id] = effect.ticket
    return incidents, tickets


@st.composite
def deliveries(draw: st.DrawFn) -> list[tuple[Observation, int]]:
    """Samples of two cameras every 2 s for some minutes, each with a delay in half seconds up to the bound."""
    levels = draw(st.lists(st.sampled_from([0.5, 3.1, 4.2, 5.5]), min_size=2, max_size=4))
    return [
        (crowd(camera, instant(2 * n), density, place=moved(SQUARE, east)), draw(st.integers(0, 4)))
        for block, density in enumerate(levels)
        for n in range(block * 20, block * 20 + 20)
        for camera, east in (("C-1", 0.0), ("C-2", 10.0))
    ]


@settings(max_examples=40)
@given(deliveries(), st.randoms(use_true_random=False))
def test_order_within_the_bound_does_not_change_the_incidents_of_sampled_types(
    sent: list[tuple[Observation, int]], random: Random
) -> None:
    def at_ticks(delayed: bool) -> list[tuple[Batch, Instant]]:
        ticks: dict[int, list[Observation]] = {tick: [] for tick in range(400)}
        for observation, delay in sent:
            tick = (observation.event_time - T0) // (500 * MS) + (delay if delayed else 0)
            ticks[tick].append(observation)
        for batch in ticks.values():
            if delayed:
                random.shuffle(batch)
        return [(Batch(tuple(batch)), instant(tick * 0.5)) for tick, batch in ticks.items()]

    ordered, shuffled = run(POLICY, at_ticks(False))[1], run(POLICY, at_ticks(True))[1]
    assert final(shuffled) == final(ordered)


@given(st.lists(alarms(phases=(Phase.ACTIVE, Phase.UNKNOWN)), min_size=1, max_size=25), st.data())
def test_no_lateness_order_or_repetition_lowers_or_closes_a_fire(
    stream: list[Observation], data: st.DataObject
) -> None:
    """Alarms in any order, repeated, late or early, with blind sources in between; no reset and no person."""
    county = County()
    county.at(200)
    levels: dict[str, Level] = {}
    for observation in stream + data.draw(st.permutations(stream)):
        county.step(observation)
        county.at((county.now - T0) / SECOND + data.draw(st.integers(0, 40)))
        for incident in county.incidents.values():
            assert incident.state in OPEN
            assert incident.level >= levels.get(incident.id, Level.NONE)
            levels[incident.id] = incident.level


@given(st.lists(alarms(phases=(Phase.ACTIVE, Phase.CLEAR)), min_size=1, max_size=25))
def test_fire_ends_only_by_resets_later_than_every_alarm_of_their_source(stream: list[Observation]) -> None:
    county = County()
    county.at(400)
    for observation in stream:
        county.step(observation)
    by_id = {observation.id: observation for observation in stream}
    for incident in county.incidents.values():
        if incident.state in OPEN:
            continue
        for id_ in incident.observation_ids:
            alarm = by_id[id_]
            assert alarm.source_kind is SourceKind.SENSOR
            assert any(
                reset.phase is Phase.CLEAR
                and (reset.source_id, reset.type) == (alarm.source_id, alarm.type)
                and reset.event_time >= alarm.event_time
                for reset in stream
            )


@given(st.lists(st.floats(0.8, 0.9999), min_size=30, max_size=120), st.sampled_from([2.0, 3.0, 4.0, 5.0]))
def test_value_inside_its_band_never_changes_the_level(shares: list[float], threshold: float) -> None:
    county = County()
    for second in range(62):
        county.at(second).camera().sees_crowd(threshold)
    county.at(64.5)
    level = county.incident().level
    decisions = len(county.incident().decisions)
    for offset, share in enumerate(shares):
        county.at(65 + offset).camera().sees_crowd(threshold * share)
    assert county.incident().level is level
    assert county.incident().state is IncidentState.PENDING_REVIEW
    assert len(county.incident().decisions) == decisions
