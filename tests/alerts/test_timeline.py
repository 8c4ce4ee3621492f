from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from alerts.core.batch import EMPTY, Batch
from alerts.core.engine import Engine
from alerts.timeline import Timeline
from contracts.incident import IncidentState
from contracts.instant import HOUR, SECOND, Instant
from contracts.observation import IncidentType
from runtime.clock import SimClock
from tests.alerts.core.county import COUNTY, POLICY, SITE, T0, observe


def test_time_is_the_clock_as_long_as_that_goes_on() -> None:
    clock = SimClock(T0)
    timeline = Timeline(clock, Instant(0))
    assert timeline.now() == T0
    clock.advance(5)
    assert timeline.now() == clock.now()
    clock.jump(3600)
    assert timeline.now() == clock.now()
    assert timeline.ahead_ns == 0


def test_clock_set_an_hour_forward_and_corrected_is_caught_up_after_five() -> None:
    clock = SimClock(T0)
    timeline = Timeline(clock, T0)
    clock.jump(3600)
    timeline.now()
    clock.jump(-3600)
    timeline.now()
    assert timeline.ahead_ns == HOUR
    for _ in range(5 * 60):
        clock.advance(60)
        timeline.now()
    assert timeline.ahead_ns == 0
    assert timeline.now() == clock.now()


def test_fire_after_a_corrected_clock_goes_on_by_itself_within_75_s() -> None:
    clock = SimClock(T0)
    timeline, engine = Timeline(clock, T0), Engine(SITE, COUNTY, POLICY)
    clock.jump(3600)
    engine.step(EMPTY, timeline.now())
    clock.jump(-3600)
    engine.step(Batch((observe("S-1", IncidentType.SMOKE_SENSOR, clock.now(), external_id="a"),)), timeline.now())
    for _ in range(76):
        clock.advance(1)
        engine.step(EMPTY, timeline.now())
    [live] = engine.state.incidents.values()
    assert (live.state, live.unreviewed) == (IncidentState.CONFIRMED, True)


def test_restart_goes_on_from_where_the_last_process_left_off() -> None:
    clock = SimClock(T0)
    timeline = Timeline(clock, Instant(T0 + HOUR))
    clock.advance(10)
    assert timeline.now() == T0 + HOUR + 8 * SECOND


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(-5000, 5000))))
def test_time_never_goes_back_and_never_stands_still(moves: list[tuple[float, float]]) -> None:
    clock = SimClock(T0)
    timeline = Timeline(clock, T0)
    for passed, jumped in moves:
        before = timeline.now()
        clock.advance(passed)
        clock.jump(jumped)
        assert timeline.now() >= max(clock.now(), before + round(passed * SECOND) * 8 // 10)
