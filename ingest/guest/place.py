"""What waits for a connection and what it needs: a visitor, its place, and the bounded things a place takes up."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from random import Random
from typing import Final

from contracts.instant import MINUTE, SECOND
from ingest.guest.heap import MovableHeap

LOST_RECENTLY_NS: Final = 10 * MINUTE
"""A camera whose healthy session ended within this goes before those that never were live."""
_TRIES_AS_LOST: Final = 3
_DEAD_AFTER: Final = 3
_PROBE_FIRST_NS: Final = 1 * SECOND
_PROBE_MAX_NS: Final = 10 * SECOND


@dataclass(frozen=True, slots=True)
class Visitor:
    """A camera that wants a session. `host` may be "" while nobody knows it (a play URL is asked for later).

    `lost_ns`: when its healthy session ended, by the monotonic clock; None for one that never was live or was
    refused. `failures` in a row. `visited_ns`: its last visit, when it is visited in turn (patrol).
    """

    source_id: str
    host: str = ""
    platform: str = ""
    nvr: str = ""
    lost_ns: int | None = None
    failures: int = 0
    visited_ns: int | None = None

    def rank(self, now_ns: int, order: int) -> tuple[int, int]:
        """Who goes first: lost a moment ago (the latest first), then new ones in order of arrival, then visits in
        turn (longest unseen first), then what fails again and again."""
        recent = self.lost_ns is not None and now_ns - self.lost_ns <= LOST_RECENTLY_NS
        if recent and self.failures <= _TRIES_AS_LOST:
            return 0, -(self.lost_ns or 0)
        if self.visited_ns is not None:
            return 2, self.visited_ns
        return (1, order) if self.failures == 0 else (3, order)

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
    wait for it, first come first served.
    """

    __slots__ = ("openings", "openings_max", "parked", "sessions", "sessions_max", "users")

    def __init__(self, sessions_max: int = 0, openings_max: int = 0) -> None:
        self.sessions_max = sessions_max
        self.openings_max = openings_max
        self.sessions = 0
        self.openings = 0
        self.users = 0
        self.parked: dict[Lane, None] = {}

    @property
    def full(self) -> bool:
        """Whether nobody may come in now."""
        return 0 < self.sessions_max <= self.sessions or 0 < self.openings_max <= self.openings

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
        self.failing: set[str] = set()
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
            self.failing.add(source_id)
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
        self.failing.clear()
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
    """A visitor's place: waiting, then held until it is left. `probe`: it tries a host that is taken for dead."""

    visitor: Visitor
    lane: Lane
    rank: tuple[int, int]
    order: int
    phase: Phase = Phase.WAITING
    probe: bool = False
