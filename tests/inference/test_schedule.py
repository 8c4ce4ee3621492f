from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.frame import FrameHeader
from contracts.instant import SECOND, Instant
from inference.schedule import URGENCY_MAX, Scheduler
from tests.inference.pictures import at, header


def scheduler(bound_s: float = 10.0, rest_s: float = 0.0, age_max_s: float = 20.0) -> Scheduler:
    return Scheduler(bound_s=bound_s, rest_s=rest_s, age_max_s=age_max_s)


def ids(headers: list[FrameHeader]) -> list[str]:
    return [each.source_id for each in headers]


def test_longest_unseen_camera_goes_first() -> None:
    made = scheduler()
    for name, moment in (("old", 0), ("young", 5)):
        made.announce(header(name, 1, at(moment)), at(moment))
        assert ids(made.pick(1, at(moment))) == [name]
    for name in ("young", "old"):
        made.announce(header(name, 2, at(9)), at(9))
    assert ids(made.pick(2, at(9))) == ["old", "young"]


def test_camera_with_a_tighter_bound_is_overdue_sooner() -> None:
    made = scheduler()
    made.bound("school gate", 1.0, at(0))
    for name in ("alley", "school gate"):
        made.announce(header(name, 1, at(0)), at(0))
        made.pick(1, at(0))
    for name in ("alley", "school gate"):
        made.announce(header(name, 2, at(2)), at(2))
    assert ids(made.pick(2, at(2))) == ["school gate", "alley"]


def test_suspected_camera_goes_first_until_the_suspicion_ends() -> None:
    made = scheduler(rest_s=1.5)
    for name in ("a", "b"):
        made.announce(header(name, 1, at(0)), at(0))
    made.pick(2, at(0))
    made.suspect("b", at(5), 8.0, at(0))
    for name in ("a", "b"):
        made.announce(header(name, 2, at(1)), at(1))
    assert ids(made.pick(2, at(1))) == ["b"], "a rests, b is suspected"
    made.announce(header("b", 3, at(6)), at(6))
    assert ids(made.pick(2, at(6))) == ["a", "b"]


def test_weaker_suspicion_does_not_replace_a_stronger_one() -> None:
    made = scheduler()
    picture = header("a", 1, at(0))
    made.announce(picture, at(0))
    made.suspect("a", at(30), 8.0, at(0))
    made.suspect("a", at(60), 2.0, at(1))
    assert made.urgency(picture, at(10)) == 8.0
    made.suspect("a", at(90), 2.0, at(40))
    assert made.urgency(picture, at(50)) == 2.0


def test_newer_picture_replaces_the_waiting_one_and_is_counted() -> None:
    made = scheduler()
    made.announce(header("a", 1, at(0)), at(0))
    made.announce(header("a", 2, at(1)), at(1))
    made.announce(header("a", 2, at(1)), at(1))
    assert [each.sequence for each in made.pick(5, at(1))] == [2]
    assert made.dropped == {"replaced": 1}


def test_picture_that_needs_others_and_picture_from_the_past_are_dropped_and_counted() -> None:
    made = scheduler(age_max_s=20.0)
    made.announce(header("a", 1, at(0), key=False), at(0))
    made.announce(header("b", 1, at(0)), at(0))
    assert made.pick(5, at(21)) == []
    assert made.dropped == {"not_key": 1, "stale": 1}


def test_camera_that_left_the_catalogue_is_forgotten() -> None:
    made = scheduler()
    made.announce(header("a", 1, at(0)), at(0))
    made.announce(header("b", 1, at(0)), at(0))
    made.keep_only(["b"])
    assert ids(made.pick(5, at(1))) == ["b"]
    assert made.dropped == {"gone": 1}


def test_mass_start_does_not_push_out_cameras_that_are_overdue() -> None:
    made = scheduler(bound_s=10.0)
    made.announce(header("old", 1, at(0)), at(0))
    made.pick(1, at(0))
    made.announce(header("old", 2, at(15)), at(15))
    for n in range(100):
        made.announce(header(f"new {n}", 1, at(15)), at(15))
    assert ids(made.pick(1, at(15))) == ["old"]


@settings(max_examples=20)
@given(
    cameras=st.integers(2, 20),
    capacity=st.integers(1, 5),
    suspects=st.integers(0, 6),
    seed=st.integers(0, 1000),
)
def test_nobody_starves_under_overload_whatever_is_suspected(
    cameras: int, capacity: int, suspects: int, seed: int
) -> None:
    """Every second each camera has a new picture and `capacity` are picked, some cameras always suspected."""
    made, rng = scheduler(), random.Random(seed)
    names = [f"c{n}" for n in range(cameras)]
    last = dict.fromkeys(names, 0)
    worst = 0
    # A suspect at full urgency gets 8 looks for one of an ordinary camera, a new camera counts as 10 s old, and
    # whole seconds round in a suspect's favour.
    rounds_max = 1.25 * (URGENCY_MAX * min(suspects, cameras) + cameras) / capacity + 13
    for second in range(120):
        now = at(second)
        rng.shuffle(names)
        for name in names:
            made.announce(header(name, second + 1, now), now)
        for name in sorted(names)[:suspects]:
            made.suspect(name, Instant(now + 10 * SECOND), URGENCY_MAX, now)
        for each in made.pick(capacity, now):
            worst = max(worst, second - last[each.source_id])
            last[each.source_id] = second
    worst = max(worst, *(119 - moment for moment in last.values()))
    assert worst <= rounds_max


@given(cameras=st.integers(1, 40), capacity=st.integers(1, 8))
def test_equal_cameras_get_equal_turns(cameras: int, capacity: int) -> None:
    made = scheduler()
    looks = {f"c{n}": 0 for n in range(cameras)}
    for second in range(2 * cameras):
        now = at(second)
        for name in looks:
            made.announce(header(name, second + 1, now), now)
        for each in made.pick(capacity, now):
            looks[each.source_id] += 1
    assert max(looks.values()) - min(looks.values()) <= 1


def test_silent_camera_holds_nobody_up() -> None:
    made = scheduler()
    made.announce(header("silent", 1, at(0)), at(0))
    made.pick(1, at(0))
    for second in range(1, 60):
        made.announce(header("busy", second, at(second)), at(second))
        assert ids(made.pick(4, at(second))) == ["busy"]
