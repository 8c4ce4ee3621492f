"""Suspects: the log says once which camera is suspected of what, and again when it is after a quiet time."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from contracts.instant import SECOND
from runtime.log import get_log

if TYPE_CHECKING:
    from runtime.clock import Clock

SENTENCE: Final = "A camera is suspected"
"""The line of the log; its fields are `source_id` and `reason`."""
_QUIET_NS: Final = 30 * SECOND
_REMEMBERED_MAX: Final = 4_096


class SuspectLog:
    """For one event loop. What was suspected longest ago is forgotten first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_ns: OrderedDict[tuple[str, str], int] = OrderedDict()

    def tell(self, source_id: str, reason: str) -> bool:
        """The camera is suspected now; whether that was news, and logged."""
        key, now_ns = (source_id, reason), self._clock.monotonic_ns()
        last_ns = self._last_ns.pop(key, None)
        self._last_ns[key] = now_ns
        if len(self._last_ns) > _REMEMBERED_MAX:
            self._last_ns.popitem(last=False)
        news = last_ns is None or now_ns - last_ns >= _QUIET_NS
        if news:
            get_log().info(SENTENCE, source_id=source_id, reason=reason)
        return news
