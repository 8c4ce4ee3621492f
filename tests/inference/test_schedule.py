from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from contracts.frame import FrameHeader, Suspicion
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
    made.bound("school gate", 1.0)
    for name in ("alley", "school gate"):
        made.announce(header(name, 1, at(0)), at(0))
        made.pick(1, at(0))
    for name in ("alley", "school gate"):
        made.announce(header(name, 2, at(2)), at(2))
    assert ids(made.pick(2, at(2))) == ["school gate", "alley"]


def test_bound_that_was_set_long_before_the_first_picture_gives_no_claim_for_that_time() -> None:
    """A county that comes back after an hour: never seen is as urgent as just at the bound, not 360 times so."""
    made = scheduler(bound_s=10.0)
    made.bound("gate", 1.0)
    made.bound("alley", 30.0)
    for name in ("gate", "alley", "plain"):
        made.announce(header(name, 1, at(3600)), at(3600))
        assert made.claim(header(name, 1, at(3600)), at(3600)) == 1.0


def test_bound_changes_with_the_hour_and_goes_with_its_camera() -> None:
    made = scheduler(bound_s=10.0)
    picture = header("gate", 1, at(0))
    made.announce(picture, at(0))
    made.pick(1, at(0))
    claims = []
    for bound_s in (1.0, 15.0, 10.0):
        made.bound("gate", bound_s)
        claims.append(made.claim(picture, at(30)))
    assert claims == [30.0, 2.0, 3.0]
    made.bound("gate", 1.0)
    made.keep_only(["plain"])
    made.announce(header("gate", 2, at(60)), at(60))
    made.pick(1, at(60))
    assert made.claim(header("gate", 2, at(70)), at(70)) == 1.0, "its bound went with it"


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


def suspicious(picture: FrameHeader, suspicion: Suspicion = Suspicion.BURST) -> FrameHeader:
    return structs.replace(picture, suspicion=suspicion)


def in_chain(source: str, sequence: int, chain: int, second: float) -> FrameHeader:
    return structs.replace(header(source, sequence, at(second), key=chain == 0), promoted=True, chain=chain)


@given(capacity=st.integers(1, 4), when=st.integers(0, 999), suspicion=st.sampled_from(list(Suspicion)[1:]))
@settings(max_examples=20)
def test_staged_change_among_a_thousand_quiet_cameras_is_looked_at_first(
    capacity: int, when: int, suspicion: Suspicion
) -> None:
    """All were looked at before in turn, the changed one perhaps a moment ago; all have a new picture now."""
    made = scheduler(rest_s=1.0)
    names = [f"c{n}" for n in range(1_000)]
    for index, name in enumerate(names):
        made.announce(header(name, 1, at(index / 100)), at(index / 100))
        assert ids(made.pick(1, at(index / 100))) == [name]
    for name in names:
        picture = header(name, 2, at(10))
        made.announce(suspicious(picture, suspicion) if name == names[when] else picture, at(10))
    assert ids(made.pick(capacity, at(10)))[0] == names[when]


def test_suspicion_that_stays_is_preferred_for_a_while_and_not_for_ever() -> None:
    made = scheduler()
    for second in range(40):
        made.announce(suspicious(header("frozen", second, at(second)), Suspicion.FROZEN_BYTES), at(second))
        made.pick(1, at(second))
    picture = suspicious(header("frozen", 40, at(40)), Suspicion.FROZEN_BYTES)
    made.announce(picture, at(40))
    assert made.urgency(picture, at(29)) == URGENCY_MAX
    assert made.urgency(picture, at(40)) == 1.0


def test_suspicion_that_comes_and_goes_goes_first_no_more_than_now_and_then() -> None:
    made = scheduler(bound_s=10.0)
    made.announce(header("old", 1, at(0)), at(0))
    made.pick(1, at(0))
    looks = []
    for second in range(1, 21):
        flag = Suspicion.BURST if second % 2 else Suspicion.NONE
        made.announce(suspicious(header("flaps", second, at(second)), flag), at(second))
        made.announce(header("old", 1 + second, at(second)), at(second))
        # An urgency of 8 against an age of a second; only the first look is out of turn.
        looks += ids(made.pick(1, at(second)))
    assert looks[0] == "flaps"
    assert looks.count("old") >= 2


@given(suspects=st.integers(2, 400), capacity=st.integers(1, 4))
@settings(max_examples=20)
def test_whole_county_becomes_suspicious_then_every_second_look_goes_to_the_others(
    suspects: int, capacity: int
) -> None:
    made = scheduler()
    for n in range(suspects):
        made.announce(suspicious(header(f"s{n}", 1, at(0))), at(0))
    for n in range(suspects):
        made.announce(header(f"quiet {n}", 1, at(0)), at(0))
    looks: list[str] = []
    while len(looks) < suspects:
        looks += ids(made.pick(capacity, at(0)))
    quiet = sum(name.startswith("quiet") for name in looks)
    assert abs(2 * quiet - len(looks)) <= 1


def test_camera_that_somebody_asks_to_see_goes_before_suspicious_ones_and_need_not_rest() -> None:
    made = scheduler(rest_s=5.0)
    made.announce(header("asked", 1, at(0)), at(0))
    made.pick(1, at(0))
    made.ask("asked", at(0), at(1))
    made.announce(suspicious(header("suspicious", 1, at(1))), at(1))
    made.announce(header("asked", 2, at(1)), at(1))
    assert ids(made.pick(1, at(1))) == ["asked"]
    made.announce(header("asked", 3, at(2)), at(2))
    assert ids(made.pick(2, at(2))) == ["suspicious"], "one look was asked for"


def test_promoted_camera_is_decoded_in_order_and_looked_at_now_and_then() -> None:
    made = scheduler()
    followed: list[tuple[FrameHeader, bool]] = []
    for n in range(100):
        made.announce(in_chain("a", n + 1, n % 50, n / 25), at(n / 25))
        followed += made.follow(16, 4, at(n / 25))
    assert [each.sequence for each, _ in followed] == list(range(1, 101))
    looks = [each.sequence for each, look in followed if look]
    assert looks == [1, 21, 41, 61, 81], "0.8 s apart at 25 pictures per second"
    assert made.dropped == {}


@given(promoted=st.integers(1, 8), cameras=st.integers(20, 60), capacity=st.integers(1, 3))
@settings(max_examples=15)
def test_promoted_cameras_under_overload_take_no_more_than_suspects_do(
    promoted: int, cameras: int, capacity: int
) -> None:
    """Ten looks' worth of time a second; the promoted have 25 pictures a second each, the others one."""
    made = scheduler()
    names = [f"c{n}" for n in range(cameras)]
    last, worst, sequence = dict.fromkeys(names, 0), 0, 0
    for second in range(100):
        for name in names:
            made.announce(header(name, second + 1, at(second)), at(second))
        for step in range(25):
            now = at(second + step / 25)
            sequence += 1
            for n in range(promoted):
                made.suspect(f"p{n}", Instant(now + SECOND), URGENCY_MAX, now)
                made.announce(in_chain(f"p{n}", sequence, (sequence - 1) % 50, second + step / 25), now)
        followed = made.follow(1_000, capacity, at(second + 1))
        assert len(followed) == 25 * promoted, "every picture is decoded, overload or not"
        looks = sum(look for _, look in followed)
        for each in made.pick(capacity - looks, at(second + 1)):
            worst = max(worst, second - last[each.source_id])
            last[each.source_id] = second
    worst = max(worst, *(99 - moment for moment in last.values()))
    assert worst <= (1.25 * URGENCY_MAX * promoted + 2 * cameras) / capacity + 13, "every second look is theirs"


@pytest.mark.parametrize(("capacity", "burning"), [(4, 1), (5, 2), (12, 3)])
def test_fire_among_many_cameras_under_overload_is_looked_at_as_often_as_without(
    capacity: int, burning: int
) -> None:
    """Claims alone would give it one look in N/C / 8, too few to prove it: one in 9 s with 4 looks a second."""
    made = scheduler(bound_s=10.0)
    for n in range(300):
        made.announce(header(f"c{n}", 1, at(0)), at(0))
    looks: dict[str, list[float]] = {f"f{n}": [] for n in range(burning)}
    for step in range(16 * 25):
        now, sequence = at(step / 25), step + 1
        if step % 50 == 0:
            for n in range(300):
                made.announce(header(f"c{n}", 2 + step, now), now)
        for name in looks:
            made.suspect(name, Instant(now + SECOND), URGENCY_MAX, now)
            made.announce(in_chain(name, sequence, (sequence - 1) % 50, step / 25), now)
        limit = (step + 1) * capacity // 25 - step * capacity // 25
        followed = made.follow(16, limit, now)
        for each, look in followed:
            if look:
                looks[each.source_id].append(step / 25)
        made.pick(limit - sum(look for _, look in followed), now)
    for moments in looks.values():
        gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
        assert max(gaps) <= 0.8 + 3 * burning / capacity + 0.08


def test_ordinary_picture_behind_a_chain_waits_until_the_chain_is_decoded() -> None:
    made = scheduler()
    made.announce(in_chain("a", 1, 0, 0), at(0))
    made.announce(in_chain("a", 2, 1, 0), at(0))
    made.announce(header("a", 3, at(0)), at(0))
    assert made.pick(4, at(1)) == [], "pulled first, it would push the others out"
    assert [each.sequence for each, _ in made.follow(16, 4, at(1))] == [1, 2]
    assert [each.sequence for each in made.pick(4, at(2))] == [3]


def test_promoted_camera_leaves_the_catalogue_then_its_chain_goes_and_is_counted() -> None:
    made = scheduler()
    made.announce(in_chain("a", 1, 0, 0), at(0))
    made.announce(in_chain("a", 2, 1, 0), at(0))
    made.keep_only([])
    assert made.dropped == {"gone": 2}
    assert made.chains.ended(0) == ["a"]
    assert made.follow(16, 4, at(0)) == []
