"""The state of each source as a small machine; what changed becomes a SourceChange, what only repeats does not.

A camera's state has two parts: its link, and what is held against what arrives (ingest.doubts).
"""

from __future__ import annotations

from typing import Final

from contracts.errors import GridwhistleError
from contracts.ids import derive_id
from contracts.instant import MS, SECOND, Instant
from contracts.source import SourceChange, SourceKind, SourceState
from ingest.doubts import Doubt

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
    """One source's state. A new attempt after a failure is no news: only success or another failure is.

    `link` is what its connection says, `state` and `reason` what is told: the link's, unless the source is live
    and doubted, which makes it SUSPECT.
    """

    def __init__(self, source_id: str, kind: SourceKind, site: str, *, exercise: bool = False) -> None:
        self.source_id = source_id
        self.kind = kind
        self.state: SourceState | None = None
        self.reason = ""
        self.link: SourceState | None = None
        self._link_reason = ""
        self._link_detail = ""
        self._doubts: tuple[Doubt, ...] = ()
        self._told_doubts: tuple[Doubt, ...] = ()
        self._doubt_detail = ""
        self._long_away = False
        self._refused = False
        self._site = site
        self._exercise = exercise

    def connecting(self, now: Instant) -> SourceChange | None:
        """An attempt begins."""
        if self.link in _FAILED:
            return None
        return self.become(SourceState.CONNECTING, "", "", now)

    def live(self, now: Instant) -> SourceChange | None:
        """A key picture or message arrived."""
        if self.link is SourceState.LIVE:
            return None
        return self.become(SourceState.LIVE, "", "", now)

    def visited(self, now: Instant) -> SourceChange | None:
        """It was seen, and its session ended for the sake of others (patrol): live, until turns are missed."""
        if self.link is not SourceState.LIVE or self._link_reason:
            return None
        sentence = "会话数有限, 轮巡中 (more cameras than sessions: it is visited in turn)"
        return self.become(SourceState.LIVE, PATROL, sentence, now)

    def missed_turns(self, now: Instant) -> SourceChange | None:
        """It should have been visited three times by now."""
        if self.link is not SourceState.LIVE:
            return None
        sentence = "轮巡已三次未轮到 (three of its turns on patrol were missed)"
        return self.become(SourceState.STALE, PATROL_MISSED, sentence, now)

    def stands(self, now: Instant) -> SourceChange | None:
        """Its session stands for good: nobody waits for it any more."""
        return self.become(SourceState.LIVE, "", "", now) if self._link_reason == PATROL else None

    def failed(self, error: GridwhistleError, now: Instant, *, refused: bool = False) -> SourceChange | None:
        """An attempt or a session ended with this error. `refused`: that needs a person, so it is told as it is,
        whatever is held against the source besides."""
        self._refused = refused
        return self.become(state_of_failure(error), error.reason, str(error), now)

    def clock_offset(self, offset_ns: int, now: Instant) -> SourceChange | None:
        """The source's clock against ours: beyond 2 s it is news, within 1.5 s again no longer."""
        if self.link is not SourceState.LIVE:
            return None
        if abs(offset_ns) > SKEW_NEWS_NS and self._link_reason != "clock_skew":
            sentence = (
                f"设备时钟偏差 {offset_ns / SECOND:+.1f} 秒 (the device's clock is off); 请校时 (set up NTP)"
            )
            return self.become(SourceState.LIVE, "clock_skew", sentence, now)
        if abs(offset_ns) < _SKEW_CLEARED_NS and self._link_reason == "clock_skew":
            return self.become(SourceState.LIVE, "", "", now)
        return None

    def doubted(
        self, doubts: tuple[Doubt, ...], detail: str, now: Instant, *, long_away: bool = False
    ) -> SourceChange | None:
        """What is held against it from now on, the doubt to show first; none: nothing.

        A flapping camera stays SUSPECT while it is briefly away, until it is `long_away` or refused.
        """
        self._doubts, self._doubt_detail = doubts, detail
        self._long_away = long_away
        return self._tell(now)

    def become(self, state: SourceState, reason: str, detail: str, now: Instant) -> SourceChange | None:
        """The link takes a state; the change to tell, or None when what is told is as before."""
        self.link, self._link_reason, self._link_detail = state, reason, detail
        if state is SourceState.LIVE:
            self._long_away = self._refused = False
        return self._tell(now)

    def _flaps(self) -> bool:
        """Whether it is away as flapping cameras are: for a moment."""
        return (
            Doubt.FLAPPING in self._doubts
            and self.link is not SourceState.OFF
            and not (self._long_away or self._refused)
        )

    def _tell(self, now: Instant) -> SourceChange | None:
        link = self.link
        if link is None:
            return None
        state, reason, detail = link, self._link_reason, self._link_detail
        doubts = self._doubts if link is SourceState.LIVE or self._flaps() else ()
        if doubts:
            state, reason, detail = SourceState.SUSPECT, doubts[0], self._doubt_detail
        if (state, reason, doubts) == (self.state, self.reason, self._told_doubts):
            return None
        self.state, self.reason, self._told_doubts = state, reason, doubts
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
