"""What waits for a connection and what it needs: a visitor, its place, and the bounded things a place takes up."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Final

from contracts.instant import MINUTE, SECOND
from ingest.guest.heap import MovableHeap

if TYPE_CHECKING:
    from ingest.guest.patrol import Turns

LOST_RECENTLY_NS: Final = 10 * MINUTE
"""A camera whose healthy session ended within this goes before those that never were live."""
_TRIES_AS_LOST: Final = 3
_DEAD_AFTER: Final = 3
_FIFO_EVERY: Final = 4
_NOBODY: Final = (9, 0)
_NOBODY_FAILS: Final[frozenset[str]] = frozenset()
_PROBE_FIRST_NS: Final = 1 * SECOND
_PROBE_MAX_NS: Final = 10 * SECOND


@dataclass(frozen=True, slots=True)
class Visitor:
    """A camera that wants a session. `host` may be "" while nobody knows it (a play URL is asked for later).

    `lost_ns`: when its healthy session ended, by the monotonic clock; None for one that never was live or was
    refused. `failures` in a row. `visited_ns`: its last visit, when it is visited in turn (patrol). `misses`: its
    last visits in a row in which no key picture came. `hurried`: somebody waits for its picture.
    """

    source_id: str
    host: str = ""
    platform: str = ""
    nvr: str = ""
    lost_ns: int | None = None
    failures: int = 0
    visited_ns: int | None = None
    misses: int = 0
    hurried: bool = False

    def rank(self, now_ns: int, order: int) -> tuple[int, int]:
        """Who goes first: lost a moment ago (the latest first), then new ones in order of arrival, then visits in
        turn (longest unseen first), then what failed. One that fails on patrol is the longest unseen one soon: it
        must not go before those that would show something."""
        if self.hurried:
            return 0, -now_ns
        recent = self.lost_ns is not None and now_ns - self.lost_ns <= LOST_RECENTLY_NS
        if recent and self.failures <= _TRIES_AS_LOST:
            return 0, -(self.lost_ns or 0)
        if self.failures:
            return 3, order
        return (1, order) if self.visited_ns is None else (2, self.visited_ns)

    @property
    def failing(self) -> bool:
        """Whether it fails again and again, so that its attempts must not take the places of others."""
        return self.failures >= _TRIES_AS_LOST


class Phase(enum.Enum):
    """The life of a place."""

    WAITING = "waiting"
    OPENING = "opening"
    """From the right to connect to the end of the handshake."""
    OPEN = "open"
    GONE = "gone"


class Bound:
    """Something of which only so much may be used at once: a host, a platform, a recorder, the whole box.

    `sessions_max` counts all places, `openings_max` those in the handshake; 0 = no limit. `parked`: the lanes that
    wait for it. `waiting`: visitors that need it and have no place yet. `turns`: of those inside, where sessions
    are limited (patrol).
    """

    __slots__ = (
        "_wakes",
        "openings",
        "openings_max",
        "parked",
        "sessions",
        "sessions_max",
        "turns",
        "users",
        "waiting",
    )

    def __init__(self, sessions_max: int = 0, openings_max: int = 0) -> None:
        self.sessions_max = sessions_max
        self.openings_max = openings_max
        self.sessions = 0
        self.openings = 0
        self.users = 0
        self.waiting = 0
        self.parked: dict[Lane, None] = {}
        self.turns: Turns | None = None
        self._wakes = 0

    @property
    def full(self) -> bool:
        """Whether nobody may come in now."""
        return 0 < self.sessions_max <= self.sessions or 0 < self.openings_max <= self.openings

    @property
    def contested(self) -> bool:
        """Whether all its sessions are in use while others wait for one, or more than all."""
        return 0 < self.sessions_max <= self.sessions - (self.waiting == 0)

    def favoured_lane(self) -> Lane | None:
        """Of the lanes that wait for it the one whose first visitor goes before the others."""
        return min(self.parked, key=_first_rank, default=None)

    def wake_next(self) -> Lane:
        """Take out the lane that may be asked next. Where sessions are limited lanes are few and go by their first
        visitors, every fourth time by arrival; where openings are, they may be thousands, and go by arrival."""
        self._wakes += 1
        by_arrival = not self.sessions_max or self._wakes % _FIFO_EVERY == 0
        lane = (None if by_arrival else self.favoured_lane()) or next(iter(self.parked))
        del self.parked[lane]
        lane.parked_on = None
        return lane

    @property
    def idle(self) -> bool:
        """Whether nobody uses it or waits for it, so that it may be forgotten."""
        return not self.users and not self.sessions


class Host(Bound):
    """A host, which may be dead: when several cameras of it fail to connect and none succeeds, one probe at a time
    goes there, after 1 s, 2 s, 4 s ... 10 s at most (jittered), and the others wait for its outcome."""

    __slots__ = ("closed", "failed_ns", "failing", "name", "probe_ns", "probes", "reason")

    def __init__(self, name: str, sessions_max: int, openings_max: int) -> None:
        super().__init__(sessions_max, openings_max)
        self.name = name
        self.failing: frozenset[str] = _NOBODY_FAILS
        self.failed_ns = 0
        self.closed = False
        self.probes = 0
        self.probe_ns = 0
        self.reason = ""

    @property
    def dead(self) -> bool:
        """Whether it is taken for dead."""
        return len(self.failing) >= _DEAD_AFTER

    @property
    def full(self) -> bool:
        """Whether nobody may come in now."""
        return (self.dead and (self.closed or self.openings > 0)) or super().full

    @property
    def idle(self) -> bool:
        """As of any bound, and nothing has to be remembered of it."""
        return super().idle and not self.failing

    def failed(self, source_id: str, reason: str, now_ns: int, *, probe: bool) -> bool:
        """A camera could not connect. True when the next probe must wait until `probe_ns`."""
        was_dead = self.dead
        if not was_dead:
            self.failing |= {source_id}
        self.failed_ns, self.reason = now_ns, reason
        if not self.dead or (was_dead and not probe):
            return False
        ceiling = min(_PROBE_MAX_NS, _PROBE_FIRST_NS << min(self.probes, 10))
        self.probes += 1
        # Made when needed: a generator takes 2.5 kB, and a county has thousands of hosts.
        share = Random(f"{self.name} {self.probes}").random()
        self.probe_ns = now_ns + ceiling // 2 + round(share * (ceiling / 2))
        self.closed = True
        return True

    def answered(self) -> None:
        """A camera of it finished its handshake."""
        self.failing = _NOBODY_FAILS
        self.closed = False
        self.probes = 0


@dataclass(eq=False, slots=True)
class Lane:
    """Visitors that need exactly the same: one queue, whose first one speaks for all.

    `parked_on`: the bound that it waits for, None while it may be asked. `favoured` by rank, `oldest` by arrival.
    """

    key: tuple[str, str, str, bool]
    group: Group
    bounds: tuple[Bound, ...]
    host: Host | None
    favoured: MovableHeap[Place] = field(default_factory=MovableHeap)
    oldest: MovableHeap[Place] = field(default_factory=MovableHeap)
    parked_on: Bound | None = None

    @property
    def shared(self) -> tuple[Bound, ...]:
        """All that it shares with other lanes, the box as a whole aside."""
        return (self.group.bound, *self.bounds)


def _first_rank(lane: Lane) -> tuple[int, int]:
    first = lane.favoured.first()
    return first.rank if first is not None else _NOBODY


@dataclass(eq=False, slots=True)
class Group:
    """All that shares a platform, or a host where there is none: the party among which turns are fair."""

    key: str
    bound: Bound
    favoured: MovableHeap[Lane] = field(default_factory=MovableHeap)
    oldest: MovableHeap[Lane] = field(default_factory=MovableHeap)
    turns: int = 0


@dataclass(eq=False, slots=True)
class Place:
    """A visitor's place: waiting, then held until it is left. `probe`: it tries a host that is taken for dead.

    Of its visit, where sessions are limited (ingest.guest.patrol): `seen`: its key picture came; `recallable_ns`:
    from when on it may be asked to leave for others; `stays_from_ns` to `stays_ns`: it stays in spite of them;
    `recalled`: it was asked to leave.
    """

    visitor: Visitor
    lane: Lane
    rank: tuple[int, int]
    order: int
    asked_ns: int
    phase: Phase = Phase.WAITING
    probe: bool = False
    seen: bool = False
    recallable_ns: int = 0
    stays_from_ns: int = 0
    stays_ns: int = 0
    recalled: bool = False
