"""The control link of a camera worker: all pictures of a camera for a while (Promote), and its past (History)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from contracts import topics, wire
from contracts.control import HistoryAnswer, HistoryOrigin, HistoryRequest, Promote, PromoteAnswer
from contracts.errors import CommandRefused, GridwhistleError
from contracts.instant import SECOND, Instant

if TYPE_CHECKING:
    from contracts.frame import Frame
    from contracts.source import Camera
    from ingest.camera import CameraReceiver
    from ingest.ring import PictureRing
    from runtime.clock import Clock
    from runtime.metrics import StageCounters

_EXPIRE_EVERY_S: Final = 0.5
_HISTORY_PICTURES_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Past:
    """Key pictures of a recording, oldest first. `ended`: why it ends with the last of them (`recording_cut`,
    `recording_slow`, `recording_untimed`), "" when the whole time was played, so that what is missing was not
    recorded."""

    pictures: list[Frame]
    ended: str = ""


class Recordings(Protocol):
    """Who can play back what a platform or recorder has kept."""

    async def pictures(
        self, camera: Camera, begin: Instant, end: Instant, pictures_max: int, clock_offset_ns: int = 0
    ) -> Past:
        """Key pictures of that time, oldest first; the camera's clock is `clock_offset_ns` before ours.

        Raises GridwhistleError when there are none to be had.
        """


class ControlDesk:
    """Answers for the cameras of one worker.

    `promoted_max` cameras are promoted at once, each for at most `promote_max_s` from now.
    """

    def __init__(
        self,
        receivers: Mapping[str, CameraReceiver],
        ring: PictureRing,
        counters: StageCounters,
        clock: Clock,
        *,
        promoted_max: int,
        promote_max_s: float,
        recordings: Recordings | None = None,
    ) -> None:
        self._receivers = receivers
        self._ring = ring
        self._counters = counters
        self._clock = clock
        self._promoted_max = promoted_max
        self._promote_max_ns = round(promote_max_s * SECOND)
        self._recordings = recordings
        self._promoted: set[str] = set()

    async def answer(self, kind: str, body: bytes) -> bytes:
        """One request, by name. Raises MalformedMessage and CommandRefused, which travel back to the asker."""
        if kind == topics.REQUEST_PROMOTE:
            return wire.encode(self.promote(wire.decode(body, Promote)))
        if kind == topics.REQUEST_HISTORY:
            return wire.encode(await self.history(wire.decode(body, HistoryRequest)))
        raise CommandRefused(f"未知的请求 {kind[:40]} (no such request)", reason="unknown_request")

    def promote(self, wish: Promote) -> PromoteAnswer:
        """Promote a camera; every refusal is an answer with its reason."""
        receiver = self._receivers.get(wish.source_id)
        try:
            if receiver is None:
                raise CommandRefused("没有这路摄像机 (no such camera here)", reason="unknown_source")
            if wish.source_id not in self._promoted and len(self._promoted) >= self._promoted_max:
                raise CommandRefused("同时提升的摄像机已达上限 (too many promoted at once)", reason="limit")
            until = Instant(min(wish.until, self._clock.now() + self._promote_max_ns))
            from_last_key = receiver.promote(until, from_last_key=wish.from_last_key)
        except CommandRefused as refused:
            self._counters.count("promotions_refused", refused.reason)
            return PromoteAnswer(source_id=wish.source_id, accepted=False, reason=refused.reason)
        self._promoted.add(wish.source_id)
        self._counters.count("promotions", wish.reason)
        return PromoteAnswer(source_id=wish.source_id, accepted=True, until=until, from_last_key=from_last_key)

    async def history(self, wish: HistoryRequest) -> HistoryAnswer:
        """The past of a camera: from the ring, else from its platform's recording, else missing with a reason."""
        pictures_max = max(1, min(wish.pictures_max, _HISTORY_PICTURES_MAX))
        kept = self._ring.history(wish.source_id, wish.begin, wish.end, pictures_max)
        if kept:
            self._counters.count("histories", HistoryOrigin.RING)
            return HistoryAnswer(source_id=wish.source_id, origin=HistoryOrigin.RING, frames=tuple(kept))
        receiver = self._receivers.get(wish.source_id)
        reason = "unknown_source" if receiver is None else "no_recording"
        if receiver is not None and self._recordings is not None:
            try:
                played = await self._recordings.pictures(
                    receiver.camera, wish.begin, wish.end, pictures_max, receiver.clock_offset_ns
                )
            except GridwhistleError as error:
                reason = error.reason
            else:
                if played.pictures:
                    self._counters.count("histories", HistoryOrigin.RECORDING)
                    return HistoryAnswer(
                        source_id=wish.source_id,
                        origin=HistoryOrigin.RECORDING,
                        frames=tuple(played.pictures),
                        reason=played.ended or "recording_empty",
                    )
                reason = "recording_empty"
        self._counters.count("histories_missing", reason)
        return HistoryAnswer(source_id=wish.source_id, origin=HistoryOrigin.MISSING, reason=reason)

    async def expire_forever(self) -> None:
        """End promotions and let go of old pictures when their time is over, until cancelled."""
        while True:
            await self._clock.asleep(_EXPIRE_EVERY_S)
            now, now_ns = self._clock.now(), self._clock.monotonic_ns()
            for source_id in list(self._promoted):
                receiver = self._receivers.get(source_id)
                if receiver is not None:
                    receiver.expire(now_ns)
                if receiver is None or not receiver.promoted:
                    self._promoted.discard(source_id)
            self._ring.expire(now)
            self._counters.gauge("cameras_promoted", len(self._promoted))
            self._counters.gauge("ring_bytes", self._ring.size_bytes)
            self._counters.gauge("ring_budget_bytes", self._ring.budget_bytes)
            self._counters.gauge("ring_pictures", len(self._ring))
            self._counters.gauge("ring_cameras", self._ring.cameras)
            for worth, evicted in self._ring.evicted.items():
                self._counters.gauge(f"ring_evicted_{worth.name.lower()}", evicted)
            self._counters.gauge("ring_groups_cut", self._ring.groups_cut)
