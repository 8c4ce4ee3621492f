"""The task behind one end of a link: what ends it is said at once and to all who ask, not first at close."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from contracts.errors import LinkClosed
from runtime.log import get_log


class Listener:
    """Runs `work`, which hears the link `name`, until `close`. Made inside the running event loop.

    When `work` ends by an error, which is a defect of ours, one line of the log says so and `on_defect` is called:
    whoever waits on the link must be woken.
    """

    def __init__(
        self, name: str, work: Coroutine[Any, Any, None], on_defect: Callable[[], None] = lambda: None
    ) -> None:
        self._name = name
        self._on_defect = on_defect
        self._closing = False
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(self._ended)

    def check(self) -> None:
        """Raises LinkClosed when nobody listens any more."""
        if self._closing:
            raise LinkClosed(f"the link {self._name} is closed")
        if self._task.done():
            raise LinkClosed(
                f"the link {self._name} hears nothing any more, by a defect that the log names; "
                "start this process again"
            )

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            get_log().error("A link's listener ended by a defect", link=self._name, error=repr(error))
            self._on_defect()

    async def close(self) -> None:
        """End the task. Its error was told already and is not raised again."""
        self._closing = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
