from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from runtime.clock import SystemClock
from runtime.processes import ProcessGroup, ProcessSpec

SLEEPER = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); signal.pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"
)


async def until(group: ProcessGroup, name: str, other_than: int = 0) -> int:
    while group.pids.get(name, other_than) == other_than:
        await asyncio.sleep(0.01)  # noqa: TID251
    return group.pids[name]


async def test_killed_child_comes_back_and_all_end_when_stopped(tmp_path: Path) -> None:
    specs = [ProcessSpec(name, [sys.executable, "-c", SLEEPER]) for name in ("a", "b")]
    group, stop = ProcessGroup(specs, tmp_path, SystemClock(), first_s=0.01), asyncio.Event()
    task = asyncio.create_task(group.run(stop))
    first, other = await until(group, "a"), await until(group, "b")
    os.kill(first, signal.SIGKILL)
    second = await asyncio.wait_for(until(group, "a", first), 10)
    assert json.loads((tmp_path / "processes.json").read_text())["children"] == {"a": second, "b": other}
    assert group.restarts == {"a": 1, "b": 0}
    stop.set()
    await asyncio.wait_for(task, 20)
    assert not group.pids
    assert not (tmp_path / "processes.json").exists()


async def test_child_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    group = ProcessGroup([ProcessSpec("s", [sys.executable, "-c", STUBBORN])], tmp_path, SystemClock(), end_s=0.2)
    stop = asyncio.Event()
    task = asyncio.create_task(group.run(stop))
    await until(group, "s")
    await asyncio.sleep(0.3)  # noqa: TID251
    stop.set()
    await asyncio.wait_for(task, 20)
    assert not group.pids
