"""Looks: when sensors alone say that something happens, the cameras that see the place are asked what they see.

    engine's effects ─▶ (commit) ─▶ LookRequest to inference ─▶ LookAnswer ─▶ note in the incident

The note is for people: seen, nothing seen, blind, or why there is no answer. It decides nothing, since what a look
sees comes as an Observation like any other, and must not count twice. A look is of the moment: it is asked once,
and a question that nobody answered is counted and not asked again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

from alerts.core.effects import Effect, IncidentChanged
from alerts.witnesses import Arrivals, Witnesses
from contracts import topics, wire
from contracts.command import Command, CommandAnswer, CommandKind
from contracts.control import LookAnswer, LookRequest, look_within_s
from contracts.errors import GridwhistleError
from contracts.ids import derive_id
from contracts.incident import Incident
from contracts.look_words import said_zh
from contracts.observation import IncidentType
from contracts.principal import SYSTEM

if TYPE_CHECKING:
    from alerts.config import LookConfig
    from contracts.source import Camera
    from runtime.clock import Clock
    from runtime.metrics import StageCounters
    from runtime.request_link import RequestClient

_ANSWER_MARGIN_S: Final = 2.0
"""What inference may take beyond the wait for a picture."""
_VISIBLE: Final = frozenset({IncidentType.SMOKE_SENSOR, IncidentType.HEAT, IncidentType.ELECTRICAL})
"""What sensors claim and a picture may show as fire or smoke; of gas it shows nothing."""


class LookDesk:
    """Chooses, asks and notes. For one event loop; `obey` hands a command to the next step."""

    def __init__(
        self,
        site: str,
        config: LookConfig,
        witnesses: Witnesses,
        clock: Clock,
        counters: StageCounters,
        obey: Callable[[Command], Awaitable[CommandAnswer]],
    ) -> None:
        self._site = site
        self._config = config
        self._witnesses = witnesses
        self._clock = clock
        self._counters = counters
        self._obey = obey
        self._arrivals = Arrivals()
        self._wanted: deque[tuple[Incident, Camera]] = deque()
        self._came = asyncio.Event()

    def committed(self, effects: Sequence[Effect]) -> None:
        """These effects stand. Never waits; beyond `waiting_max` looks the newest are counted and not asked."""
        for effect in effects:
            if isinstance(effect, IncidentChanged) and self._arrivals.is_first(effect.incident):
                self._want(effect.incident)

    async def ask_forever(self, client: RequestClient) -> None:
        """Ask, `at_once` cameras at a time, until cancelled."""
        async with asyncio.TaskGroup() as asking:
            for _ in range(self._config.at_once):
                asking.create_task(self._ask_one_by_one(client))

    def _want(self, incident: Incident) -> None:
        most = self._config.cameras_max
        if incident.type not in _VISIBLE or self._witnesses.own(incident, 1):
            return
        for camera in self._witnesses.around(incident.place, most, self._config.near_m):
            if len(self._wanted) >= self._config.waiting_max:
                self._counters.count("looks_not_asked", "busy")
                continue
            self._wanted.append((incident, camera))
            self._came.set()

    async def _ask_one_by_one(self, client: RequestClient) -> None:
        while True:
            while not self._wanted:
                self._came.clear()
                await self._came.wait()
            await self._look(client, *self._wanted.popleft())

    async def _look(self, client: RequestClient, incident: Incident, camera: Camera) -> None:
        wish = LookRequest(
            id=derive_id("look", incident.id, camera.id),
            source_id=camera.id,
            kind=incident.type,
            within_s=look_within_s(self._config.within_s, camera.key_interval_s),
        )
        try:
            body = await client.request(
                topics.REQUEST_LOOK, wire.encode(wish), timeout_s=wish.within_s + _ANSWER_MARGIN_S
            )
            answer = wire.decode(body, LookAnswer)
        except GridwhistleError as error:
            self._counters.count("looks_not_asked", error.reason)
            return
        self._counters.count("looks", answer.outcome)
        note = Command(
            id=wish.id,
            site=self._site,
            kind=CommandKind.NOTE,
            principal=SYSTEM,
            at=self._clock.now(),
            target_id=incident.id,
            note=f"{camera.name} {said_zh(answer)}",
            exercise=incident.exercise,
        )
        try:
            noted = await self._obey(note)
        except GridwhistleError as error:
            self._counters.count("looks_not_noted", error.reason)
            return
        if not noted.accepted:
            self._counters.count("looks_not_noted", noted.reason)
