from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contracts.instant import MINUTE, MS, SECOND
from ingest.guest.admission import Admission
from ingest.guest.heap import MovableHeap
from ingest.guest.limits import GuestLimits, PlatformLimits
from ingest.guest.place import Phase, Place, Visitor

OPEN_DOOR = GuestLimits(rate_per_s=1e6, burst=1000, openings=0, host_openings=0, platform_openings=0)


def granted(admission: Admission, now_ns: int = 0) -> list[str]:
    return [place.visitor.source_id for place in admission.grant(now_ns)]


def test_bucket_lets_a_burst_through_and_then_one_per_interval() -> None:
    admission = Admission(GuestLimits(rate_per_s=10, burst=5))
    for number in range(20):
        admission.ask(Visitor(f"c{number}", f"h{number}"), 0)
    assert len(granted(admission)) == 5
    assert admission.due_ns() == 100 * MS
    assert granted(admission, 99 * MS) == []
    assert len(granted(admission, 100 * MS)) == 1
    assert len(granted(admission, 10 * SECOND)) == 5, "saved up to the burst, no more"


def test_handshakes_are_bounded_and_the_next_begins_when_one_is_over() -> None:
    admission = Admission(GuestLimits(rate_per_s=1e6, burst=100, openings=2))
    places = [admission.ask(Visitor(f"c{number}", f"h{number}"), 0) for number in range(5)]
    assert granted(admission) == ["c0", "c1"]
    admission.opened(places[0])
    assert granted(admission) == ["c2"]
    admission.leave(places[1], 0, "unreachable")
    assert granted(admission) == ["c3"]
    assert (admission.opening, admission.open, admission.waiting) == (2, 1, 1)


def test_full_recorder_does_not_hold_up_its_platform_nor_a_full_platform_the_box() -> None:
    limits = GuestLimits(rate_per_s=1e6, burst=100, platforms={"p": PlatformLimits(sessions=3, nvr_sessions=1)})
    admission = Admission(limits)
    places = {}
    for name, nvr in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("c1", "c"), ("d1", "d")):
        places[name] = admission.ask(Visitor(name, "host", "p", nvr), 0)
    admission.ask(Visitor("alone", "other"), 0)
    assert set(granted(admission)) == {"a1", "b1", "c1", "alone"}
    admission.leave(places["b1"], 0)
    assert granted(admission) == ["d1"], "the recorder a is still full"
    admission.leave(places["a1"], 0)
    assert granted(admission) == ["a2"]


def test_dead_platform_with_1000_cameras_does_not_hold_the_places_of_others() -> None:
    admission = Admission(GuestLimits(rate_per_s=25, burst=10, openings=20, platform_openings=10))
    for number in range(1000):
        admission.ask(Visitor(f"dead{number}", f"h{number}", "dead", lost_ns=number), 0)
    opening: list[Place] = []
    lively: list[int] = []
    for number in range(30):
        admission.ask(Visitor(f"alive{number}", f"a{number}", "alive"), 0)
    for step in range(200):
        now = step * 40 * MS
        for place in admission.grant(now):
            if place.visitor.platform == "alive":
                lively.append(now)
                admission.opened(place)
            else:
                opening.append(place)
        if step % 125 == 124:
            for place in opening:
                admission.leave(place, now, "unreachable")
            opening.clear()
    assert len(lively) == 30
    assert lively[-1] <= 4 * SECOND, "although none of the dead platform's attempts has ended before 5 s"


def test_last_lost_goes_first_then_new_ones_and_failing_ones_last() -> None:
    admission = Admission(OPEN_DOOR)
    now = 20 * MINUTE
    for name, lost, failures in (
        ("new", None, 0),
        ("long ago", now - 11 * MINUTE, 0),
        ("refused", None, 4),
        ("lost 2 s ago", now - 2 * SECOND, 0),
        ("lost 1 s ago", now - SECOND, 1),
    ):
        admission.ask(Visitor(name, "h", lost_ns=lost, failures=failures), now)
    order = granted(admission, now)
    # Every fourth turn goes to the oldest, which happens to be next anyway.
    assert order == ["lost 1 s ago", "lost 2 s ago", "new", "long ago", "refused"]


def test_visits_in_turn_take_the_longest_unseen_first() -> None:
    admission = Admission(OPEN_DOOR)
    for name, visited in (("b", 20), ("a", 10), ("never", 0), ("c", 30)):
        admission.ask(Visitor(name, "h", "p", visited_ns=visited), 100)
    assert granted(admission, 100)[:3] == ["never", "a", "b"]


def test_hurried_camera_goes_before_the_others() -> None:
    admission = Admission(GuestLimits(rate_per_s=1, burst=1))
    places = [admission.ask(Visitor(f"c{number}", "h", "p", visited_ns=number), 0) for number in range(5)]
    admission.hurry(places[3], 0)
    assert granted(admission) == ["c3"]
    admission.hurry(places[3], 0)
    assert admission.waiting == 4


def test_dead_host_is_probed_by_one_and_all_are_released_when_it_answers() -> None:
    admission = Admission(GuestLimits(rate_per_s=1000, burst=100, host_openings=3))
    for number in range(50):
        admission.ask(Visitor(f"c{number}", "h"), 0)
    now = 5 * SECOND
    for place in admission.grant(0):
        admission.leave(place, now, "unreachable")
    assert admission.dead_hosts == ("h",)
    assert admission.dead_reason("h") == "unreachable"
    probes: list[int] = []
    due = admission.due_ns()
    while due is not None and due < 60 * SECOND:
        places = admission.grant(due)
        if not places:
            # It only found out that the host is closed until its probe is due.
            due = admission.due_ns()
            continue
        assert len(places) == 1, "one probe at a time"
        assert admission.grant(due + SECOND) == []
        probes.append(due)
        admission.leave(places[0], due, "unreachable")
        due = admission.due_ns()
    gaps = [(after - before) / SECOND for before, after in pairwise(probes)]
    assert max(gaps) <= 10
    assert gaps[-1] >= 5
    assert due is not None
    [probe] = admission.grant(due)
    admission.opened(probe)
    assert admission.dead_reason("h") == ""
    assert len(admission.grant(due)) == 3, "as many as the host may open at once"


def test_refusals_and_one_camera_alone_do_not_make_a_host_dead() -> None:
    admission = Admission(OPEN_DOOR)
    for number in range(10):
        [place] = [admission.ask(Visitor(f"c{number}", "h"), 0)]
        admission.grant(0)
        admission.leave(place, 0, "not_found")
        again = admission.ask(Visitor("single", "alone", failures=1), 0)
        admission.grant(0)
        admission.leave(again, 0, "unreachable")
    assert admission.dead_hosts == ()


def test_limits_change_at_run_time_without_ending_a_session() -> None:
    admission = Admission(GuestLimits(rate_per_s=1e6, burst=100, platforms={"p": PlatformLimits(1, 0)}))
    places = [admission.ask(Visitor(f"c{number}", "h", "p"), 0) for number in range(6)]
    assert granted(admission) == ["c0"]
    admission.change_limits(GuestLimits(rate_per_s=1e6, burst=100, platforms={"p": PlatformLimits(4, 0)}), 0)
    assert granted(admission) == ["c1", "c2", "c3"]
    admission.change_limits(GuestLimits(rate_per_s=1e6, burst=100, platforms={"p": PlatformLimits(2, 0)}), 0)
    admission.leave(places[0], 0)
    admission.leave(places[1], 0)
    assert granted(admission) == [], "two are still there"
    assert [place.phase for place in places[2:4]] == [Phase.OPENING, Phase.OPENING]
    admission.leave(places[2], 0)
    assert granted(admission) == ["c4"]


def test_failing_cameras_of_their_own_hosts_take_half_of_the_openings_at_most() -> None:
    admission = Admission(GuestLimits(rate_per_s=1e6, burst=1000, openings=10))
    for number in range(100):
        admission.ask(Visitor(f"f{number}", f"h{number}", failures=9), 0)
    assert len(granted(admission)) == 5
    for number in range(5):
        admission.ask(Visitor(f"n{number}", f"n{number}"), 0)
    assert granted(admission) == ["n0", "n1", "n2", "n3", "n4"]


def test_nobody_starves_while_others_are_lost_again_and_again() -> None:
    admission = Admission(GuestLimits(rate_per_s=1e6, burst=1, platforms={"p": PlatformLimits(1, 0)}))
    waiting = {f"old{number}" for number in range(10)}
    for name in sorted(waiting):
        admission.ask(Visitor(name, "h", "p"), 0)
    for turn in range(200):
        now = turn * MS
        for flapping in range(2):
            admission.ask(Visitor(f"flap{turn}-{flapping}", "h", "p", lost_ns=now), now)
        for place in admission.grant(now):
            waiting.discard(place.visitor.source_id)
            admission.leave(place, now)
        if not waiting:
            break
    assert not waiting
    assert turn <= 45, "every fourth turn is the oldest one's"


def test_thousand_hosts_come_and_go_and_nothing_is_remembered() -> None:
    admission = Admission(OPEN_DOOR)
    for number in range(1000):
        place = admission.ask(Visitor(f"c{number}", f"h{number}", "", f"n{number}"), 0)
        admission.grant(0)
        if number % 2:
            admission.opened(place)
        admission.leave(place, 0, "closed" if number % 3 else "unreachable")
    admission.change_limits(OPEN_DOOR, 11 * MINUTE)
    assert len(admission) == 0


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(-5, 5) | st.none()), max_size=200))
def test_movable_heap_is_a_sorted_dictionary(moves: list[tuple[int, int | None]]) -> None:
    heap: MovableHeap[int] = MovableHeap()
    model: dict[int, int] = {}
    for item, key in moves:
        if key is None:
            heap.discard(item)
            model.pop(item, None)
        else:
            heap.put(item, (key,))
            model[item] = key
        first = heap.first()
        assert len(heap) == len(model)
        assert (first is None) == (not model)
        assert first is None or model[first] == min(model.values())
        assert len(heap._entries) <= 2 * len(model) + 33


class Guests(RuleBasedStateMachine):
    """Visitors come, are let in, play, fail and give up in any order, under limits that change."""

    @initialize(
        openings=st.integers(1, 4),
        host=st.integers(0, 3),
        platform=st.integers(0, 3),
        nvr=st.integers(0, 2),
    )
    def begin(self, openings: int, host: int, platform: int, nvr: int) -> None:
        self.now = 0
        self.limits = GuestLimits(
            rate_per_s=10,
            burst=3,
            openings=openings,
            host_openings=max(1, host - 1),
            host_sessions=host,
            platform_sessions=platform,
            nvr_sessions=nvr,
        )
        self.admission = Admission(self.limits)
        self.places: list[Place] = []
        self.grants: list[int] = []

    @rule(
        host=st.sampled_from(["", "h1", "h2"]),
        platform=st.sampled_from(["", "p1", "p2"]),
        nvr=st.sampled_from(["", "n1", "n2"]),
        lost_s=st.none() | st.integers(0, 1000),
        failures=st.integers(0, 4),
        visited=st.none() | st.integers(0, 100),
    )
    def ask(
        self, host: str, platform: str, nvr: str, lost_s: int | None, failures: int, visited: int | None
    ) -> None:
        lost_ns = None if lost_s is None else self.now - lost_s * SECOND
        visitor = Visitor(f"c{len(self.places)}", host, platform, nvr, lost_ns, failures, visited)
        self.places.append(self.admission.ask(visitor, self.now))

    @rule(ms=st.sampled_from([1, 50, 100, 1000, 15_000]))
    def wait(self, ms: int) -> None:
        self.now += ms * MS
        self.grant()

    @rule()
    def grant(self) -> None:
        self.grants += [self.now for _ in self.admission.grant(self.now)]

    @precondition(lambda self: self.places)
    @rule(
        data=st.data(), reason=st.sampled_from(["", "unreachable", "unreachable", "stall", "closed", "not_found"])
    )
    def leave(self, data: st.DataObject, reason: str) -> None:
        self.admission.leave(data.draw(st.sampled_from(self.places)), self.now, reason)

    @precondition(lambda self: self.places)
    @rule(data=st.data())
    def opened(self, data: st.DataObject) -> None:
        self.admission.opened(data.draw(st.sampled_from(self.places)))

    @precondition(lambda self: self.places)
    @rule(data=st.data())
    def hurry(self, data: st.DataObject) -> None:
        self.admission.hurry(data.draw(st.sampled_from(self.places)), self.now)

    @rule(more=st.integers(0, 2))
    def raise_limits(self, more: int) -> None:
        """Only upwards, so that the invariants hold at every moment; downwards is tested on its own."""
        grown = {
            name: getattr(self.limits, name) + more
            for name in ("openings", "host_openings", "host_sessions", "platform_sessions", "nvr_sessions")
            if getattr(self.limits, name) > 0
        }
        self.limits = GuestLimits(rate_per_s=10, burst=3, **grown)
        self.admission.change_limits(self.limits, self.now)

    @invariant()
    def limits_are_kept(self) -> None:
        if not hasattr(self, "admission"):
            return
        limits = self.limits
        sessions: Counter[tuple[str, str]] = Counter()
        openings: Counter[tuple[str, str]] = Counter()
        phases: Counter[Phase] = Counter()
        for place in self.places:
            phases[place.phase] += 1
            if place.phase not in (Phase.OPENING, Phase.OPEN):
                continue
            visitor = place.visitor
            for kind, name in (
                ("host", visitor.host),
                ("platform", visitor.platform),
                ("nvr", f"{visitor.platform}/{visitor.nvr}" if visitor.nvr else ""),
            ):
                sessions[kind, name] += 1
                openings[kind, name] += place.phase is Phase.OPENING
        for (kind, name), count in sessions.items():
            allowed = getattr(limits, f"{kind}_sessions")
            assert not name or not allowed or count <= allowed, (kind, name, count)
            assert kind != "host" or not name or openings[kind, name] <= limits.host_openings
        assert phases[Phase.OPENING] == self.admission.opening <= limits.openings
        assert phases[Phase.OPEN] == self.admission.open
        assert phases[Phase.WAITING] == self.admission.waiting
        for begin in range(len(self.grants)):
            window = [at for at in self.grants[begin:] if at - self.grants[begin] < SECOND]
            assert len(window) <= 3 + 10

    def teardown(self) -> None:
        """Nobody starves, and nothing leaks: everyone waiting gets in when those inside leave in time."""
        if not hasattr(self, "admission"):
            return
        for _ in range(40 * (len(self.places) + 1)):
            if not self.admission.waiting:
                break
            self.now += SECOND
            for place in self.places:
                if place.phase in (Phase.OPENING, Phase.OPEN):
                    self.admission.opened(place)
                    self.admission.leave(place, self.now)
            self.grant()
        assert self.admission.waiting == 0
        for place in self.places:
            self.admission.leave(place, self.now)
        assert (self.admission.opening, self.admission.open) == (0, 0)
        assert all(used[1:] == (0, 0) for used in self.admission.used())
        self.admission.change_limits(self.limits, self.now + 11 * MINUTE)
        self.admission.grant(self.now + 11 * MINUTE)
        assert len(self.admission) == 0


TestGuests = Guests.TestCase
TestGuests.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_bucket_that_never_fills_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        GuestLimits(rate_per_s=0)
