"""Being a good guest: how fast we connect, and how many sessions a platform has to carry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from contracts.instant import SECOND

if TYPE_CHECKING:
    from runtime.clock import Clock

_BURST: Final = 10


class ConnectPace:
    """At most `rate_per_s` new connections a second after a burst of ten, first come first served; and at most so
    many sessions at once per platform (0 = no limit)."""

    def __init__(
        self, clock: Clock, rate_per_s: float, sessions_max: int = 0, sessions: Mapping[str, int] | None = None
    ) -> None:
        if rate_per_s <= 0:
            raise ValueError("the connect rate must be positive")
        self._clock = clock
        self._interval_ns = round(SECOND / rate_per_s)
        self._next_ns = clock.monotonic_ns() - _BURST * self._interval_ns
        self._sessions_max = sessions_max
        self._sessions = dict(sessions or {})
        self._platforms: dict[str, asyncio.Semaphore] = {}

    async def turn(self) -> None:
        """Wait for the right to connect once."""
        now_ns = self._clock.monotonic_ns()
        self._next_ns = max(self._next_ns, now_ns - _BURST * self._interval_ns) + self._interval_ns
        wait_ns = self._next_ns - now_ns
        if wait_ns > 0:
            await self._clock.asleep(wait_ns / SECOND)

    @asynccontextmanager
    async def session(self, platform: str) -> AsyncIterator[None]:
        """Hold one of the platform's sessions; waits while all are taken."""
        limit = self._sessions.get(platform, self._sessions_max)
        if not platform or limit == 0:
            yield
            return
        places = self._platforms.setdefault(platform, asyncio.Semaphore(limit))
        async with places:
            yield
