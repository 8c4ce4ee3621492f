"""Bursts: promoted cameras that are looked at several times a second, to see how things move. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.frame import FrameHeader
from contracts.instant import Instant


@dataclass(slots=True)
class _Burst:
    until: Instant
    looked_at: Instant
    """Event time of its last look."""


class Bursts:
    """Which cameras are in a burst, and which of their pictures are looked at: one in every `look_ns`."""

    def __init__(self, look_ns: int) -> None:
        self._look_ns = look_ns
        self._bursts: dict[str, _Burst] = {}

    def __contains__(self, source_id: object) -> bool:
        return source_id in self._bursts

    def begin(self, source_id: str, until: Instant) -> None:
        """Until then this camera is in a burst, while it is promoted."""
        self._bursts[source_id] = _Burst(until, Instant(0))

    def forget(self, source_id: str) -> None:
        """The camera left the catalogue."""
        self._bursts.pop(source_id, None)

    def looks(self, headers: Sequence[FrameHeader], limit: int, now: Instant) -> list[FrameHeader]:
        """Those of `headers`, in order, that a burst looks at: evenly apart in event time, `limit` at most."""
        for over in [name for name, burst in self._bursts.items() if now >= burst.until]:
            del self._bursts[over]
        chosen: list[FrameHeader] = []
        for header in headers:
            burst = self._bursts.get(header.source_id)
            if burst is None or len(chosen) >= limit:
                continue
            if not 0 <= header.event_time - burst.looked_at < self._look_ns:
                burst.looked_at = header.event_time
                chosen.append(header)
        return chosen
