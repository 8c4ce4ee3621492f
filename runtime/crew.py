"""The tasks of a service: when one of them ends by a defect the service ends too, loudly, to be started anew."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Crew:
    """Background tasks that live as long as the main work of a service."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Begin a task."""
        self._tasks.append(asyncio.create_task(work, name=name))

    async def work(self, main: Coroutine[Any, Any, object], stop: asyncio.Event) -> None:
        """Run `main` to its end. Raises what a background task raised, or RuntimeError when one ended by itself
        before `stop`."""
        ours = asyncio.create_task(main, name="main")
        try:
            await asyncio.wait({ours, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in self._tasks:
                if task.done() and not stop.is_set():
                    task.result()
                    raise RuntimeError(f"the task '{task.get_name()}' ended by itself")
            await ours
        finally:
            ours.cancel()
            await asyncio.gather(ours, return_exceptions=True)

    async def close(self) -> None:
        """Cancel all and wait for their ends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
