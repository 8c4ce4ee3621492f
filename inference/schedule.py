"""Schedule: which waiting picture is worth the next decode. Pure: headers and `now` in, choices out.

Each camera has a freshness bound. A waiting picture's claim is

    claim = (now - time of the camera's last analysed picture) / bound * urgency

and the greatest claim goes first. Age grows without limit and urgency is bounded, so every waiting camera is
picked in the end: nobody starves, and under overload all ages stretch alike. A picture that waits is replaced by
a newer one of its camera (latest wins); a camera that is slow or silent has none waiting and costs nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from contracts.frame import FrameHeader
from contracts.instant import SECOND, Instant

URGENCY_MAX = 8.0
"""A suspected camera counts as so many times older than it is, at most."""


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


class Scheduler:
    """Waiting pictures of one shard of cameras, at most one per camera.

    `dropped` counts by reason: `replaced` (a newer picture came first), `stale` (older than `age_max_s`),
    `not_key` (needs earlier pictures to decode), `gone` (its camera left the catalogue).
    """

    def __init__(self, *, bound_s: float, rest_s: float, age_max_s: float) -> None:
        """`bound_s`: freshness bound of a camera without its own; `rest_s`: no look sooner, unless suspected."""
        self._bound_ns = round(bound_s * SECOND)
        self._rest_ns = round(rest_s * SECOND)
        self._age_max_ns = round(age_max_s * SECOND)
        self._cameras: dict[str, _Camera] = {}
        self._waiting: dict[str, FrameHeader] = {}
        self._turn = 0
        self.dropped: dict[str, int] = {}

    def __len__(self) -> int:
        """Pictures that wait."""
        return len(self._waiting)

    def bound(self, source_id: str, bound_s: float, now: Instant) -> None:
        """Give a camera its own freshness bound."""
        self._camera(source_id, now).bound_ns = max(1, round(bound_s * SECOND))

    def announce(self, header: FrameHeader, now: Instant) -> None:
        """A picture waits at the other end of the link."""
        if not header.key:
            self._drop("not_key")
            return
        self._camera(header.source_id, now)
        old = self._waiting.get(header.source_id)
        if old is not None:
            if old.sequence == header.sequence and old.event_time == header.event_time:
                return
            self._drop("replaced")
        self._waiting[header.source_id] = header

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
        if self._waiting.pop(source_id, None) is not None:
            self._drop("gone")

    def keep_only(self, source_ids: Iterable[str]) -> None:
        """Forget every camera that is not in the catalogue any more."""
        for gone in self._cameras.keys() - set(source_ids):
            self.forget(gone)

    def pick(self, limit: int, now: Instant) -> list[FrameHeader]:
        """Up to `limit` waiting pictures, greatest claim first; they wait no longer and count as looked at."""
        self._drop_stale(now)
        ready = (header for header in self._waiting.values() if self._rested(header.source_id, now))
        chosen = heapq.nlargest(limit, ready, key=lambda header: self._rank(header, now))
        for header in chosen:
            del self._waiting[header.source_id]
            camera = self._cameras[header.source_id]
            self._turn += 1
            camera.looked_at, camera.turn = now, self._turn
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

    def _rank(self, header: FrameHeader, now: Instant) -> tuple[float, int]:
        return self.claim(header, now), -self._cameras[header.source_id].turn

    def _rested(self, source_id: str, now: Instant) -> bool:
        camera = self._cameras[source_id]
        return now < camera.suspected_until or now - camera.looked_at >= self._rest_ns

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
            first = Instant(now - max(self._bound_ns, self._rest_ns))
            camera = self._cameras[source_id] = _Camera(self._bound_ns, first, Instant(0))
        return camera

    def _drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
