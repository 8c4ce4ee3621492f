from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contracts.errors import SourceUnreachable
from contracts.instant import MINUTE, MS, SECOND
from contracts.source import Platform
from ingest.config import IngestConfig
from ingest.guest.admission import Admission
from ingest.guest.gate import Gate
from ingest.guest.limits import GuestLimits, PlatformLimits, guest_limits
from ingest.guest.place import Phase, Place, Visitor
from ingest.guest.turns import CameraTurns
from tests.ingest.guest.county import AlarmClock, SimCamera
from tests.ingest.guest.test_gate import running

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


@dataclass
class Plan:
    """One camera of a model: how long its handshake, key picture and end take, or that it never answers."""

    handshake_s: float
    key_s: float
    teardown_s: float
    dead: bool = False
    nvr: str = ""


@dataclass
class Outcome:
    """`visits`: the ends of those that ended for others; `unseen`: how long after each the camera was seen."""

    visits: dict[str, list[int]] = field(default_factory=dict)
    unseen: dict[str, list[int]] = field(default_factory=dict)
    inside_max: int = 0
    nvr_inside_max: int = 0
    connects: int = 0


def play(plans: Sequence[Plan], limits: GuestLimits, end_s: float) -> Outcome:
    """Cameras of one platform on the pure admission, in simulated time by events."""
    admission = Admission(limits)
    names = [f"c{number}" for number in range(len(plans))]
    out = Outcome({name: [] for name in names}, {name: [] for name in names})
    away = dict.fromkeys(names, 0)
    events: list[tuple[int, int, str, str]] = []
    places: dict[str, Place] = {}
    failures: Counter[str] = Counter()
    misses: Counter[str] = Counter()
    inside: set[str] = set()
    order = 0

    def at(when: int, what: str, name: str) -> None:
        nonlocal order
        order += 1
        heapq.heappush(events, (when, order, what, name))

    def plan(name: str) -> Plan:
        return plans[int(name[1:])]

    for name in out.visits:
        at(0, "ask", name)
    now = 0
    while now < end_s * SECOND:
        for place in admission.grant(now):
            name = place.visitor.source_id
            inside.add(name)
            out.connects += 1
            after_s = 5.0 if plan(name).dead else plan(name).handshake_s
            at(now + round(after_s * SECOND), "fail" if plan(name).dead else "open", name)
        for place in admission.recall(now):
            name = place.visitor.source_id
            at(now + round(plan(name).teardown_s * SECOND), "leave", name)
        out.inside_max = max(out.inside_max, len(inside))
        nvrs = Counter(plan(name).nvr for name in inside)
        out.nvr_inside_max = max(out.nvr_inside_max, *(n for nvr, n in nvrs.items() if nvr), 0)
        dues = [due for due in (admission.due_ns(), events[0][0] if events else None) if due is not None]
        if not dues:
            break
        now = max(now, min(dues))
        while events and events[0][0] <= now:
            _, _, what, name = heapq.heappop(events)
            if what == "ask":
                seen = out.visits[name]
                places[name] = admission.ask(
                    Visitor(
                        name,
                        "h" if not plan(name).dead else f"dead {name}",
                        "p",
                        plan(name).nvr,
                        failures=failures[name],
                        visited_ns=seen[-1] if seen else None,
                        misses=misses[name],
                    ),
                    now,
                )
                continue
            place = places[name]
            if what == "open" and not place.recalled:
                admission.opened(place)
                at(now + round(plan(name).key_s * SECOND), "key", name)
            elif what == "key" and not place.recalled:
                failures[name] = misses[name] = 0
                admission.patrol.seen(place, now)
                out.unseen[name].append(now - away.pop(name))
            elif what == "leave" or (what == "fail" and name in inside):
                inside.discard(name)
                admission.leave(place, now, "" if place.seen else "unreachable")
                if place.seen:
                    out.visits[name].append(now)
                    away[name] = now
                    at(now, "ask", name)
                else:
                    failures[name] += 1
                    misses[name] += 1
                    at(now + min(30, 2 ** failures[name]) * SECOND, "ask", name)
    for name, since in away.items():
        out.unseen[name].append(now - since)
    return out


plans = st.builds(
    Plan,
    handshake_s=st.floats(0.01, 1.0),
    key_s=st.floats(0.0, 9.0),
    teardown_s=st.floats(0.0, 1.0),
    dead=st.integers(0, 4).map(lambda n: n == 0),
)


@given(
    cameras=st.lists(plans, min_size=2, max_size=12),
    sessions=st.integers(1, 5),
    period_s=st.sampled_from([1, 20]),
)
@example([Plan(0.1, 9.0, 1.0), *[Plan(0.1, 0.0, 0.0, dead=True)] * 12, Plan(0.1, 0.0, 0.0)], 1, 20)
@settings(deadline=None, max_examples=60)
def test_no_camera_starves_and_sessions_are_never_more_than_allowed(
    cameras: list[Plan], sessions: int, period_s: int
) -> None:
    out = play(cameras, limits(sessions, period_s=period_s), 500)
    assert out.inside_max <= sessions
    alive = [f"c{number}" for number, plan in enumerate(cameras) if not plan.dead]
    if len(cameras) <= sessions:
        assert not any(out.visits.values()), "there is room for all: nobody was ever disconnected"
        return
    # Whoever goes before it takes 11 s at most; every fourth turn may be a dead one's, and there is the period.
    rounds = -(-len(cameras) // sessions) + 1
    bound_s = period_s + 30 + 11 * rounds * 4 / 3 + 10 * rounds
    for name in alive:
        assert max(out.unseen[name]) / SECOND <= bound_s, (name, max(out.unseen[name]) / SECOND, bound_s)


@given(
    cameras=st.lists(
        st.builds(
            Plan,
            handshake_s=st.floats(0.01, 1.0),
            key_s=st.floats(0.0, 3.0),
            teardown_s=st.floats(0.0, 1.0),
            nvr=st.sampled_from(["n1", "n2", "n3"]),
        ),
        min_size=6,
        max_size=14,
    ),
    nvr_sessions=st.integers(1, 3),
    sessions=st.integers(2, 5),
)
@settings(deadline=None, max_examples=40)
def test_limits_of_recorder_and_platform_together_starve_nobody(
    cameras: list[Plan], nvr_sessions: int, sessions: int
) -> None:
    both = GuestLimits(rate_per_s=1e6, burst=1000, platforms={"p": PlatformLimits(sessions, nvr_sessions)})
    out = play(cameras, both, 500)
    assert out.inside_max <= sessions
    assert out.nvr_inside_max <= nvr_sessions
    unseen = {name: max(gaps) / SECOND for name, gaps in out.unseen.items()}
    # All of them may hang at one recorder with one session: 14 visits of 5 s, and the period.
    assert max(unseen.values()) <= 20 + 14 * 5 * 4 / 3, unseen


def test_few_surplus_cameras_cost_few_connections_and_many_are_seen_as_fast_as_sessions_go() -> None:
    quick = Plan(0.1, 0.9, 0.02)
    few = play([quick] * 7, limits(2), 600)
    assert few.connects <= 7 + 600 * 5 / 20 * 1.2, "five of seven are away for about 20 s each"
    assert all(len(visits) >= 18 for visits in few.visits.values())
    many = play([quick] * 200, limits(10), 600)
    # 200 visits of 1.02 s over ten sessions.
    assert all(max(b - a for a, b in pairwise(visits)) <= 24 * SECOND for visits in many.visits.values())
    assert max(max(unseen) for unseen in few.unseen.values()) <= 22 * SECOND


async def test_2000_cameras_over_50_sessions_are_each_seen_within_a_minute_and_a_half() -> None:
    """As fast as the box may connect: 25 a second."""
    clock = AlarmClock()
    config = IngestConfig(platform_sessions={"p": 50})
    gate = Gate(clock, guest_limits(config, ()))
    dead = {f"c{number}" for number in range(0, 2000, 20)}
    cameras = [
        SimCamera(
            Visitor(f"c{number}", f"h{number // 40}", "p", f"n{number // 40}"),
            gate,
            clock,
            handshake_s=0.3,
            key_s=0.5 + number % 7 * 0.1,
            teardown_s=0.05,
            up=lambda up=f"c{number}" not in dead: up,  # type: ignore[misc]
        )
        for number in range(2000)
    ]
    most = 0

    def look() -> bool:
        nonlocal most
        most = max(most, sum(camera.inside for camera in cameras))
        return False

    async with running(cameras):
        for second in range(1, 301):
            await clock.run_until(second)
            look()
        assert most == 50
        alive = [camera for camera in cameras if camera.visitor.source_id not in dead]
        gaps = [max(b - a for a, b in pairwise((0.0, *camera.visits, 300.0))) for camera in alive]
        assert max(gaps) <= 130, "the first rounds, when the dead are tried as often as the others, included"
        late = [
            max(b - a for a, b in pairwise([*(v for v in camera.visits if v > 100), 300.0])) for camera in alive
        ]
        assert max(late) <= 110
        assert len(gate.admission.patrol._due) <= 52


async def test_patrol_ends_when_the_limit_grows_and_sessions_stay() -> None:
    clock = AlarmClock()
    gate = Gate(clock, limits(2))
    cameras = [
        SimCamera(Visitor(f"c{n}", "h", "p"), gate, clock, handshake_s=0.1, key_s=0.5, up=lambda: True)
        for n in range(7)
    ]
    async with running(cameras):
        await clock.run_until(200)
        assert all(camera.visits and camera.turns.on_patrol for camera in cameras)
        gate.change_limits(limits(7))
        await clock.run_until(210)
        assert all(camera.live for camera in cameras)
        visits = sum(len(camera.visits) for camera in cameras)
        await clock.run_until(900)
        assert sum(len(camera.visits) for camera in cameras) == visits
        assert gate.admission.due_ns() is None


async def test_patrol_ends_when_cameras_leave() -> None:
    clock = AlarmClock()
    gate = Gate(clock, limits(2))
    cameras = [
        SimCamera(Visitor(f"c{n}", "h", "p"), gate, clock, handshake_s=0.1, key_s=0.5, up=lambda: True)
        for n in range(5)
    ]
    async with running(cameras[:2]):
        async with running(cameras[2:]):
            await clock.run_until(200)
            assert all(camera.visits for camera in cameras)
        await clock.run_until(230)
        assert all(camera.live for camera in cameras[:2])
        visits = [len(camera.visits) for camera in cameras[:2]]
        await clock.run_until(900)
        assert [len(camera.visits) for camera in cameras[:2]] == visits


async def test_visit_that_shows_nothing_ends_as_a_failure_with_its_reason() -> None:
    clock = AlarmClock()
    gate = Gate(clock, limits(1))
    mute = SimCamera(Visitor("mute", "h", "p"), gate, clock, handshake_s=0.1, key_s=1e6, up=lambda: True)
    hangs = SimCamera(Visitor("hangs", "h", "p"), gate, clock, handshake_s=1e6, up=lambda: True)
    good = SimCamera(Visitor("good", "h", "p"), gate, clock, handshake_s=0.1, key_s=0.5, up=lambda: True)
    async with running([mute, hangs, good]):
        await clock.run_until(300)
        assert len(good.visits) >= 4
        assert mute.turns.misses >= 2
        assert hangs.turns.misses == 0, "it never came to a picture: the host is to blame"
        assert not mute.visits
        assert not hangs.visits


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
