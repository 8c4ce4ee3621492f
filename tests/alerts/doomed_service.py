"""Runs alerts in a process of its own that kills itself (SIGKILL) at the n-th point: python -m … FOLDER POINT.

Points: SQL statements, commits about to be made, and commits made but not yet acknowledged. 0 = never.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Engine, event

from alerts import service
from runtime.clock import SystemClock
from runtime.log import configure_log
from runtime.log_link import Position
from runtime.shutdown import stop_on_signals
from runtime.zmq_log import ZmqLogReceiver
from tests.alerts.county import CONFIG
from tests.alerts.site_files import site_in


class Doom:
    def __init__(self, point: int) -> None:
        self._left = point

    def point(self, *_: object) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def bring(doom: Doom) -> None:
    event.listen(Engine, "before_cursor_execute", doom.point)
    event.listen(Engine, "commit", doom.point)
    acknowledge = ZmqLogReceiver.commit

    async def commit(receiver: ZmqLogReceiver, positions: Sequence[Position]) -> None:
        doom.point()
        await acknowledge(receiver, positions)

    setattr(ZmqLogReceiver, "commit", commit)  # noqa: B010 - a method of a class that mypy guards


async def main(folder: Path, point: int) -> None:
    if point:
        bring(Doom(point))
    stop = asyncio.Event()
    stop_on_signals(stop)
    await service.run(site_in(folder), CONFIG, SystemClock(), stop)


if __name__ == "__main__":
    configure_log("alerts", "warning")
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
