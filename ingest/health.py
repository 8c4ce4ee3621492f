"""The state of each source as a small machine; what changed becomes a SourceChange, what only repeats does not."""

from __future__ import annotations

from typing import Final

from contracts.errors import GridwhistleError
from contracts.ids import derive_id
from contracts.instant import MS, SECOND, Instant
from contracts.source import SourceChange, SourceKind, SourceState

SKEW_NEWS_NS: Final = 2 * SECOND
"""A camera clock further from ours than this is news."""
_SKEW_CLEARED_NS: Final = 1_500 * MS
PATROL: Final = "patrol"
PATROL_MISSED: Final = "patrol_missed"
_FAILED: Final = frozenset({SourceState.FAULTED, SourceState.STALE})


def state_of_failure(error: GridwhistleError) -> SourceState:
    """The state that a failed attempt or session leaves a source in."""
    if error.reason in ("stall", "no_key_picture"):
        return SourceState.STALE
    return SourceState.FAULTED


class SourceHealth:
    """One source's state. A new attempt after a failure is no news: only success or another failure is."""

    def __init__(self, source_id: str, kind: SourceKind, site: str, *, exercise: bool = False) -> None:
        self.source_id = source_id
        self.kind = kind
        self.state: SourceState | None = None
        self.reason = ""
        self._site = site
        self._exercise = exercise

    def connecting(self, now: Instant) -> SourceChange | None:
        """An attempt begins."""
        if self.state in _FAILED:
            return None
        return self.become(SourceState.CONNECTING, "", "", now)

    def live(self, now: Instant) -> SourceChange | None:
        """A key picture or message arrived."""
        if self.state is SourceState.LIVE:
            return None
        return self.become(SourceState.LIVE, "", "", now)

    def visited(self, now: Instant) -> SourceChange | None:
        """It was seen, and its session ended for the sake of others (patrol): live, until turns are missed."""
        if self.state is not SourceState.LIVE or self.reason:
            return None
        sentence = "会话数有限, 轮巡中 (more cameras than sessions: it is visited in turn)"
        return self.become(SourceState.LIVE, PATROL, sentence, now)

    def missed_turns(self, now: Instant) -> SourceChange | None:
        """It should have been visited three times by now."""
        if self.state is not SourceState.LIVE:
            return None
        sentence = "轮巡已三次未轮到 (three of its turns on patrol were missed)"
        return self.become(SourceState.STALE, PATROL_MISSED, sentence, now)

    def stands(self, now: Instant) -> SourceChange | None:
        """Its session stands for good: nobody waits for it any more."""
        return self.become(SourceState.LIVE, "", "", now) if self.reason == PATROL else None

    def failed(self, error: GridwhistleError, now: Instant) -> SourceChange | None:
        """An attempt or a session ended with this error."""
        return self.become(state_of_failure(error), error.reason, str(error), now)

    def clock_offset(self, offset_ns: int, now: Instant) -> SourceChange | None:
        """The source's clock against ours: beyond 2 s it is news, within 1.5 s again no longer."""
        if self.state is not SourceState.LIVE:
            return None
        if abs(offset_ns) > SKEW_NEWS_NS and self.reason != "clock_skew":
            sentence = (
                f"设备时钟偏差 {offset_ns / SECOND:+.1f} 秒 (the device's clock is off); 请校时 (set up NTP)"
            )
            return self.become(SourceState.LIVE, "clock_skew", sentence, now)
        if abs(offset_ns) < _SKEW_CLEARED_NS and self.reason == "clock_skew":
            return self.become(SourceState.LIVE, "", "", now)
        return None

    def become(self, state: SourceState, reason: str, detail: str, now: Instant) -> SourceChange | None:
        """Take a state; the change to tell, or None when state and reason are as before."""
        if (state, reason) == (self.state, self.reason):
            return None
        self.state, self.reason = state, reason
        return SourceChange(
            id=derive_id("src", self._site, self.source_id, state, reason, now),
            site=self._site,
            source_id=self.source_id,
            kind=self.kind,
            state=state,
            at=now,
            reason=reason,
            detail=detail[:500],
            exercise=self._exercise,
        )


class ChangeBoard:
    """Changes on their way out, the latest per source: a storm is bounded by the number of sources.

    `overtaken` counts changes that a newer one of the same source replaced before they were sent.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, SourceChange] = {}
        self.overtaken = 0

    def post(self, change: SourceChange | None) -> None:
        """Add a change; None is nothing."""
        if change is None:
            return
        if self._waiting.pop(change.source_id, None) is not None:
            self.overtaken += 1
        self._waiting[change.source_id] = change

    def take(self, limit: int) -> list[SourceChange]:
        """The oldest waiting changes, at most `limit`."""
        names = list(self._waiting)[:limit]
        return [self._waiting.pop(name) for name in names]

    def put_back(self, changes: list[SourceChange]) -> None:
        """Changes that could not be sent; a newer one of the same source wins."""
        self._waiting = {change.source_id: change for change in changes} | self._waiting

    def __len__(self) -> int:
        return len(self._waiting)
