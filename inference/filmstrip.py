"""One filmstrip as it grows: which pictures it still wants, which it has, and what of its time is not shown.

Pure but for the evidence store. A strip belongs to the thread that owns the detector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np

from contracts.control import FilmstripRequest
from contracts.detection import Detections
from contracts.errors import StoreError, StoreFull
from contracts.filmstrip import (
    Filmstrip,
    FilmstripGap,
    FilmstripOrigin,
    FilmstripPicture,
    FilmstripState,
)
from contracts.instant import SECOND, Instant
from inference.blind import unseeing
from inference.config import BlindConfig
from inference.evidence import Drawing, EvidenceStore, Hiding
from inference.picture import Picture

GAP_NS: Final = 6 * SECOND
"""Pictures further apart leave a gap that is named; nearer ones, and those of neighbouring parts of a strip with
few pictures, are the sampling of the strip."""
_NONE: Final = np.empty((0, 4), np.float32)


@dataclass(frozen=True, slots=True)
class _Missing:
    """Why there is no picture of a time."""

    begin: Instant
    end: Instant
    reason: str


@dataclass(slots=True)
class Strip:
    """A strip in work. At most one picture per equal part of its time: the first that comes."""

    wish: FilmstripRequest
    site: str
    hiding: Hiding = field(default_factory=Hiding)
    _parts: dict[int, FilmstripPicture] = field(default_factory=dict)
    _missing: list[_Missing] = field(default_factory=list)

    def part(self, at: Instant) -> int | None:
        """The part of the strip's time that `at` lies in; None outside, or when it has its picture."""
        wish = self.wish
        if not wish.begin <= at <= wish.end:
            return None
        span = max(wish.end - wish.begin, 1)
        number = min((at - wish.begin) * wish.pictures // span, wish.pictures - 1)
        return None if number in self._parts else number

    def add(
        self,
        picture: Picture,
        found: Detections,
        origin: FilmstripOrigin,
        evidence: EvidenceStore,
        blind: BlindConfig,
        width_max: int,
    ) -> None:
        """Keep a decoded picture with its findings, if its part wants one and everybody in it can be hidden.

        Call it for every picture of the camera, in order: who is overlooked in one is hidden where the pictures
        before had somebody. A dark or covered picture is not shown, since nobody can be found in it.
        """
        hidden = self.hiding.boxes(picture, found)
        part = self.part(picture.event_time)
        if part is None:
            return
        if reason := unseeing(picture.bgr, blind):
            self.miss(picture.event_time, picture.event_time, reason)
            return
        try:
            kept = evidence.keep(picture, Drawing(hidden, _NONE), None, width_max=width_max)
        except StoreError as error:
            reason = "evidence_full" if isinstance(error, StoreFull) else error.reason
            self.miss(picture.event_time, picture.event_time, reason)
            return
        self._parts[part] = FilmstripPicture(evidence=kept, origin=origin)

    def miss(self, begin: Instant, end: Instant, reason: str) -> None:
        """There is no picture of this time, or one that cannot be shown, and why; the latest reason counts."""
        self._missing.append(_Missing(begin, end, reason))

    def told(self, state: FilmstripState, until: Instant) -> Filmstrip:
        """The record: every picture so far, and what is missing up to `until`."""
        wish = self.wish
        pictures = sorted(self._parts.values(), key=lambda each: each.evidence.event_time)
        times = [each.evidence.event_time for each in pictures]
        return Filmstrip(
            id=wish.id,
            site=self.site,
            incident_id=wish.incident_id,
            source_id=wish.source_id,
            begin=wish.begin,
            at=wish.at,
            end=wish.end,
            state=state,
            pictures=tuple(pictures),
            gaps=tuple(self._gaps(times, min(until, wish.end))),
            exercise=wish.exercise,
        )

    @property
    def gap_ns(self) -> int:
        """Pictures further apart than this leave a gap."""
        return max(GAP_NS, 2 * (self.wish.end - self.wish.begin) // self.wish.pictures)

    def gaps(self, until: Instant) -> list[tuple[Instant, Instant]]:
        """The times without a picture, up to `until`."""
        times = [each.evidence.event_time for each in self._parts.values()]
        return self._between(until, sorted(times))

    def _gaps(self, times: Sequence[Instant], until: Instant) -> list[FilmstripGap]:
        gaps: list[FilmstripGap] = []
        for begin, end in self._between(until, times):
            # What was asked of the past has its own reason; a gap over both sides is told in two.
            cuts = {begin, end, *(m.end for m in self._missing if begin < m.end < end and m.begin < m.end)}
            edges = sorted(cuts)
            for low, high in pairwise(edges):
                reason = self._reason(low, high)
                if low > begin and gaps[-1].reason == reason:
                    gaps[-1] = FilmstripGap(begin=gaps[-1].begin, end=high, reason=reason)
                else:
                    gaps.append(FilmstripGap(begin=low, end=high, reason=reason))
        return gaps

    def _reason(self, begin: Instant, end: Instant) -> str:
        for missing in reversed(self._missing):
            inside = begin <= missing.begin == missing.end <= end
            if inside or (missing.begin < end and begin < missing.end):
                return missing.reason
        return "no_picture"

    def _between(self, until: Instant, times: Sequence[Instant]) -> list[tuple[Instant, Instant]]:
        """Steps of more than `gap_ns` from the begin over `times` (sorted) to `until`."""
        edges = [self.wish.begin, *(at for at in times if at <= until), until]
        return [(low, high) for low, high in pairwise(edges) if high - low > self.gap_ns]
