from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from contracts.instant import HOUR
from inference.steady_lights import FORGOTTEN_AFTER_NS, LIGHTS_MAX, SteadyLights
from tests.inference.pictures import at

F32 = np.float32


def box(n: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Places that do not overlap."""
    return np.array([0.05 * n, 0.1, 0.05 * n + 0.04, 0.2], F32)


def test_several_lights_are_learnt_and_forgotten_each_for_itself() -> None:
    lights = SteadyLights()
    for second in (0, 30, 61):
        for n in range(4):
            lights.steady(6, box(n), at(second))
    assert len(lights) == 4
    lights.changes(6, box(2))
    assert [lights.known(6, box(n)) for n in range(4)] == [True, True, False, True]
    assert not lights.known(7, box(0)), "a light is no smoke"


def test_light_seen_for_less_than_a_minute_is_not_learnt() -> None:
    lights = SteadyLights()
    lights.steady(6, box(0), at(0))
    lights.steady(6, box(0), at(59))
    assert not lights.known(6, box(0))


def test_lights_are_bounded_the_longest_unseen_goes_and_after_a_day_all_do() -> None:
    lights = SteadyLights()
    for n in range(LIGHTS_MAX + 3):
        for second in (0, 61):
            lights.steady(6, np.array([0.02 * n, 0.1, 0.02 * n + 0.015, 0.2], F32), at(100.0 * n + second))
    assert len(lights) == LIGHTS_MAX
    lights.steady(6, np.array([0.9, 0.8, 0.95, 0.9], F32), at(FORGOTTEN_AFTER_NS / 1e9 + 10_000))
    assert len(lights) == 0
    assert FORGOTTEN_AFTER_NS == 24 * HOUR


@given(st.lists(st.tuples(st.integers(0, 18), st.booleans(), st.integers(0, 90_000)), max_size=60))
def test_any_order_of_lights_and_changes_stays_within_bounds(steps: list[tuple[int, bool, int]]) -> None:
    lights, now = SteadyLights(), 0
    for place, changes, step in steps:
        now += step
        if changes:
            lights.changes(6, box(place))
            assert not lights.known(6, box(place))
        else:
            lights.steady(6, box(place), at(now))
        assert len(lights) <= LIGHTS_MAX
