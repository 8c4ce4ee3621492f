"""Orderly ends: clean-ups registered by name the moment a thing exists, run last in first out, with a deadline."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from runtime.log import get_log


class Shutdown:
    """`async with Shutdown(5.0) as on_stop: ... on_stop("close the log link", link.close)`."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._steps: list[tuple[str, Callable[[], Awaitable[None]]]] = []

    def __call__(self, name: str, clean_up: Callable[[], Awaitable[None]]) -> None:
        """Register a clean-up."""
        self._steps.append((name, clean_up))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Run all clean-ups; one that fails or overruns is logged by name and does not stop the others."""
        while self._steps:
            name, clean_up = self._steps.pop()
            try:
                async with asyncio.timeout(self._deadline_s):
                    await clean_up()
            except Exception as failure:  # noqa: BLE001 - every resource must get its turn
                get_log().warning("A clean-up step failed", step=name, error=repr(failure))


def stop_on_signals(stop: asyncio.Event) -> None:
    """SIGTERM and SIGINT set `stop` instead of ending the process in the middle of something."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
