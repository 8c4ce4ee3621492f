"""Storm news: what alerts, and with it the operators, hear of a storm while it goes on and when it is over."""

from __future__ import annotations

from typing import Final

from contracts.ids import derive_id
from contracts.instant import SECOND, Instant
from contracts.storm import StormReport
from ingest.guest.storm import StormAccount, StormBegan, StormEnded, StormWatch

_AGAIN_NS: Final = 15 * SECOND
"""Told again although nothing changed, so that nobody takes a storm for one whose ingest died."""


class StormNews:
    """The reports of one process."""

    def __init__(self, site: str, instance: str) -> None:
        self._site = site
        self._instance = instance
        self._began_at: Instant | None = None
        self._last: StormAccount | None = None
        self._told_ns = 0

    def look(
        self, watch: StormWatch, told: StormBegan | StormEnded | None, now: Instant, now_ns: int
    ) -> StormReport | None:
        """What there is to tell, given what `watch` told just now; None when nothing is new."""
        if isinstance(told, StormBegan):
            self._began_at, self._last = Instant(now - (now_ns - watch.account().began_ns)), None
        if self._began_at is None:
            return None
        account, ended = watch.account(), isinstance(told, StormEnded)
        if account == self._last and not ended and now_ns - self._told_ns < _AGAIN_NS:
            return None
        self._last, self._told_ns = account, now_ns
        report = StormReport(
            id=derive_id("storm", self._site, self._instance, self._began_at),
            site=self._site,
            instance=self._instance,
            began_at=self._began_at,
            at=now,
            cameras=account.cameras,
            away=account.away,
            places=account.places,
            places_away=account.places_away,
            reasons=account.reasons,
            ended_at=now if ended else None,
        )
        if ended:
            self._began_at = None
        return report
