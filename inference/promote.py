"""Promote: which cameras inference asks ingest to hand on whole, for how long, and when to leave them again.

A camera is promoted when its suspicion rises, stays so while it is seen again (hold), and no longer than a bound
at a time, after which it must rest: a lamp that looks like a fire for ever must not keep a place for ever. Few are
promoted at once; one place is kept free for the strongest suspicion, a fire.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from contracts import topics, wire
from contracts.control import Promote, PromoteAnswer
from contracts.errors import GridwhistleError
from contracts.instant import SECOND, Instant
from inference.schedule import URGENCY_MAX
from inference.suspects import SuspectLog
from runtime.log import CountedLog

if TYPE_CHECKING:
    from inference.config import PromotionConfig
    from runtime.clock import Clock
    from runtime.metrics import StageCounters
    from runtime.request_link import RequestClient

_ASK_TIMEOUT_S: Final = 2.0
_REFUSED_REST_S: Final = 5.0
"""So long a camera is not asked for again after ingest said no."""
_UNKNOWN: Final = ("unknown_source", "no_link")
"""Answers of workers that do not have the camera; any other tells more."""


@dataclass(slots=True)
class _Promoted:
    since: Instant
    until: Instant


class Promotions:
    """Whom to promote, and until when. Pure: `now` is given. `skipped` counts wishes that came to nothing."""

    def __init__(self, config: PromotionConfig) -> None:
        self._config = config
        self._hold_ns = round(config.hold_s * SECOND)
        self._longest_ns = round(config.longest_s * SECOND)
        self._rest_ns = round(config.rest_s * SECOND)
        self._promoted: dict[str, _Promoted] = {}
        self._resting: dict[str, Instant] = {}
        self.skipped: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._promoted)

    def holds(self, source_id: str) -> bool:
        """Whether this camera is promoted by us."""
        return source_id in self._promoted

    def wish(self, source_id: str, urgency: float, now: Instant) -> Instant | None:
        """The camera is suspected: until when to promote it, or None when nothing is to be asked for now.

        The place counts as taken from now on; `refused` gives it back.
        """
        self.expire(now)
        if urgency < self._config.urgency_min:
            return None
        held = self._promoted.get(source_id)
        if held is not None:
            until = Instant(min(now + self._hold_ns, held.since + self._longest_ns))
            # Asked again in the second half of the hold only, so that a fire costs a message in ten seconds.
            if held.until - now > self._hold_ns // 2 or until - held.until < SECOND:
                return None
            held.until = until
            return until
        if source_id in self._resting:
            self._skip("resting")
            return None
        kept_free = 1 if urgency < URGENCY_MAX and self._config.cameras_max > 1 else 0
        if len(self._promoted) >= self._config.cameras_max - kept_free:
            self._skip("limit")
            return None
        until = Instant(now + self._hold_ns)
        self._promoted[source_id] = _Promoted(now, until)
        return until

    def shortened(self, source_id: str, until: Instant) -> None:
        """Ingest ends it sooner than asked."""
        held = self._promoted.get(source_id)
        if held is not None:
            held.until = min(held.until, until)

    def refused(self, source_id: str, now: Instant) -> None:
        """Ingest said no, or nothing."""
        if self._promoted.pop(source_id, None) is not None:
            self._resting[source_id] = Instant(now + round(_REFUSED_REST_S * SECOND))

    def keep_only(self, source_ids: Set[str]) -> None:
        """Forget cameras that left the catalogue."""
        for gone in (self._promoted.keys() | self._resting.keys()) - source_ids:
            self._promoted.pop(gone, None)
            self._resting.pop(gone, None)

    def expire(self, now: Instant) -> None:
        """Promotions and rests that are over end; one that was as long as may be is followed by a rest."""
        for source_id, held in list(self._promoted.items()):
            if now >= held.until:
                del self._promoted[source_id]
                if held.until - held.since >= self._longest_ns:
                    self._resting[source_id] = Instant(now + self._rest_ns)
        for source_id in [each for each, until in self._resting.items() if now >= until]:
            del self._resting[source_id]

    def _skip(self, reason: str) -> None:
        self.skipped[reason] = self.skipped.get(reason, 0) + 1


class Promoter:
    """Asks ingest in the name of Promotions and of looks. For one event loop."""

    def __init__(
        self, config: PromotionConfig, clock: Clock, counters: StageCounters, ingest: Sequence[RequestClient]
    ) -> None:
        """`ingest`: a client per camera worker."""
        self._clock = clock
        self._counters = counters
        self._ingest = ingest
        self._log = CountedLog(clock)
        self._told: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._suspects = SuspectLog(clock)
        self.promotions = Promotions(config)

    def suspected(self, source_id: str, urgency: float, reason: str, *, from_last_key: bool = False) -> None:
        """Something is suspicious in a camera's pictures or about their sizes. Never waits.

        `from_last_key`: begin with the group of pictures that is open now, if ingest keeps it.
        """
        self._suspects.tell(source_id, reason)
        until = self.promotions.wish(source_id, urgency, self._clock.now())
        for skipped, total in self.promotions.skipped.items():
            self._counters.count("promotions_skipped", skipped, total - self._told.get(skipped, 0))
            self._told[skipped] = total
        if until is not None:
            task = asyncio.create_task(self._promote(source_id, until, reason, from_last_key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def ask(self, wish: Promote) -> PromoteAnswer:
        """Ask every camera worker; the one that has the camera answers for it, else `no_link` is the reason."""
        best = PromoteAnswer(source_id=wish.source_id, accepted=False, reason="no_link")
        for answer in await asyncio.gather(*(self._ask(client, wish) for client in self._ingest)):
            if answer is not None and (answer.accepted or best.reason in _UNKNOWN):
                best = answer
        self._counters.count("promotions" if best.accepted else "promotions_refused", best.reason or wish.reason)
        return best

    async def close(self) -> None:
        """Ask no more; what is promoted ends by itself."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _promote(self, source_id: str, until: Instant, reason: str, from_last_key: bool) -> None:
        wish = Promote(source_id=source_id, until=until, reason=reason, from_last_key=from_last_key)
        answer = await self.ask(wish)
        if answer.accepted:
            self.promotions.shortened(source_id, answer.until if answer.until is not None else until)
            return
        self.promotions.refused(source_id, self._clock.now())
        self._log.warning(
            f"promotion {answer.reason}", "A camera was not promoted", source_id=source_id, reason=answer.reason
        )

    async def _ask(self, client: RequestClient, wish: Promote) -> PromoteAnswer | None:
        try:
            body = await client.request(topics.REQUEST_PROMOTE, wire.encode(wish), timeout_s=_ASK_TIMEOUT_S)
            return wire.decode(body, PromoteAnswer)
        except GridwhistleError as error:
            self._counters.count("promotion_requests_failed", error.reason)
            return None
