"""Look: an immediate look at one camera, before its turn, with an answer that may be "blind".

    LookRequest ─▶ a picture of the last second, or the next one (asked for: promoted) ─▶ LookAnswer

The picture goes the way of all pictures; the scheduler only puts its camera first, once. So a look costs one place
in the order, and what it finds is known to the camera's analytics, too. The picture that answers is kept as
evidence, with persons and vehicles hidden, unless it is blind.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from contracts.class_names import CLASS_NAMES
from contracts.control import LookAnswer, LookOutcome, LookRequest, Promote
from contracts.instant import SECOND, Instant
from contracts.observation import IncidentType
from inference.watch import Seen
from inference.zones import ZoneShape, centres, feet, wheels

if TYPE_CHECKING:
    from contracts.detection import Detections
    from contracts.source import Camera
    from inference.config import LookConfig
    from inference.promote import Promoter
    from inference.registry import Model
    from runtime.clock import Clock
    from runtime.metrics import StageCounters

_VEHICLES: Final = ("motorcycle", "car", "bus", "truck")
_BURNING: Final = ("fire", "smoke")
KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "": CLASS_NAMES,
    IncidentType.CROWD_DENSITY: ("person",),
    IncidentType.CROWD_CAPACITY: ("person",),
    IncidentType.STOPPED_VEHICLE: _VEHICLES,
    IncidentType.CONGESTION: _VEHICLES,
    IncidentType.FIRE_LANE: _VEHICLES,
    IncidentType.WRONG_WAY: _VEHICLES,
    IncidentType.INTRUSION: ("person",),
    IncidentType.FLAME_SUSPECTED: ("fire",),
    IncidentType.SMOKE_SUSPECTED: ("smoke",),
    IncidentType.FIRE_CONFIRMED: _BURNING,
    IncidentType.SMOKE_SENSOR: _BURNING,
    IncidentType.HEAT: _BURNING,
    IncidentType.ELECTRICAL: _BURNING,
}
"""Classes that count as seen, by incident type; of other types a picture tells nothing."""
_POINTS: Final = {
    "person": feet,
    **dict.fromkeys(("bicycle", *_VEHICLES), wheels),
    **dict.fromkeys(_BURNING, centres),
}
_REMEMBERED_MAX: Final = 20_000
_NOT_THERE: Final = frozenset({"not_live", "unknown_source"})
"""Answers of ingest after which no picture can come."""


class Eyes(Protocol):
    """What a desk needs of the pipeline."""

    def camera(self, source_id: str) -> Camera | None:
        """The camera, None unless it is in the catalogue and may be looked at."""

    def quarantined(self, source_id: str) -> bool:
        """Whether its pictures are left alone, since they ended the decoder twice."""

    def look_next(self, source_id: str, not_before: Instant) -> bool:
        """Put this camera before all others, once; True when a picture that arrived since then waits or comes."""


@dataclass(slots=True)
class _Wait:
    """Somebody who waits. Pictures that arrived before `not_before` do not answer.

    `spare`: what was seen in a fresh picture that was not kept; the answer when none comes that is.
    """

    not_before: Instant
    future: asyncio.Future[Seen]
    spare: Seen | None = None


class LookDesk:
    """Looks of this process. For one event loop."""

    def __init__(
        self,
        config: LookConfig,
        clock: Clock,
        counters: StageCounters,
        model: Model,
        eyes: Eyes,
        promoter: Promoter,
        *,
        shows: bool = False,
    ) -> None:
        """`shows`: pictures that answer are kept as evidence, see `waits_for`."""
        self._config = config
        self._clock = clock
        self._counters = counters
        self._model = model
        self._eyes = eyes
        self._promoter = promoter
        self._shows = shows
        self._waiting: dict[str, list[_Wait]] = {}
        self._seen: OrderedDict[str, Seen] = OrderedDict()
        self._at_once = 0

    async def answer(self, wish: LookRequest) -> LookAnswer:
        """Look, and say what is there; never raises, never takes much longer than `within_s`."""
        if self._at_once >= self._config.at_once_max:
            answer = _unanswered(wish, "busy")
        else:
            self._at_once += 1
            try:
                answer = await self._look(wish)
            finally:
                self._at_once -= 1
        self._counters.count("looks", answer.outcome)
        if answer.reason:
            self._counters.count("looks_without_sight", answer.reason)
        return answer

    def waits_for(self, source_id: str) -> bool:
        """Whether somebody waits for a picture of this camera; may be asked from any thread."""
        return source_id in self._waiting

    def looked(self, source_id: str, seen: Seen) -> None:
        """A picture of this camera was looked at, for whatever reason."""
        self._seen[source_id] = seen
        self._seen.move_to_end(source_id)
        while len(self._seen) > _REMEMBERED_MAX:
            self._seen.popitem(last=False)
        waits = self._waiting.get(source_id, ())
        for wait in waits:
            if seen.arrival_time < wait.not_before or wait.future.done():
                continue
            if wait.spare is None and not self._complete(seen):
                # It was under way when the question came. The next one is kept; if not, it answers as it is.
                wait.spare = seen
            else:
                wait.future.set_result(seen)
        if any(not wait.future.done() for wait in waits):
            # The one that was looked at does not do for them: the next goes first, too.
            self._eyes.look_next(source_id, max(wait.not_before for wait in waits))

    async def _look(self, wish: LookRequest) -> LookAnswer:
        camera = self._eyes.camera(wish.source_id)
        zone = next((each for each in camera.zones if each.id == wish.zone_id), None) if camera else None
        if camera is None:
            return _unanswered(wish, "unknown_source")
        if wish.zone_id and zone is None:
            return _unanswered(wish, "unknown_zone")
        if wish.kind not in KINDS:
            return _unanswered(wish, "not_visible")
        if self._eyes.quarantined(wish.source_id):
            return _blind(wish, "quarantined", None)
        seen = await self._see(wish)
        if isinstance(seen, str):
            return _unanswered(wish, seen)
        if seen.blind:
            return _blind(wish, seen.blind, seen.event_time)
        held = self._held(seen, KINDS[wish.kind], ZoneShape.of(zone) if zone is not None else None)
        return LookAnswer(
            id=wish.id,
            source_id=wish.source_id,
            outcome=LookOutcome.SEEN if held else LookOutcome.NOTHING,
            counts=tuple((name, len(ours)) for name, ours in held),
            confidence=tuple((name, float(ours.confidence.max())) for name, ours in held),
            event_time=seen.event_time,
            evidence=seen.evidence,
        )

    async def _see(self, wish: LookRequest) -> Seen | str:
        """What was seen in a fresh picture, or why there is none."""
        now = self._clock.now()
        not_before = Instant(now - round(self._config.fresh_s * SECOND))
        last = self._seen.get(wish.source_id)
        fresh = last if last is not None and last.arrival_time >= not_before else None
        if fresh is not None and self._complete(fresh):
            return fresh
        within_s = min(max(wish.within_s, 0.0), self._config.within_max_s)
        wait = _Wait(not_before, asyncio.get_running_loop().create_future(), fresh)
        self._waiting.setdefault(wish.source_id, []).append(wait)
        asked = asyncio.create_task(self._ask_for_pictures(wish, not_before, within_s))
        try:
            async with asyncio.timeout(within_s):
                # Either comes first: the picture, or word that none will come.
                either: set[asyncio.Future[Any]] = {wait.future, asked}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if not wait.future.done() and (refusal := asked.result()):
                    return wait.spare or refusal
                return await wait.future
        except TimeoutError:
            return wait.spare or "late"
        finally:
            self._waiting[wish.source_id].remove(wait)
            if not self._waiting[wish.source_id]:
                del self._waiting[wish.source_id]
            asked.cancel()
            # Gathered, not awaited: a cancellation of ours that comes just now is not its own.
            await asyncio.gather(asked, return_exceptions=True)

    def _complete(self, seen: Seen) -> bool:
        """Whether it answers with all that can be had: the picture, where one may be shown."""
        return not self._shows or bool(seen.evidence) or bool(seen.blind)

    async def _ask_for_pictures(self, wish: LookRequest, not_before: Instant, within_s: float) -> str:
        """Put the camera first; promote it unless a picture waits. Why no picture can come, "" if one may."""
        if self._eyes.look_next(wish.source_id, not_before):
            return ""
        until = Instant(self._clock.now() + round((within_s + 1.0) * SECOND))
        promote = Promote(source_id=wish.source_id, until=until, reason="look", from_last_key=True)
        answer = await self._promoter.ask(promote)
        return answer.reason if answer.reason in _NOT_THERE else ""

    def _held(
        self, seen: Seen, classes: tuple[str, ...], zone: ZoneShape | None
    ) -> tuple[tuple[str, Detections], ...]:
        """Confident findings by class, in the zone if one is named; classes without any are left out."""
        found = seen.found[seen.found.confidence >= self._model.thresholds[seen.found.class_id]]
        held = []
        for name in classes:
            ours: Detections = found[found.class_id == CLASS_NAMES.index(name)]
            points: Callable[..., object] = _POINTS[name]
            if zone is not None:
                ours = ours[zone.holds(np.asarray(points(ours.xyxy)), *seen.size)]
            if len(ours):
                held.append((name, ours))
        return tuple(held)


def _unanswered(wish: LookRequest, reason: str) -> LookAnswer:
    return LookAnswer(id=wish.id, source_id=wish.source_id, outcome=LookOutcome.UNANSWERED, reason=reason)


def _blind(wish: LookRequest, reason: str, at: Instant | None) -> LookAnswer:
    return LookAnswer(
        id=wish.id, source_id=wish.source_id, outcome=LookOutcome.BLIND, reason=reason, event_time=at
    )
