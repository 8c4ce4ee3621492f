"""Storm: many sessions that end within seconds are one event (a power or network failure), told once, not 1,000
times: how many, where and why when it begins; how long, how many are back and how many not when it is over."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Final

from contracts.instant import SECOND

_WINDOW_NS: Final = 5 * SECOND
_CAMERAS_MIN: Final = 20
_GATHER_NS: Final = 3 * SECOND
_QUIET_NS: Final = 60 * SECOND
_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class StormBegan:
    """Told once, some seconds after the first loss so that it counts most of them."""

    cameras: int
    places: tuple[tuple[str, int], ...]
    reasons: tuple[tuple[str, int], ...]

    def fields(self) -> dict[str, object]:
        """For the log."""
        return {"cameras": self.cameras, "places": dict(self.places), "reasons": dict(self.reasons)}


@dataclass(frozen=True, slots=True)
class StormEnded:
    """Told once: all are back, or nothing has changed for a minute."""

    seconds: float
    cameras: int
    back: int
    away: int
    places_away: tuple[tuple[str, int], ...]

    def fields(self) -> dict[str, object]:
        """For the log."""
        return {
            "seconds": round(self.seconds, 1),
            "cameras": self.cameras,
            "back": self.back,
            "away": self.away,
            "places_away": dict(self.places_away),
        }


@dataclass(frozen=True, slots=True)
class StormAccount:
    """How a storm stands. `began_ns`: monotonic ns."""

    began_ns: int
    cameras: int
    away: int
    places: tuple[tuple[str, int], ...]
    places_away: tuple[tuple[str, int], ...]
    reasons: tuple[tuple[str, int], ...]


class StormWatch:
    """Watches the ends of live sessions; times are monotonic ns. `rages`: a storm is on.

    A storm begins when 20 cameras are lost within 5 s. Memory: the cameras of one storm, and of the window.
    """

    def __init__(self) -> None:
        self._window: deque[tuple[int, str, str, str]] = deque()
        self._away: dict[str, str] = {}
        self._cameras: dict[str, tuple[str, str]] = {}
        self._began_ns = 0
        self._changed_ns = 0
        self._told = False
        self._moved = False
        self._storms = 0
        self.rages = False

    @property
    def number(self) -> int:
        """Which storm rages, counted from 1; 0 when there is none."""
        return self._storms if self.rages else 0

    @property
    def lost_total(self) -> int:
        """Cameras that the present storm took; 0 when there is none."""
        return len(self._cameras) if self.rages else 0

    @property
    def away(self) -> int:
        """Those of them that are not back."""
        return len(self._away) if self.rages else 0

    def lost(self, source_id: str, place: str, reason: str, now_ns: int) -> None:
        """A camera that was live is not any more. `place`: its platform, or its host."""
        if self.rages:
            self._take(source_id, place, reason, now_ns)
            return
        while self._window and now_ns - self._window[0][0] > _WINDOW_NS:
            self._window.popleft()
        self._window.append((now_ns, source_id, place, reason))
        if len({entry[1] for entry in self._window}) < _CAMERAS_MIN:
            return
        self.rages, self._told = True, False
        self._storms += 1
        self._began_ns = self._window[0][0]
        self._cameras.clear()
        self._away.clear()
        for at_ns, each, where, why in self._window:
            self._take(each, where, why, at_ns)
        self._window.clear()

    def back(self, source_id: str) -> None:
        """A camera is live."""
        if self._away.pop(source_id, None) is not None:
            self._moved = True

    def forget(self, source_id: str) -> None:
        """A camera left the catalogue: nobody waits for it."""
        self._away.pop(source_id, None)
        self._cameras.pop(source_id, None)

    def tell(self, now_ns: int) -> StormBegan | StormEnded | None:
        """What there is to tell now, each once."""
        if not self.rages:
            return None
        if self._moved:
            self._moved, self._changed_ns = False, now_ns
        if not self._told:
            if now_ns - self._began_ns < _GATHER_NS:
                return None
            self._told = True
            began = self.account()
            return StormBegan(began.cameras, began.places, began.reasons)
        if self._away and now_ns - self._changed_ns < _QUIET_NS:
            return None
        self.rages = False
        last = self.account()
        seconds = (now_ns - last.began_ns) / SECOND
        return StormEnded(seconds, last.cameras, last.cameras - last.away, last.away, last.places_away)

    def account(self) -> StormAccount:
        """How the storm stands that is on, or that was the last one: it is kept until the next begins."""
        return StormAccount(
            self._began_ns,
            len(self._cameras),
            len(self._away),
            _most(Counter(place for place, _ in self._cameras.values())),
            _most(Counter(self._away.values())),
            _most(Counter(reason for _, reason in self._cameras.values())),
        )

    def _take(self, source_id: str, place: str, reason: str, now_ns: int) -> None:
        self._cameras[source_id] = (place, reason)
        self._away[source_id] = place
        self._changed_ns = now_ns


def _most(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    """The largest few, and the sum of the others under `*`."""
    named = counts.most_common(_NAMED)
    others = counts.total() - sum(count for _, count in named)
    return (*named, ("*", others)) if others else tuple(named)
