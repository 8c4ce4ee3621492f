"""Patrol (轮巡): where only M sessions are allowed for N > M cameras, open, take a key picture, close, next.

Nothing is scheduled ahead. While visitors wait for a platform, host or recorder whose sessions are all in use, the
session that showed its key picture first is recalled, as soon as the visitor who goes next has been unseen for the
period. So few surplus cameras cost few new connections (the others dwell), many of them make every visit end with
its first key picture. When M grows or N shrinks nobody waits, nobody is recalled, and the sessions stay; when M
shrinks, those over it are recalled as well. Who goes next is Admission's to say: the longest unseen, what fails
last, every fourth turn the longest waiting.

A visit without a key picture may last `dwell_s`, and twice as long after each one in vain, so that an encoder with
rare key pictures is seen, too. A camera may stay longer (promoted, suspect), each for a bounded time, and at most
half of the sessions of a place at once, so that the patrol of the others goes on.

Pure, as Admission is. Work per event: a few heap steps; none per camera and tick.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from contracts.instant import MINUTE, MS, SECOND
from ingest.guest.heap import MovableHeap
from ingest.guest.limits import GuestLimits
from ingest.guest.place import Bound, Group, Host, Lane, Phase, Place

_DWELL_MAX_NS: Final = MINUTE
_MISSES_MAX: Final = 6
_APART_NS: Final = 40 * MS
"""Between two recalls at one place while an earlier one has not left: servers may be slow to close sessions, and
more than 25 a second are not opened either."""


class Turns:
    """Who is inside where sessions are limited. `group`: the group of a platform's bound, None for other bounds.

    `recallable`: by the time from which each may be recalled. `staying`: those that stay for a while; `leaving`:
    those that were recalled and are still there. `due_ns`: when the next one is to be recalled, None = nobody.
    """

    __slots__ = ("due_ns", "group", "leaving", "recallable", "recalled_ns", "staying")

    def __init__(self, group: Group | None) -> None:
        self.group = group
        self.recallable: MovableHeap[Place] = MovableHeap()
        self.staying: set[Place] = set()
        self.leaving: set[Place] = set()
        self.recalled_ns = 0
        self.due_ns: int | None = None


class Patrol:
    """Whose visit is over. All times: monotonic ns."""

    def __init__(self, limits: GuestLimits) -> None:
        self._due: MovableHeap[Bound] = MovableHeap()
        self.use(limits, ())

    def use(self, limits: GuestLimits, inside: Iterable[Place]) -> None:
        """Take other limits, with all who are inside now: places may have become limited, or not any more."""
        self._limits = limits
        self._period_ns = round(limits.period_s * SECOND)
        self._stay_max_ns = round(limits.stay_max_s * SECOND)
        for place in inside:
            for bound in place.lane.shared:
                if not bound.sessions_max and bound.turns is not None:
                    self._due.discard(bound)
                    bound.turns = None
            self._enter(place)
        for place in inside:
            self.look(place.lane)

    def begin(self, place: Place, now_ns: int) -> None:
        """A visit begins: it may connect now."""
        dwell_s = self._limits.of_platform(place.visitor.platform).dwell_s
        dwell_ns = round(dwell_s * SECOND) << min(place.visitor.misses, _MISSES_MAX)
        place.recallable_ns = now_ns + min(dwell_ns, max(_DWELL_MAX_NS, round(dwell_s * SECOND)))
        self._enter(place)

    def seen(self, place: Place, now_ns: int) -> None:
        """The first key picture of the visit came: it may end."""
        if place.seen or place.phase is Phase.GONE:
            return
        place.seen = True
        place.recallable_ns = max(now_ns, place.stays_ns)
        self._enter(place)
        self.look(place.lane)

    def stay(self, place: Place, until_ns: int, now_ns: int) -> bool:
        """Let a visit last until then, though others wait; the later end holds, within `stay_max_s` from the first
        wish on. False when too many stay at one of its places already, or it was recalled."""
        if place.recalled or place.phase is Phase.GONE:
            return False
        limited = [(bound, bound.turns) for bound in place.lane.shared if bound.turns is not None]
        for bound, turns in limited:
            turns.staying = {each for each in turns.staying if each.stays_ns > now_ns}
            others = len(turns.staying - {place})
            if bound.contested and others >= bound.sessions_max // 2:
                return False
        if place.stays_ns <= now_ns:
            place.stays_from_ns = now_ns
        place.stays_ns = max(place.stays_ns, min(until_ns, place.stays_from_ns + self._stay_max_ns))
        place.recallable_ns = max(place.recallable_ns, place.stays_ns)
        for _, turns in limited:
            turns.staying.add(place)
        self._enter(place)
        self.look(place.lane)
        return True

    def leave(self, place: Place) -> None:
        """A visit is over, for whatever reason."""
        for bound in place.lane.shared:
            if bound.turns is not None:
                bound.turns.recallable.discard(place)
                bound.turns.staying.discard(place)
                bound.turns.leaving.discard(place)

    def look(self, lane: Lane) -> None:
        """Something changed at the places of this lane: who waits, who is inside, how many may be."""
        for bound in lane.shared:
            if bound.turns is not None:
                self._look(bound, bound.turns)

    def recall(self, now_ns: int) -> list[Place]:
        """Whose visit is over now; each is named once."""
        recalled: list[Place] = []
        while (bound := self._due.first()) is not None and bound.turns is not None:
            due_ns, place = bound.turns.due_ns, bound.turns.recallable.first()
            if due_ns is None or due_ns > now_ns or place is None:
                break
            place.recalled = True
            for each in place.lane.shared:
                if each.turns is not None:
                    each.turns.recallable.discard(place)
                    each.turns.leaving.add(place)
                    each.turns.recalled_ns = now_ns
            recalled.append(place)
            self.look(place.lane)
        return recalled

    def due_ns(self) -> int | None:
        """When `recall` has something to do although nothing happened; None when never."""
        bound = self._due.first()
        return bound.turns.due_ns if bound is not None and bound.turns is not None else None

    def _enter(self, place: Place) -> None:
        """Put a place where it belongs at every bound whose sessions are limited."""
        if place.recalled:
            return
        group = place.lane.group
        for bound in place.lane.shared:
            if bound.sessions_max:
                if bound.turns is None:
                    bound.turns = Turns(group if bound is group.bound else None)
                bound.turns.recallable.put(place, (place.recallable_ns,))

    def _look(self, bound: Bound, turns: Turns) -> None:
        due_ns = turns.due_ns = self._recall_ns(bound, turns)
        if due_ns is None:
            self._due.discard(bound)
        else:
            self._due.put(bound, (due_ns,))

    def _recall_ns(self, bound: Bound, turns: Turns) -> int | None:
        """When the next one inside is to be recalled, None while nobody is."""
        inside = turns.recallable.first()
        if inside is None or not bound.contested:
            return None
        due_ns = inside.recallable_ns
        if bound.sessions - len(turns.leaving) <= bound.sessions_max:
            if len(turns.leaving) >= bound.waiting or (isinstance(bound, Host) and bound.dead):
                return None
            lane = turns.group.favoured.first() if turns.group is not None else bound.favoured_lane()
            first = lane.favoured.first() if lane is not None else None
            if first is None:
                return None
            due_ns = max(due_ns, self._wanted_ns(first))
        return max(due_ns, turns.recalled_ns + _APART_NS) if turns.leaving else due_ns

    def _wanted_ns(self, place: Place) -> int:
        """When somebody is to leave for this visitor: at once for one that was never seen, was lost or is hurried,
        after the period for one that was visited; and no sooner for one that failed."""
        favour, _ = place.rank
        if favour < 2:
            return place.asked_ns
        visited_ns = place.visitor.visited_ns
        since_ns = visited_ns if favour == 2 and visited_ns is not None else place.asked_ns
        return since_ns + self._period_ns
