"""Looks: operators' questions to inference, bounded per principal and in total, asked once for who asks at once.

    POST /api/v1/looks ─▶ budget ─▶ LookRequest (control-inference) ─▶ LookAnswer

Nothing is stored but the newest looks, in memory: a look is of the moment. That somebody asked stands in the
register.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from uuid import uuid4

from contracts import topics, wire
from contracts.control import LookAnswer, LookOutcome, LookRequest, look_within_s
from contracts.errors import CommandRefused, GridwhistleError
from contracts.instant import MINUTE, SECOND, Instant
from dashboard_api.config import ApiConfig
from dashboard_api.problem import ApiError
from runtime.clock import Clock
from runtime.metrics import StageCounters
from runtime.request_link import RequestClient

SHARED_NS: Final = 2 * SECOND
"""The same question about the same camera is one look while that is under way, and so long from its start."""
_ANSWER_MARGIN_S: Final = 2.0
"""What inference may take beyond the wait for a picture: decoding, detecting, the links."""
_PRINCIPALS_MAX: Final = 10_000
_REMEMBERED_MAX: Final = 1_000
REMEMBERED_NS: Final = 60 * MINUTE


@dataclass(frozen=True, slots=True)
class Look:
    """One camera that was looked at. `shared`: somebody else's look, a moment before, answered this one too."""

    answer: LookAnswer
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Looked:
    """What somebody asked and was told; `left_out`: cameras near the place that were not asked, by the bound."""

    id: str
    principal_id: str
    kind: str
    asked_at: Instant
    looks: tuple[Look, ...]
    left_out: int = 0


@dataclass(slots=True)
class _Asked:
    at: Instant
    task: asyncio.Task[LookAnswer]


class LookBudget:
    """Looks of the last minute, per principal and in total."""

    def __init__(self, per_principal: int, total: int) -> None:
        self._per_principal = per_principal
        self._total = total
        self._all: deque[Instant] = deque()
        self._by: OrderedDict[str, deque[Instant]] = OrderedDict()

    def wait_s(self, principal_id: str, looks: int, now: Instant) -> int:
        """Whole seconds until this many looks fit, 0 when they do now."""
        own = self._by.get(principal_id, deque())
        return max(_wait_s(own, self._per_principal, looks, now), _wait_s(self._all, self._total, looks, now))

    def spend(self, principal_id: str, looks: int, now: Instant) -> None:
        """Enter so many looks."""
        own = self._by.setdefault(principal_id, deque())
        self._by.move_to_end(principal_id)
        while len(self._by) > _PRINCIPALS_MAX:
            self._by.popitem(last=False)
        for each in (own, self._all):
            each.extend([now] * looks)


def _wait_s(spent: deque[Instant], most: int, looks: int, now: Instant) -> int:
    while spent and now - spent[0] >= MINUTE:
        spent.popleft()
    over = len(spent) + min(looks, most) - most
    if over <= 0:
        return 0
    return max(1, math.ceil((spent[over - 1] + MINUTE - now) / SECOND))


class LookDesk:
    """Asks inference for those who ask the API. For one event loop."""

    def __init__(self, client: RequestClient, config: ApiConfig, clock: Clock, counters: StageCounters) -> None:
        self._client = client
        self._config = config
        self._clock = clock
        self._counters = counters
        self._budget = LookBudget(config.looks_per_minute, config.looks_per_minute_total)
        self._asked: dict[tuple[str, str, str], _Asked] = {}
        self._newest: OrderedDict[str, Looked] = OrderedDict()

    async def look(
        self,
        principal_id: str,
        source_ids: tuple[str, ...],
        kind: str,
        zone_id: str,
        *,
        off: frozenset[str],
        left_out: int,
        key_intervals_s: Mapping[str, float] = MappingProxyType({}),
    ) -> Looked:
        """Look at these cameras at once; those of `off` are not asked. Answered within the bound of the config, or
        of a camera's key interval where that is longer (contracts.control.look_within_s).

        Raises ApiError 429 `looks_limit` when the principal, or all together, asked too often.
        """
        now = self._clock.now()
        self._forget(now)
        asked = [each for each in source_ids if each not in off]
        fresh = [each for each in asked if (each, kind, zone_id) not in self._asked]
        wait_s = self._budget.wait_s(principal_id, len(fresh), now) if fresh else 0
        if wait_s:
            self._counters.count("looks_refused", "looks_limit")
            raise ApiError(
                429,
                "looks_limit",
                f"查看过于频繁, 请 {wait_s} 秒后再看 (too many looks; ask again in {wait_s} s)",
                retry_after_s=wait_s,
            )
        self._budget.spend(principal_id, len(fresh), now)
        for each in fresh:
            task = asyncio.create_task(
                self._ask(each, kind, zone_id, key_intervals_s.get(each, 0.0)), name=f"look {each}"
            )
            self._asked[each, kind, zone_id] = _Asked(now, task)
        # Shielded: an asker who goes away does not take the answer from those who share it.
        tasks = {each: asyncio.shield(self._asked[each, kind, zone_id].task) for each in asked}
        answers = dict(zip(tasks, await asyncio.gather(*tasks.values()), strict=True))
        looks = tuple(
            Look(answers.get(each) or _unanswered(each, "off"), each in answers and each not in fresh)
            for each in source_ids
        )
        for look in looks:
            self._counters.count("looks", look.answer.outcome)
        looked = Looked(f"look-{uuid4().hex}", principal_id, kind, now, looks, left_out)
        self._newest[looked.id] = looked
        return looked

    def find(self, look_id: str, principal_id: str) -> Looked:
        """One of this asker's newest looks. Raises ApiError 404."""
        self._forget(self._clock.now())
        looked = self._newest.get(look_id)
        if looked is None or looked.principal_id != principal_id:
            raise ApiError(
                404, "look_not_found", "没有这次查看, 或已过一小时 (no such look, or an hour has passed)"
            )
        return looked

    def _forget(self, now: Instant) -> None:
        for key, asked in list(self._asked.items()):
            if asked.task.done() and now - asked.at >= SHARED_NS:
                del self._asked[key]
        while self._newest and (
            len(self._newest) > _REMEMBERED_MAX or now - next(iter(self._newest.values())).asked_at > REMEMBERED_NS
        ):
            self._newest.popitem(last=False)

    async def _ask(self, source_id: str, kind: str, zone_id: str, key_interval_s: float) -> LookAnswer:
        """One question; whatever fails is an answer with its reason."""
        within_s = look_within_s(self._config.look_within_s, key_interval_s)
        wish = LookRequest(id=uuid4().hex, source_id=source_id, kind=kind, zone_id=zone_id, within_s=within_s)
        try:
            body = await self._client.request(
                topics.REQUEST_LOOK, wire.encode(wish), timeout_s=wish.within_s + _ANSWER_MARGIN_S
            )
            return wire.decode(body, LookAnswer)
        except GridwhistleError as error:
            reason = error.reason if isinstance(error, CommandRefused) else "no_link"
            self._counters.count("looks_failed", reason)
            return _unanswered(source_id, reason)


def _unanswered(source_id: str, reason: str) -> LookAnswer:
    return LookAnswer(id="", source_id=source_id, outcome=LookOutcome.UNANSWERED, reason=reason)
