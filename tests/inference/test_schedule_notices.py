"""Notices of activity between key pictures, as the scheduler takes them."""

from __future__ import annotations

from msgspec import structs

from contracts.frame import ActivityNotice, Suspicion
from contracts.instant import Instant
from inference.schedule import CALLING_ACTIVITY, Scheduler
from tests.inference.pictures import at, header


def scheduler() -> Scheduler:
    return Scheduler(bound_s=10.0, rest_s=0.0, age_max_s=60.0)


def wait(made: Scheduler, names: str, moment: Instant, sequence: int) -> None:
    for name in names:
        made.announce(header(name, sequence, moment), moment)


def order(made: Scheduler, limit: int, moment: Instant) -> str:
    return "".join(each.source_id for each in made.pick(limit, moment))


def notice(name: str, moment: Instant, activity: float, suspicion: Suspicion = Suspicion.NONE) -> ActivityNotice:
    return ActivityNotice(source_id=name, at=moment, activity=activity, suspicion=suspicion)


def test_notice_of_a_suspicion_then_the_next_picture_goes_first_and_not_the_one_that_waits() -> None:
    made = scheduler()
    wait(made, "abc", at(0), 1)
    order(made, 3, at(0))
    wait(made, "abc", at(1), 2)
    assert made.notice(notice("b", at(2), 9.0, Suspicion.BURST), at(2))
    assert not made.notice(notice("b", at(2), 12.0, Suspicion.BURST), at(2)), "the same is no news"
    wait(made, "b", at(3), 3)
    assert order(made, 1, at(3)) == "b"
    wait(made, "b", at(4), 4)
    assert order(made, 1, at(13.9))[0] in "acb"


def test_old_picture_is_looked_at_before_then_the_call_stays_for_the_next_one() -> None:
    made = scheduler()
    wait(made, "ab", at(0), 1)
    made.notice(notice("b", at(1), 8.0), at(1))
    assert set(order(made, 2, at(1))) == {"a", "b"}
    wait(made, "ab", at(2), 2)
    assert order(made, 1, at(2)) == "b"


def test_several_move_far_more_than_usual_then_suspects_first_and_the_most_active_before_the_others() -> None:
    made = scheduler()
    wait(made, "abcd", at(0), 1)
    order(made, 4, at(0))
    for name, activity in (("a", 6.0), ("b", 20.0), ("c", CALLING_ACTIVITY - 0.1)):
        assert not made.notice(notice(name, at(1), activity), at(1))
    made.notice(notice("d", at(1), 5.0, Suspicion.SIZE_COLLAPSE), at(1))
    wait(made, "abcd", at(2), 2)
    assert order(made, 1, at(2)) == "d"
    assert order(made, 2, at(2)) in {"cb", "bc"}, "every second place belongs to the claims"
    wait(made, "d", at(2), 3)
    assert "a" in order(made, 2, at(2))


def test_key_picture_says_what_a_notice_would_then_it_goes_first_too_and_no_more_for_ten_seconds() -> None:
    made = scheduler()
    wait(made, "ab", at(0), 1)
    order(made, 2, at(0))
    wait(made, "a", at(1), 2)
    made.announce(structs.replace(header("b", 2, at(1)), activity=7.0), at(1))
    assert order(made, 1, at(1)) == "b"
    for sequence, activity in ((3, 1.0), (4, 7.0)):
        made.announce(structs.replace(header("b", sequence, at(1.5)), activity=activity), at(1.5))
    assert order(made, 1, at(1.5)) == "a", "once in ten seconds"


def test_somebody_asks_then_a_notice_does_not_put_the_look_off() -> None:
    made = scheduler()
    wait(made, "ab", at(0), 1)
    made.ask("b", at(0), at(0))
    made.notice(notice("b", at(1), 9.0, Suspicion.BURST), at(1))
    assert order(made, 1, at(1)) == "b"


def test_camera_that_is_not_known_is_noticed_then_forgotten_with_the_catalogue() -> None:
    made = scheduler()
    made.notice(notice("x", at(0), 9.0, Suspicion.BURST), at(0))
    made.keep_only({"a"})
    wait(made, "a", at(1), 1)
    assert order(made, 2, at(1)) == "a"
