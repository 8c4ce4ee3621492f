"""Activity of a camera for nothing: how large are the pictures that are dropped, against what is normal for it?"""

from __future__ import annotations

from typing import Final

_WARM_UP: Final = 8
_LEARN: Final = 0.05
_SCORE_MAX: Final = 100.0


class ActivityMeter:
    """Scores >= 0 with 1 for the learnt normal. The baseline is a slow mean (about 20 key-picture intervals) of
    the mean size of dropped pictures; it learns motion more slowly than quiet, so that a crowd stays news."""

    __slots__ = ("_baseline", "_seen")

    def __init__(self) -> None:
        self._baseline = 0.0
        self._seen = 0

    def interval(self, dropped_pictures: int, dropped_bytes: int) -> float:
        """One interval between key pictures ended; its score (1 while nothing is known)."""
        if dropped_pictures <= 0:
            return 1.0
        size = dropped_bytes / dropped_pictures
        if self._baseline <= 0.0:
            self._baseline = max(size, 1.0)
            self._seen = 1
            return 1.0
        score = min(size / self._baseline, _SCORE_MAX)
        self._seen += 1
        share = 1.0 / self._seen if self._seen <= _WARM_UP else _LEARN / max(1.0, score)
        self._baseline = max(self._baseline + share * (size - self._baseline), 1.0)
        return score
