"""Schedule: which waiting picture is worth the next decode. Pure: headers and `now` in, choices out.

Each camera has a freshness bound. A waiting picture's claim is

    claim = (now - time of the camera's last analysed picture) / bound * urgency

and the greatest claim goes first. Age grows without limit and urgency is bounded, so every waiting camera is
picked in the end: nobody starves, and under overload all ages stretch alike. A picture that waits is replaced by
a newer one of its camera (latest wins); a camera that is slow or silent has none waiting and costs nothing.

Before all claims go cameras that somebody asks to see (LookRequest), and, in every second place at most, those
whose headers or notices have become suspicious, then those that move far more than usual, the most active first:
one look each. Suspects have a greater claim for a while then.

What a notice speaks of happened after the last picture: it is the next one that goes first.

A promoted camera's pictures are all decoded, in order (`follow`); which of them are looked at is a matter of
claims again, like a picture of any camera, so that it takes no more than a suspect's share of the looks. But one
under the greatest suspicion (a fire) is looked at every `promoted_look_s`, in every second place at most: what
proves a fire is several looks within seconds, which claims alone give as seldom as the box is overloaded.
"""

from __future__ import annotations

import enum
import heapq
import itertools
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contracts.frame import ActivityNotice, FrameHeader, Suspicion
from contracts.instant import SECOND, Instant
from inference.chains import Chains

URGENCY_MAX = 8.0
"""A suspected camera counts as so many times older than it is, at most."""
CALLING_ACTIVITY = 5.0
"""Four of a camera's own spreads above its normal: active enough to go before its claim."""
_EVER = Instant(0)
_CHAIN_IDLE_NS = 10 * SECOND
_CALLED_AGAIN_NS = 10 * SECOND
"""A suspicion that comes and goes, or activity, puts its camera before its claim this often at most."""


class _Call(enum.IntEnum):
    """Why a camera goes before its claim."""

    NONE = 0
    ACTIVE = 1
    SUSPICIOUS = 2
    ASKED = 3


@dataclass(slots=True)
class _Camera:
    """What is remembered of a camera between its pictures."""

    bound_ns: int
    looked_at: Instant
    """When its last picture was picked; for a new camera, a bound before it was first heard of."""
    suspected_until: Instant
    weight: float = 1.0
    turn: int = 0
    """The how manieth pick of all its last one was: among equal claims the earlier goes first again."""
    call: _Call = _Call.NONE
    called_since: Instant = _EVER
    """The call is for a picture that arrived since then."""
    called_by: float = 1.0
    """The greatest activity since the call."""
    activity: float = 1.0
    suspicion: Suspicion = Suspicion.NONE
    """What its last header or notice said."""
    suspicious_at: Instant | None = None
    """When a suspicion last put it before its claim..."""
    active_at: Instant | None = None
    """...and when activity did."""

    def calls(self, header: FrameHeader) -> bool:
        """Whether this is a picture that goes before the camera's claim."""
        return self.call is not _Call.NONE and header.arrival_time >= self.called_since


class Scheduler:
    """Waiting pictures of one shard of cameras: at most one per camera, and the chains of promoted ones.

    `dropped` counts by reason: `replaced` (a newer picture came first), `stale` (older than `age_max_s`),
    `not_key` (needs earlier pictures to decode), `gone` (its camera left the catalogue), and those of Chains.
    """

    def __init__(
        self,
        *,
        bound_s: float,
        rest_s: float,
        age_max_s: float,
        suspect_s: float = 30.0,
        promoted_max: int = 8,
        promoted_look_s: float = 0.8,
        decoders: int = 1,
    ) -> None:
        """`bound_s`: freshness bound of a camera without its own; `rest_s`: no look sooner, unless suspected.

        `suspect_s`: how long a header's suspicion raises the claim. `promoted_max` cameras have a chain at once;
        one is looked at every `promoted_look_s` at most. `decoders`: among them the chains are shared out.
        """
        self._bound_ns = round(bound_s * SECOND)
        self._rest_ns = round(rest_s * SECOND)
        self._age_max_ns = round(age_max_s * SECOND)
        self._suspect_ns = round(suspect_s * SECOND)
        self._promoted_look_ns = round(promoted_look_s * SECOND)
        self._cameras: dict[str, _Camera] = {}
        self._bounds: dict[str, int] = {}
        """Of cameras that have one of their own, in ns."""
        self._waiting: dict[str, FrameHeader] = {}
        self._called: set[str] = set()
        self._suspicious_went = False
        self._turn = 0
        self.dropped: dict[str, int] = {}
        self.chains = Chains(
            chains_max=promoted_max,
            homes=decoders,
            age_max_ns=self._age_max_ns,
            idle_ns=_CHAIN_IDLE_NS,
            dropped=self.dropped,
        )

    def __len__(self) -> int:
        """Cameras of which a picture waits for a look; chains do not count."""
        return len(self._waiting)

    def bound(self, source_id: str, bound_s: float) -> None:
        """Give a camera its own freshness bound, whether it was heard of or not."""
        bound_ns = max(1, round(bound_s * SECOND))
        if bound_ns == self._bound_ns:
            self._bounds.pop(source_id, None)
        else:
            self._bounds[source_id] = bound_ns
        camera = self._cameras.get(source_id)
        if camera is not None:
            camera.bound_ns = bound_ns

    def announce(self, header: FrameHeader, now: Instant) -> bool:
        """A picture waits at the other end of the link. True when it makes its camera newly suspicious."""
        if not header.promoted and not header.key:
            self._drop("not_key")
            return False
        newly = self._note(header.source_id, header.activity, header.suspicion, header.arrival_time, now)
        if header.promoted and self.chains.announce(header, now):
            return newly
        if self.chains and not header.promoted:
            self.chains.ordinary(header.source_id)
        old = self._waiting.get(header.source_id)
        if old is not None:
            if old.sequence == header.sequence and old.event_time == header.event_time:
                return newly
            self._drop("replaced")
        self._waiting[header.source_id] = header
        return newly

    def notice(self, notice: ActivityNotice, now: Instant) -> bool:
        """Something shows between a camera's pictures. True when it makes the camera newly suspicious."""
        return self._note(notice.source_id, notice.activity, notice.suspicion, notice.at, now)

    def ask(self, source_id: str, not_before: Instant, now: Instant) -> bool:
        """Somebody waits for a look at this camera: its next picture goes before all others.

        True when a picture that arrived since `not_before` waits, or the camera is promoted: one will come.
        """
        camera = self._camera(source_id, now)
        camera.call, camera.called_since = _Call.ASKED, _EVER
        self._called.add(source_id)
        waiting = self._waiting.get(source_id)
        return self.chains.has(source_id) or (waiting is not None and waiting.arrival_time >= not_before)

    def suspect(self, source_id: str, until: Instant, weight: float, now: Instant) -> None:
        """Look at this camera sooner until then; `weight` 1..URGENCY_MAX. A stronger suspicion stays."""
        camera = self._camera(source_id, now)
        weight = min(max(weight, 1.0), URGENCY_MAX)
        if now >= camera.suspected_until or weight >= camera.weight:
            camera.weight = weight
            camera.suspected_until = max(until, camera.suspected_until if weight == camera.weight else until)

    def forget(self, source_id: str) -> None:
        """The camera left the catalogue."""
        self._cameras.pop(source_id, None)
        self._bounds.pop(source_id, None)
        self._called.discard(source_id)
        waited = self.chains.forget(source_id)
        if waited:
            self.dropped["gone"] = self.dropped.get("gone", 0) + waited
        if self._waiting.pop(source_id, None) is not None:
            self._drop("gone")

    def keep_only(self, source_ids: Iterable[str]) -> None:
        """Forget every camera that is not in the catalogue any more."""
        for gone in (self._cameras.keys() | self._bounds.keys()) - set(source_ids):
            self.forget(gone)

    def pick(self, limit: int, now: Instant) -> list[FrameHeader]:
        """Up to `limit` waiting pictures, greatest claim first; they wait no longer and count as looked at."""
        self._drop_stale(now)
        chosen = self._in_turn(limit, *self._called_and_best(limit, now))
        for header in chosen:
            del self._waiting[header.source_id]
            self._looked_at(header, now)
        return chosen

    def follow(
        self, limit: int, looks_max: int, now: Instant, *, decoder: int = 0
    ) -> list[tuple[FrameHeader, bool]]:
        """The next pictures of the chains of this decoder, in order, each with whether to look at it.

        At most `looks_max` are looked at, one per camera: those under the greatest suspicion in every second place
        at most, and those whose claim is among the greatest of all that wait.
        """
        headers = self.chains.take(decoder, limit, now)
        due = {each.source_id: each for each in headers if self._look_due(each.source_id, now)}
        if not due or looks_max < 1:
            return [(header, False) for header in headers]
        first = self._gravest(due.values(), looks_max, now)
        looks = {id(header) for header in first}
        rivals = self._called_and_best(looks_max, now)
        ranked = sorted(
            (each for each in itertools.chain(due.values(), *rivals) if id(each) not in looks),
            key=lambda each: self._order(each, now),
            reverse=True,
        )
        looks.update(id(header) for header in ranked[: looks_max - len(first)])
        for header in due.values():
            if id(header) in looks:
                self._looked_at(header, now)
        return [(header, id(header) in looks) for header in headers]

    def _gravest(self, due: Iterable[FrameHeader], looks_max: int, now: Instant) -> list[FrameHeader]:
        """Those under the greatest suspicion, longest unseen first, as many as have every second place."""
        grave = [
            header
            for header in due
            if (camera := self._cameras[header.source_id]).weight >= URGENCY_MAX and now < camera.suspected_until
        ]
        grave.sort(key=lambda header: self._rank(header, now), reverse=True)
        first = grave[: (looks_max + (not self._suspicious_went)) // 2]
        self._suspicious_went = bool(first)
        return first

    def _called_and_best(self, limit: int, now: Instant) -> tuple[list[FrameHeader], list[FrameHeader]]:
        """Waiting pictures of cameras that go before their claim, and the greatest claims of the others."""
        called = [
            waiting
            for name in self._called
            if (waiting := self._waiting.get(name)) is not None
            and self._cameras[name].calls(waiting)
            and not self.chains.waits(name)
        ]
        called.sort(key=lambda header: self._order(header, now), reverse=True)
        others = (
            header
            for header in self._waiting.values()
            if not (header.source_id in self._called and self._cameras[header.source_id].calls(header))
            and self._ready(header.source_id, now)
        )
        return called, heapq.nlargest(limit, others, key=lambda header: self._rank(header, now))

    def _in_turn(
        self, limit: int, called: Sequence[FrameHeader], others: Sequence[FrameHeader]
    ) -> list[FrameHeader]:
        """First those asked for, then suspicious ones and others by turns: neither waits for all of the other."""
        first, rest = deque(called), deque(others)
        chosen: list[FrameHeader] = []
        while len(chosen) < limit and (first or rest):
            asked = bool(first) and self._cameras[first[0].source_id].call is _Call.ASKED
            if asked or not rest or (first and not self._suspicious_went):
                chosen.append(first.popleft())
                self._suspicious_went = self._suspicious_went if asked else True
            else:
                chosen.append(rest.popleft())
                self._suspicious_went = False
        return chosen

    def claim(self, header: FrameHeader, now: Instant) -> float:
        """How overdue a look at this picture is; 1 = its camera's bound is just reached."""
        camera = self._cameras[header.source_id]
        return (now - camera.looked_at) / camera.bound_ns * self.urgency(header, now)

    def urgency(self, header: FrameHeader, now: Instant) -> float:
        """1..URGENCY_MAX, from suspicion and from the motion that ingest measured."""
        camera = self._cameras[header.source_id]
        weight = camera.weight if now < camera.suspected_until else 1.0
        # Activity 1 is normal; three times the normal doubles the claim, more does no more.
        active = min(max(1.0, 0.5 + header.activity / 2), 2.0)
        return min(weight * active, URGENCY_MAX)

    def overdue(self, now: Instant) -> int:
        """Waiting pictures whose camera is past its bound."""
        return sum(
            now - self._cameras[source_id].looked_at > self._cameras[source_id].bound_ns
            for source_id in self._waiting
        )

    def _order(self, header: FrameHeader, now: Instant) -> tuple[int, float, float, int]:
        camera = self._cameras[header.source_id]
        called = camera.calls(header)
        by_activity = called and camera.call is not _Call.ASKED
        return (
            int(camera.call) if called else 0,
            camera.called_by if by_activity else 0.0,
            *self._rank(header, now),
        )

    def _rank(self, header: FrameHeader, now: Instant) -> tuple[float, int]:
        return self.claim(header, now), -self._cameras[header.source_id].turn

    def _ready(self, source_id: str, now: Instant) -> bool:
        """Rested, and what waits of its chain, which an ordinary picture would overtake, is decoded."""
        camera = self._cameras[source_id]
        rested = now < camera.suspected_until or now - camera.looked_at >= self._rest_ns
        return rested and not (self.chains and self.chains.waits(source_id))

    def _look_due(self, source_id: str, now: Instant) -> bool:
        camera = self._cameras[source_id]
        return camera.call is not _Call.NONE or now - camera.looked_at >= self._promoted_look_ns

    def _looked_at(self, header: FrameHeader, now: Instant) -> None:
        camera = self._cameras[header.source_id]
        self._turn += 1
        camera.looked_at, camera.turn = now, self._turn
        if camera.calls(header):
            camera.call = _Call.NONE
            self._called.discard(header.source_id)

    def _note(self, source_id: str, activity: float, suspicion: Suspicion, since: Instant, now: Instant) -> bool:
        """What a header or notice says; `since`: when it showed. True when the suspicion is news.

        A suspicion that is new goes first; one that stays counts for `suspect_s`, not for ever.
        """
        camera = self._camera(source_id, now)
        suspicious = suspicion is not camera.suspicion and suspicion is not Suspicion.NONE
        rises = activity >= CALLING_ACTIVITY > camera.activity
        camera.activity, camera.suspicion = activity, suspicion
        camera.called_by = max(camera.called_by, activity)
        if suspicious and _is_over(camera.suspicious_at, now):
            camera.suspicious_at = now
            self.suspect(source_id, Instant(now + self._suspect_ns), URGENCY_MAX, now)
            self._call(source_id, camera, _Call.SUSPICIOUS, since)
            return True
        if rises and _is_over(camera.active_at, now) and _is_over(camera.suspicious_at, now):
            camera.active_at = now
            self._call(source_id, camera, _Call.ACTIVE, since)
        return False

    def _call(self, source_id: str, camera: _Camera, call: _Call, since: Instant) -> None:
        if call > camera.call:
            camera.call, camera.called_since, camera.called_by = call, since, camera.activity
            self._called.add(source_id)

    def _drop_stale(self, now: Instant) -> None:
        stale = [
            header.source_id for header in self._waiting.values() if now - header.arrival_time > self._age_max_ns
        ]
        for source_id in stale:
            del self._waiting[source_id]
            self._drop("stale")

    def _camera(self, source_id: str, now: Instant) -> _Camera:
        camera = self._cameras.get(source_id)
        if camera is None:
            # Never seen is as urgent as just at the bound, not more: a mass start must not push others out.
            bound_ns = self._bounds.get(source_id, self._bound_ns)
            first = Instant(now - max(bound_ns, self._rest_ns))
            camera = self._cameras[source_id] = _Camera(bound_ns, first, Instant(0))
        return camera

    def _drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1


def _is_over(called_at: Instant | None, now: Instant) -> bool:
    """Whether a camera may go before its claim once more for the same kind of reason."""
    return called_at is None or now - called_at >= _CALLED_AGAIN_NS
