"""The answering end of looks, over the real link: what each camera answers is set by the test."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec

from contracts import topics, wire
from contracts.control import LookAnswer, LookOutcome, LookRequest
from contracts.instant import Instant
from runtime.clock import Clock
from runtime.site import Site
from runtime.zmq_request import ZmqRequestServer


class InferenceStandIn:
    """Answers REQUEST_LOOK; a camera of which nothing was said shows an empty street half a second ago."""

    def __init__(self, site: Site, clock: Clock) -> None:
        self._clock = clock
        self._answers: dict[str, LookAnswer] = {}
        self.asked: list[LookRequest] = []
        self._awake = asyncio.Event()
        self._awake.set()
        self._server = ZmqRequestServer(site.endpoint(topics.CONTROL_INFERENCE), clock)
        self._task = asyncio.create_task(self._server.serve(self._answer))

    def says(self, answer: LookAnswer) -> None:
        """What its camera answers from now on."""
        self._answers[answer.source_id] = answer

    def pause(self) -> None:
        """Stop answering, as a process that hangs."""
        self._awake.clear()

    def resume(self) -> None:
        self._awake.set()

    async def until_asked(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.asked) < count:
                await self._clock.asleep(0.01)

    async def close(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _answer(self, kind: str, body: bytes) -> bytes:
        assert kind == topics.REQUEST_LOOK
        wish = wire.decode(body, LookRequest)
        self.asked.append(wish)
        await self._awake.wait()
        empty = LookAnswer(
            id=wish.id,
            source_id=wish.source_id,
            outcome=LookOutcome.NOTHING,
            event_time=Instant(self._clock.now() - 500_000_000),
        )
        return wire.encode(msgspec.structs.replace(self._answers.get(wish.source_id, empty), id=wish.id))
