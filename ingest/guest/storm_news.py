"""Storm news: what alerts, and with it the operators, hear of a storm while it goes on and when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contracts import wire
from contracts.errors import LinkError
from contracts.ids import derive_id
from contracts.instant import SECOND, Instant
from contracts.storm import StormReport
from ingest.guest.storm import StormAccount, StormBegan, StormEnded, StormWatch

if TYPE_CHECKING:
    from runtime.clock import Clock
    from runtime.log_link import LogSender
    from runtime.metrics import StageCounters

_AGAIN_NS: Final = 15 * SECOND
"""Told again although nothing changed, so that nobody takes a storm for one whose ingest died."""
_WAITING_MAX: Final = 100
_SEND_S: Final = 0.5


class StormNews:
    """The reports of one process, and those that wait for alerts: the newest of each storm."""

    def __init__(self, site: str, instance: str) -> None:
        self._site = site
        self._instance = instance
        self._began_at: Instant | None = None
        self._last: StormAccount | None = None
        self._told_ns = 0
        self._waiting: dict[str, StormReport] = {}

    async def tell_forever(self, sender: LogSender, counters: StageCounters, clock: Clock) -> None:
        """Carry reports to alerts until cancelled; one that cannot be sent waits."""
        while True:
            for report in list(self._waiting.values()):
                try:
                    await sender.send([wire.encode(report)])
                except LinkError as error:
                    counters.count("storms_not_sent", error.reason)
                    break
                if self._waiting.get(report.id) is report:
                    del self._waiting[report.id]
            await clock.asleep(_SEND_S)

    def look(
        self, watch: StormWatch, told: StormBegan | StormEnded | None, now: Instant, now_ns: int
    ) -> StormReport | None:
        """What there is to tell, given what `watch` told just now, and waits to be sent; None = nothing new."""
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
        self._waiting[report.id] = report
        while len(self._waiting) > _WAITING_MAX:
            del self._waiting[next(iter(self._waiting))]
        return report
