"""How often each camera is seen on patrol: a model of events on the pure admission, and tasks behind the gate."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from contracts.instant import SECOND
from ingest.config import IngestConfig
from ingest.guest.admission import Admission
from ingest.guest.gate import Gate
from ingest.guest.limits import GuestLimits, PlatformLimits, guest_limits
from ingest.guest.place import Place, Visitor
from tests.ingest.guest.county import AlarmClock, SimCamera
from tests.ingest.guest.test_gate import running
from tests.ingest.guest.test_patrol import limits


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
