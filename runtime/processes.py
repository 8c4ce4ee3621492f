"""A group of child processes kept alive: one that ends is started again with jittered back-off, until stopped.

Children are told to end (SIGTERM) by the kernel when their parent was killed (Linux PR_SET_PDEATHSIG, prctl(2));
`processes.json` in the run folder says who they are at this moment.
A child whose configuration is wrong (exit code 2) would end the same way again: it is not started again, all end.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import SubprocessError
from typing import TYPE_CHECKING

from contracts.errors import ConfigError
from contracts.instant import SECOND
from runtime.child import dying_with
from runtime.log import get_log
from runtime.supervise import Backoff, wait_or_stop
from runtime.whole_file import write_whole

if TYPE_CHECKING:
    from runtime.clock import Clock

_HEALTHY_S = 5
_WRONG_CONFIGURATION = 2
"""Exit code of our services for a ConfigError; it is no use to try again."""
_DELAY_MAX_S = 5.0
"""A process that lived for `_HEALTHY_S` starts over with the first delay; alarms wait while it is away."""


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One child: its name and its command line.

    `after`: a Unix socket of another child; the first start waits until somebody listens there, `after_s` at most.
    """

    name: str
    command: Sequence[str]
    after: Path | None = None
    after_s: float = 15.0


class ProcessGroup:
    """Starts children and keeps them alive. `restarts` counts how often each was started again."""

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        run_dir: Path,
        clock: Clock,
        *,
        end_s: float = 10.0,
        first_s: float = 0.25,
    ) -> None:
        self._specs = specs
        self._state_file = run_dir / "processes.json"
        self._clock = clock
        self._end_s = end_s
        self._first_s = first_s
        self._pids: dict[str, int] = {}
        self._wrong: list[str] = []
        self.restarts: dict[str, int] = {spec.name: 0 for spec in specs}

    @property
    def pids(self) -> Mapping[str, int]:
        """Process ids by name, of those that run now."""
        return dict(self._pids)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` or cancelled every child runs; then every child has ended (SIGTERM, then SIGKILL).

        Raises ConfigError, with all ended and `stop` set, when a child says that its configuration is wrong.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for spec in self._specs:
                    group.create_task(self._keep(spec, stop))
        finally:
            self._remove_state()
        if self._wrong:
            raise ConfigError(
                f"进程 {', '.join(self._wrong)} 因配置有误而结束, 原因见上 "
                "(it ended since its configuration is wrong, as it says above); 请改正后重新启动"
            )

    async def _keep(self, spec: ProcessSpec, stop: asyncio.Event) -> None:
        await self._await_listener(spec, stop)
        backoff = Backoff(self._first_s, _DELAY_MAX_S, spec.name)
        while not stop.is_set():
            began_ns = self._clock.monotonic_ns()
            code = await self._live(spec, stop)
            if stop.is_set():
                return
            if code == _WRONG_CONFIGURATION:
                self._wrong.append(spec.name)
                stop.set()
                return
            if self._clock.monotonic_ns() - began_ns > _HEALTHY_S * SECOND:
                backoff.succeeded()
            self.restarts[spec.name] += 1
            delay_s = backoff.failed()
            get_log().warning(
                "A process ended and is started again", process=spec.name, code=code, delay_s=round(delay_s, 2)
            )
            await wait_or_stop(self._clock, stop, delay_s)

    async def _await_listener(self, spec: ProcessSpec, stop: asyncio.Event) -> None:
        if spec.after is None:
            return
        until_ns = self._clock.monotonic_ns() + round(spec.after_s * SECOND)
        while self._clock.monotonic_ns() < until_ns and not _listens(spec.after):
            if await wait_or_stop(self._clock, stop, 0.1):
                return

    async def _live(self, spec: ProcessSpec, stop: asyncio.Event) -> int | str:
        """One life of a child; its exit code, or why it could not begin."""
        try:
            process = await asyncio.create_subprocess_exec(
                *spec.command, stdin=asyncio.subprocess.DEVNULL, preexec_fn=dying_with(os.getpid())
            )
        except (OSError, SubprocessError) as error:
            # No memory or no process ids left, for a moment: the other children go on, this one is tried again.
            return str(error)
        self._pids[spec.name] = process.pid
        self._write_state()
        ended = asyncio.create_task(process.wait())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            await self._end(process, ended)
            del self._pids[spec.name]
            self._write_state()
        return ended.result()

    async def _end(self, process: asyncio.subprocess.Process, ended: asyncio.Task[int]) -> None:
        if ended.done():
            return
        with suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait({ended}, timeout=self._end_s)
        if not ended.done():
            get_log().warning("A process did not end in time and is killed", pid=process.pid)
            with suppress(ProcessLookupError):
                process.kill()
            await asyncio.wait({ended})

    def _remove_state(self) -> None:
        """Only our own list: the folder may have been taken over by another group."""
        with suppress(OSError, ValueError):
            if json.loads(self._state_file.read_bytes()).get("parent") == os.getpid():
                self._state_file.unlink()

    def _write_state(self) -> None:
        try:
            self._state_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(self._state_file, json.dumps({"parent": os.getpid(), "children": self._pids}).encode())
        except OSError as error:
            # A full disk takes the list, never the processes.
            get_log().warning(
                "The list of processes cannot be written", file=str(self._state_file), error=str(error)
            )


def _listens(path: Path) -> bool:
    """Whether a process listens on a Unix socket; one that was killed leaves its file behind."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True
        except OSError:
            return False
    return True
