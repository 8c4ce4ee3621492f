"""Admission: who may connect next. Pure: requests and `now` in, places out; no clock, task or lock inside.

A place takes all that it needs at once (a token of the box, an opening, a session of its host, platform and
recorder) or nothing: none is held while another is waited for. Visitors that need the same stand in one lane;
lanes with the same platform form a group. A lane whose host or recorder is full is parked there, and one is woken
per session given back; a group whose platform is full leaves the ring. So a blocked crowd costs nobody a look.

Order: groups take turns, so that no platform holds the places of others. Within a group the favoured go first
(`Visitor.rank`: lost a moment ago before never live), and groups with such come before those without. Every fourth
turn of the box goes round all groups, and every fourth one of a group to its oldest visitor: nobody starves.

Where all sessions of a place are in use and others wait, `recall` names those whose visit is over (Patrol).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Final

from contracts.instant import MINUTE, SECOND
from ingest.guest.limits import GuestLimits
from ingest.guest.patrol import Patrol
from ingest.guest.place import Bound, Group, Host, Lane, Phase, Place, Visitor

_FAIR_EVERY: Final = 4
_FORGET_NS: Final = 10 * MINUTE
_HOST_FAILURES: Final = frozenset({"unreachable", "stall", "platform_unreachable"})
"""Ends of a handshake that speak of the host (or of the platform that names it), not of the camera."""


class Admission:
    """The places of a box. `waiting`, `opening`, `open` count them. All times: monotonic ns."""

    def __init__(self, limits: GuestLimits) -> None:
        self.limits = limits
        self.waiting = 0
        self.patrol = Patrol(limits)
        self._inside: dict[Place, None] = {}
        self._box = Bound(0, limits.openings)
        self._failing = Bound(0, max(1, limits.openings // 2) if limits.openings else 0)
        self._platforms: dict[str, Group] = {}
        self._hosts: dict[str, Host] = {}
        self._nvrs: dict[tuple[str, str], Bound] = {}
        self._lanes: dict[tuple[str, str, str, bool], Lane] = {}
        self._ring: dict[Group, None] = {}
        self._lost_ring: dict[Group, None] = {}
        self._timers: list[tuple[int, str]] = []
        self._full_again_ns = 0
        self._turns = 0
        self._order = 0

    @property
    def opening(self) -> int:
        """Places in the handshake."""
        return self._box.openings

    @property
    def open(self) -> int:
        """Places whose session plays."""
        return self._box.sessions - self._box.openings

    @property
    def dead_hosts(self) -> tuple[str, ...]:
        """Hosts that are taken for dead."""
        return tuple(name for name, host in self._hosts.items() if host.dead)

    def dead_reason(self, host: str) -> str:
        """Why this host is taken for dead, "" when it is not."""
        known = self._hosts.get(host)
        return known.reason if known is not None and known.dead else ""

    def used(self) -> Iterator[tuple[str, int, int]]:
        """Sessions and openings in use at each place that others have: ("host x", sessions, openings), ..."""
        for key, group in self._platforms.items():
            yield f"platform {key}", group.bound.sessions, group.bound.openings
        for name, host in self._hosts.items():
            yield f"host {name}", host.sessions, host.openings
        for (platform, nvr), bound in self._nvrs.items():
            yield f"nvr {platform}/{nvr}", bound.sessions, bound.openings

    def __len__(self) -> int:
        """Everything that is remembered: lanes, groups, hosts, recorders, timers; follows what is in use."""
        named = len(self._lanes) + len(self._platforms) + len(self._hosts) + len(self._nvrs)
        return named + len(self._timers) + len(self._ring)

    def ask(self, visitor: Visitor, now_ns: int) -> Place:
        """Stand in line; `grant` says when it is your turn."""
        lane = self._lane(visitor)
        self._order += 1
        place = Place(visitor, lane, visitor.rank(now_ns, self._order), self._order, now_ns)
        lane.favoured.put(place, place.rank)
        lane.oldest.put(place, (place.order,))
        self._count_waiting(lane, 1)
        self._list(lane)
        return place

    def hurry(self, place: Place, now_ns: int) -> None:
        """Let a waiting one go before the others, as if it were lost just now."""
        if place.phase is Phase.WAITING:
            place.rank = (0, -now_ns)
            place.lane.favoured.put(place, place.rank)
            self._list(place.lane)

    def opened(self, place: Place) -> None:
        """The handshake is over and the session plays."""
        if place.phase is not Phase.OPENING:
            return
        place.phase = Phase.OPEN
        for bound in self._all_bounds(place.lane):
            bound.openings -= 1
        host = place.lane.host
        if host is not None:
            host.answered()
        self._wake_all(place.lane)

    def leave(self, place: Place, now_ns: int, reason: str = "") -> None:
        """Give the place back, whatever its phase; harmless when done twice. `reason`: code of what ended it."""
        phase, lane, host = place.phase, place.lane, place.lane.host
        if phase is Phase.GONE:
            return
        place.phase = Phase.GONE
        if phase is Phase.WAITING:
            lane.favoured.discard(place)
            lane.oldest.discard(place)
            self._count_waiting(lane, -1)
            self._list(lane)
        else:
            self._inside.pop(place, None)
            self.patrol.leave(place)
            for bound in self._all_bounds(lane):
                bound.sessions -= 1
                bound.openings -= phase is Phase.OPENING
            if host is not None and phase is Phase.OPENING and reason in _HOST_FAILURES:
                if host.failed(place.visitor.source_id, reason, now_ns, probe=place.probe):
                    heapq.heappush(self._timers, (host.probe_ns, lane.key[2]))
            elif host is not None and phase is Phase.OPENING and reason:
                # It refused, or spoke nonsense: at least it speaks.
                host.answered()
        self._wake_all(lane)
        self._forget(lane)

    def grant(self, now_ns: int) -> list[Place]:
        """Give out what may be given out now; each place's phase becomes OPENING."""
        self._wake_probes(now_ns)
        granted: list[Place] = []
        while self._token_ns() <= now_ns and not self._box.full:
            group = self._next_group()
            if group is None:
                break
            place = self._first_of(group)
            if place is None:
                continue
            self._take(place, now_ns)
            granted.append(place)
        return granted

    def recall(self, now_ns: int) -> list[Place]:
        """Whose visit is over because others wait; each is named once, and keeps its place until it is left."""
        return self.patrol.recall(now_ns)

    def due_ns(self) -> int | None:
        """When `grant` or `recall` has something to do although nobody came or left; None when never."""
        dues = [self._timers[0][0]] if self._timers else []
        if self._ring and not self._box.full:
            dues.append(self._token_ns())
        recall_ns = self.patrol.due_ns()
        if recall_ns is not None:
            dues.append(recall_ns)
        return min(dues, default=None)

    def change_limits(self, limits: GuestLimits, now_ns: int) -> None:
        """Take other limits; no session is ended for higher ones, `recall` names those over a lower one."""
        self.limits = limits
        self._box.openings_max = limits.openings
        self._failing.openings_max = max(1, limits.openings // 2) if limits.openings else 0
        for key, group in self._platforms.items():
            group.bound.sessions_max, group.bound.openings_max = self._group_limits(key)
        for host in self._hosts.values():
            host.sessions_max, host.openings_max = limits.host_sessions, limits.host_openings
        for (platform, _), bound in self._nvrs.items():
            bound.sessions_max = limits.of_platform(platform).nvr_sessions
        for name in [
            name for name, host in self._hosts.items() if not host.users and now_ns - host.failed_ns > _FORGET_NS
        ]:
            if not self._hosts[name].sessions:
                del self._hosts[name]
        self.patrol.use(limits, self._inside)
        for lane in list(self._lanes.values()):
            self._wake_all(lane)

    # --- lanes and their bounds

    def _lane(self, visitor: Visitor) -> Lane:
        group_key = visitor.platform or f"host:{visitor.host}"
        key = (group_key, visitor.nvr, visitor.host, visitor.failing)
        lane = self._lanes.get(key)
        if lane is not None:
            return lane
        group = self._platforms.get(group_key)
        if group is None:
            group = self._platforms[group_key] = Group(group_key, Bound(*self._group_limits(group_key)))
        bounds: list[Bound] = []
        host: Host | None = None
        if visitor.host:
            host = self._hosts.get(visitor.host)
            if host is None:
                host = Host(visitor.host, self.limits.host_sessions, self.limits.host_openings)
                self._hosts[visitor.host] = host
            bounds.append(host)
        if visitor.nvr:
            nvr_key = (visitor.platform, visitor.nvr)
            if nvr_key not in self._nvrs:
                self._nvrs[nvr_key] = Bound(self.limits.of_platform(visitor.platform).nvr_sessions)
            bounds.append(self._nvrs[nvr_key])
        if visitor.failing:
            bounds.append(self._failing)
        lane = self._lanes[key] = Lane(key, group, tuple(bounds), host)
        for bound in lane.shared:
            bound.users += 1
        return lane

    def _group_limits(self, key: str) -> tuple[int, int]:
        if key.startswith("host:"):
            return 0, 0
        return self.limits.of_platform(key).sessions, self.limits.platform_openings

    def _count_waiting(self, lane: Lane, step: int) -> None:
        self.waiting += step
        for bound in lane.shared:
            bound.waiting += step

    def _all_bounds(self, lane: Lane) -> tuple[Bound, ...]:
        return (self._box, *lane.shared)

    def _forget(self, lane: Lane) -> None:
        """Drop a lane in which nobody waits, and the bounds that nobody uses any more."""
        if len(lane.favoured) or self._lanes.get(lane.key) is not lane:
            self._drop_idle(lane)
            return
        if lane.parked_on is not None:
            lane.parked_on.parked.pop(lane, None)
            lane.parked_on = None
        del self._lanes[lane.key]
        for bound in lane.shared:
            bound.users -= 1
        self._drop_idle(lane)

    def _drop_idle(self, lane: Lane) -> None:
        group_key, nvr, host, _ = lane.key
        if lane.group.bound.idle and self._platforms.get(group_key) is lane.group:
            del self._platforms[group_key]
            self._ring.pop(lane.group, None)
            self._lost_ring.pop(lane.group, None)
        if lane.host is not None and lane.host.idle and self._hosts.get(host) is lane.host:
            del self._hosts[host]
        platform = "" if group_key.startswith("host:") else group_key
        bound = self._nvrs.get((platform, nvr))
        if bound is not None and bound.idle:
            del self._nvrs[platform, nvr]

    # --- whose turn it is

    def _list(self, lane: Lane) -> None:
        """Put a lane where its first visitor belongs; a parked or empty one is not listed."""
        group = lane.group
        first, oldest = lane.favoured.first(), lane.oldest.first()
        if first is None or oldest is None or lane.parked_on is not None:
            group.favoured.discard(lane)
            group.oldest.discard(lane)
        else:
            group.favoured.put(lane, first.rank)
            group.oldest.put(lane, (oldest.order,))
        self._seat(group)
        self.patrol.look(lane)

    def _seat(self, group: Group) -> None:
        """A group is in the ring while it has a lane that may be asked and its platform is not full."""
        lane = None if group.bound.full else group.favoured.first()
        first = lane.favoured.first() if lane is not None else None
        if first is None:
            self._ring.pop(group, None)
            self._lost_ring.pop(group, None)
            return
        self._ring.setdefault(group)
        if first.rank[0] == 0:
            self._lost_ring.setdefault(group)
        else:
            self._lost_ring.pop(group, None)

    def _next_group(self) -> Group | None:
        fair = self._turns % _FAIR_EVERY == _FAIR_EVERY - 1
        ring = self._ring if fair or not self._lost_ring else self._lost_ring
        return next(iter(ring), None)

    def _first_of(self, group: Group) -> Place | None:
        """The group's next visitor, or None after its lane had to be parked."""
        fair = group.turns % _FAIR_EVERY == _FAIR_EVERY - 1
        lane = (group.oldest if fair else group.favoured).first()
        assert lane is not None, "a group in the ring has a lane"
        for bound in lane.bounds:
            if bound.full:
                lane.parked_on = bound
                bound.parked[lane] = None
                self._list(lane)
                self._wake_all(lane)
                return None
        place = (lane.oldest if fair else lane.favoured).first()
        assert place is not None, "a listed lane has a visitor"
        return place

    def _take(self, place: Place, now_ns: int) -> None:
        lane, group = place.lane, place.lane.group
        lane.favoured.discard(place)
        lane.oldest.discard(place)
        self._count_waiting(lane, -1)
        place.phase = Phase.OPENING
        place.probe = lane.host is not None and lane.host.dead
        for bound in self._all_bounds(lane):
            bound.sessions += 1
            bound.openings += 1
        self._inside[place] = None
        self.patrol.begin(place, now_ns)
        self._full_again_ns = max(self._full_again_ns, now_ns) + self._interval_ns
        self._turns += 1
        group.turns += 1
        self._list(lane)
        for ring in (self._ring, self._lost_ring):
            if group in ring:
                del ring[group]
                ring[group] = None
        self._wake_all(lane)
        self._forget(lane)

    # --- tokens and waking

    @property
    def _interval_ns(self) -> int:
        return max(1, round(SECOND / self.limits.rate_per_s))

    def _token_ns(self) -> int:
        """When the next token is there: `burst` of them at most are saved up."""
        return self._full_again_ns - (self.limits.burst - 1) * self._interval_ns

    def _wake_all(self, lane: Lane) -> None:
        """Whatever of a lane's needs is free again wakes one lane that is parked there; that one, once asked,
        wakes the next, so no wake-up is lost and none is wasted on a crowd."""
        for bound in lane.bounds:
            self._wake(bound)
        self._seat(lane.group)
        self.patrol.look(lane)

    def _wake(self, bound: Bound) -> None:
        if bound.parked and not bound.full:
            self._list(bound.wake_next())

    def _wake_probes(self, now_ns: int) -> None:
        while self._timers and self._timers[0][0] <= now_ns:
            _, name = heapq.heappop(self._timers)
            host = self._hosts.get(name)
            if host is not None and host.probe_ns <= now_ns:
                host.closed = False
                self._wake(host)
