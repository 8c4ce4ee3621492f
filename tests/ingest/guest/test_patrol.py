from __future__ import annotations

import pytest

from contracts.errors import SourceUnreachable
from contracts.instant import MINUTE, MS, SECOND
from contracts.source import Platform
from ingest.config import IngestConfig
from ingest.guest.admission import Admission
from ingest.guest.limits import GuestLimits, PlatformLimits, guest_limits
from ingest.guest.place import Phase, Place, Visitor
from ingest.guest.turns import CameraTurns

PERIOD_NS = 20 * SECOND


def limits(sessions: int, **more: float) -> GuestLimits:
    return GuestLimits(rate_per_s=1e6, burst=1000, platforms={"p": PlatformLimits(sessions, 0)}, **more)  # type: ignore[arg-type]


class Desk:
    """Cameras of one platform that come and go by hand."""

    def __init__(self, sessions: int, **more: float) -> None:
        self.admission = Admission(limits(sessions, **more))
        self.inside: dict[str, Place] = {}

    def ask(self, *names: str, at: int = 0, **more: int) -> None:
        for name in names:
            self.admission.ask(Visitor(name, "h", "p", **more), at)  # type: ignore[arg-type]

    def grant(self, at: int) -> list[str]:
        places = self.admission.grant(at)
        for place in places:
            self.inside[place.visitor.source_id] = place
            self.admission.opened(place)
        return [place.visitor.source_id for place in places]

    def see(self, *names: str, at: int) -> None:
        for name in names:
            self.admission.patrol.seen(self.inside[name], at)

    def recalled(self, at: int) -> list[str]:
        return [place.visitor.source_id for place in self.admission.recall(at)]

    def leave(self, name: str, at: int) -> None:
        self.admission.leave(self.inside.pop(name), at)

    def stay(self, name: str, until: int, at: int) -> bool:
        return self.admission.patrol.stay(self.inside[name], until, at)


def test_nobody_is_recalled_while_nobody_waits() -> None:
    desk = Desk(2)
    desk.ask("a", "b")
    desk.grant(0)
    desk.see("a", "b", at=SECOND)
    assert desk.recalled(MINUTE) == []
    assert desk.admission.due_ns() is None, "no timer runs for a place that is not contested"


def test_camera_that_was_never_seen_is_let_in_once_somebody_showed_a_key_picture() -> None:
    desk = Desk(2)
    desk.ask("a", "b", "c")
    assert desk.grant(0) == ["a", "b"]
    assert desk.recalled(SECOND) == [], "nobody has shown anything yet"
    desk.see("b", at=2 * SECOND)
    assert desk.recalled(2 * SECOND) == ["b"]
    assert desk.recalled(MINUTE) == [], "one visitor waits: one leaves, not two"
    desk.leave("b", 2 * SECOND)
    assert desk.grant(2 * SECOND) == ["c"]


def test_visit_dwells_until_the_one_that_waits_was_unseen_for_the_period() -> None:
    desk = Desk(1)
    desk.ask("a")
    desk.grant(0)
    desk.see("a", at=0)
    desk.ask("b", at=SECOND, visited_ns=SECOND)
    assert desk.admission.due_ns() == SECOND + PERIOD_NS
    assert desk.recalled(PERIOD_NS) == []
    assert desk.recalled(SECOND + PERIOD_NS) == ["a"]


def test_visit_without_a_key_picture_is_over_after_the_dwell_and_longer_after_every_miss() -> None:
    for misses, dwell_s in ((0, 10), (1, 20), (2, 40), (3, 60), (60, 60)):
        desk = Desk(1)
        desk.ask("rare", misses=misses)
        desk.grant(0)
        desk.ask("other", at=0)
        assert desk.recalled(dwell_s * SECOND - 1) == []
        assert desk.recalled(dwell_s * SECOND) == ["rare"]


def test_sessions_that_showed_a_picture_first_leave_first_one_after_the_other() -> None:
    desk = Desk(3)
    desk.ask("a", "b", "c", "d", "e")
    desk.grant(0)
    desk.see("c", "a", "b", at=SECOND)
    assert desk.recalled(SECOND) == ["c"]
    assert desk.recalled(SECOND + 39 * MS) == []
    assert desk.recalled(SECOND + 40 * MS) == ["a"], "c is slow to close its session: the others need not wait"
    assert desk.recalled(MINUTE) == [], "two wait, two leave"


def test_failing_camera_that_waits_is_let_in_after_the_period_and_costs_nobody_a_session_before() -> None:
    desk = Desk(1)
    desk.ask("good")
    desk.grant(0)
    desk.see("good", at=0)
    desk.ask("bad", at=30 * SECOND, failures=5, visited_ns=0)
    assert desk.recalled(30 * SECOND + PERIOD_NS - 1) == []
    assert desk.recalled(30 * SECOND + PERIOD_NS) == ["good"]


def test_failing_camera_goes_behind_all_that_were_seen_though_it_is_the_longest_unseen() -> None:
    desk = Desk(1)
    for name, visited in (("x", 5), ("bad", 1), ("y", 6), ("z", 7)):
        desk.ask(name, at=10, visited_ns=visited, failures=name == "bad")
    order = []
    for _ in range(4):
        order += desk.grant(10)
        desk.leave(order[-1], 10)
    assert order[:3] == ["x", "y", "z"]


def test_hurried_camera_is_next_at_once() -> None:
    desk = Desk(1)
    desk.ask("a")
    desk.grant(0)
    desk.see("a", at=0)
    for name in ("b", "c"):
        desk.ask(name, at=0, visited_ns=0)
    assert desk.recalled(SECOND) == []
    desk.ask("asked", at=SECOND, visited_ns=SECOND, hurried=True)
    assert desk.recalled(SECOND) == ["a"]
    desk.leave("a", SECOND)
    assert desk.grant(SECOND) == ["asked"]


def test_half_of_the_sessions_may_stay_while_others_wait_each_for_a_bounded_time() -> None:
    desk = Desk(4, stay_max_s=60)
    desk.ask("a", "b", "c", "d", "e", "f")
    desk.grant(0)
    desk.see("a", "b", "c", "d", at=0)
    assert desk.stay("a", 50 * SECOND, 0)
    assert desk.stay("b", 1000 * SECOND, 0)
    assert not desk.stay("c", 50 * SECOND, 0)
    assert desk.stay("a", 1000 * SECOND, 40 * SECOND), "one that stays may stay longer"
    assert desk.recalled(40 * SECOND) == ["c"]
    assert not desk.stay("c", 50 * SECOND, 0), "it leaves already"
    desk.leave("c", 40 * SECOND)
    desk.grant(40 * SECOND)
    assert desk.recalled(40 * SECOND) == ["d"]
    desk.leave("d", 40 * SECOND)
    desk.grant(40 * SECOND)
    desk.ask("g", at=40 * SECOND)
    assert desk.recalled(60 * SECOND - 1) == ["e"], "60 s from the first wish on; e never showed a picture"
    desk.leave("e", 60 * SECOND - 1)
    desk.grant(60 * SECOND - 1)
    desk.ask("h", at=60 * SECOND - 1)
    assert desk.recalled(60 * SECOND - 1) == ["f"]
    desk.leave("f", 60 * SECOND - 1)
    desk.grant(60 * SECOND - 1)
    desk.ask("i", at=60 * SECOND - 1)
    assert set(desk.recalled(60 * SECOND)) <= {"a", "b"}
    assert desk.recalled(60 * SECOND + 100 * MS) == []


def test_single_session_is_nobodys_alone() -> None:
    desk = Desk(1)
    desk.ask("a")
    desk.grant(0)
    assert desk.stay("a", MINUTE, 0), "while nobody waits"
    desk.see("a", at=0)
    desk.ask("b", at=0)
    assert not desk.stay("a", 2 * MINUTE, SECOND)
    assert desk.recalled(MINUTE) == ["a"]


def test_all_sessions_may_stay_where_nobody_waits() -> None:
    desk = Desk(2)
    desk.ask("a", "b")
    desk.grant(0)
    assert desk.stay("a", MINUTE, 0)
    assert desk.stay("b", MINUTE, 0)


def test_dead_host_recalls_nobody_for_cameras_that_wait_for_its_probe() -> None:
    admission = Admission(GuestLimits(rate_per_s=1e6, burst=1000, host_sessions=1, period_s=1))
    for name in ("a", "b", "c"):
        admission.ask(Visitor(name, "h"), 0)
        [place] = admission.grant(0)
        admission.leave(place, 0, "unreachable")
    assert admission.dead_hosts == ("h",)
    for name in ("a", "b", "c"):
        admission.ask(Visitor(name, "h", failures=1), 0)
    admission.grant(0)
    assert admission.recall(MINUTE) == []


@pytest.mark.parametrize("kind", ["host", "nvr", "platform"])
def test_limit_that_comes_grows_and_goes_while_sessions_stand(kind: str) -> None:
    def some(sessions: int) -> GuestLimits:
        return GuestLimits(rate_per_s=1e6, burst=1000, **{f"{kind}_sessions": sessions})  # type: ignore[arg-type]

    admission = Admission(some(0))
    places = {name: admission.ask(Visitor(name, "h", "p", "n"), 0) for name in ("a", "b", "c", "d")}
    admission.grant(0)
    for place in places.values():
        admission.opened(place)
        admission.patrol.seen(place, 0)
    admission.change_limits(some(2), 0)
    late = admission.ask(Visitor("late", "h", "p", "n"), SECOND)
    recalled: list[Place] = []
    for tenth in range(10, 20):
        for place in admission.recall(tenth * SECOND // 10):
            admission.leave(place, tenth * SECOND // 10)
            recalled.append(place)
        admission.grant(tenth * SECOND // 10)
    assert len(recalled) == 3, "four stood where two may"
    assert late.phase is Phase.OPENING
    waiting = [admission.ask(Visitor(each.visitor.source_id, "h", "p", "n"), 2 * SECOND) for each in recalled]
    admission.change_limits(some(0), 2 * SECOND)
    admission.grant(2 * SECOND)
    assert all(place.phase is Phase.OPENING for place in waiting)
    assert admission.recall(10 * MINUTE) == []
    assert admission.due_ns() is None


def test_sessions_over_a_lower_limit_end_though_nobody_waits_one_after_the_other() -> None:
    desk = Desk(4)
    desk.ask("a", "b", "c", "d")
    desk.grant(0)
    desk.see("a", "b", "c", at=SECOND)
    desk.admission.change_limits(limits(2), SECOND)
    assert desk.recalled(SECOND) == ["a"]
    assert desk.recalled(2 * SECOND) == ["b"]
    assert desk.recalled(MINUTE) == [], "two are left, once they have closed"
    desk.leave("a", MINUTE)
    desk.leave("b", MINUTE)
    assert desk.admission.due_ns() is None


def test_dwell_is_the_catalogues_for_a_listed_platform_and_the_operators_elsewhere() -> None:
    config = IngestConfig(patrol_dwell_s=7.0, patrol_period_s=30.0, patrol_stay_max_s=50.0)
    made = guest_limits(config, (Platform(id="a", patrol_dwell_s=25.0),))
    assert [made.of_platform(each).dwell_s for each in ("a", "b", "")] == [25.0, 7.0, 7.0]
    assert (made.period_s, made.stay_max_s) == (30.0, 50.0)


def test_turns_of_a_camera_from_its_first_visit_to_the_end_of_the_patrol() -> None:
    turns = CameraTurns()
    assert not turns.on_patrol
    assert not turns.stands(0, contested=True)
    turns.visited(100 * SECOND)
    assert turns.on_patrol
    assert not turns.missed(PERIOD_NS, 20 * MINUTE), "how long a round takes is not known yet"
    assert turns.missed(PERIOD_NS, 40 * MINUTE)
    turns.visited(150 * SECOND)
    assert turns.round_ns(160 * SECOND) == 50 * SECOND
    assert not turns.missed(PERIOD_NS, 300 * SECOND)
    assert turns.missed(PERIOD_NS, 301 * SECOND)
    turns.seen(310 * SECOND)
    assert not turns.stands(320 * SECOND, contested=True)
    assert not turns.stands(379 * SECOND, contested=False)
    assert turns.stands(380 * SECOND, contested=False)
    assert not turns.on_patrol
    assert turns.round_ns(380 * SECOND) == 0


def test_visits_without_a_key_picture_are_counted_until_one_shows_something() -> None:
    turns = CameraTurns()
    for _ in range(3):
        turns.failed(SourceUnreachable("x", reason="no_key_picture"))
    assert turns.misses == 3
    turns.failed(SourceUnreachable("x"))
    assert turns.misses == 0
    turns.failed(SourceUnreachable("x", reason="no_key_picture"))
    turns.hurried = True
    turns.seen(0)
    assert (turns.misses, turns.hurried) == (0, False)
