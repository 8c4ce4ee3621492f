"""One child of the media pool as its parent sees it: started, heard, and ended when it dies or is silent."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from subprocess import SubprocessError
from typing import TYPE_CHECKING, Final

from contracts.errors import MalformedMessage, SourceUnreachable
from contracts.instant import SECOND
from ingest.media.link import LENGTHS, Beat, FromChild, Message, Ready, from_child, lengths, pack
from ingest.media.note import new_note, source_at_fault
from runtime.child import child_environment, dying_with, module_command

if TYPE_CHECKING:
    from runtime.clock import Clock

_START_S: Final = 30.0
_CHECKS: Final = 10
_STEADY_S: Final = 30.0
_ADDRESSES_PER_RESIDENT: Final = 4
"""Threads and mapped libraries take addresses that are never memory."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Why a child is gone: `crash`, `killed` (by somebody else), `hung`, `silent`, `memory`, `garbled`; `code` is
    its exit code (negative: a signal); `at_fault` the sources to blame."""

    reason: str
    code: int | None
    at_fault: tuple[int, ...] = ()


class ChildProcess:
    """One life of a child. `on_lost` is called once when it is gone, unless `end` was called before."""

    def __init__(
        self,
        clock: Clock,
        *,
        on_message: Callable[[FromChild, bytes], None],
        on_lost: Callable[[Loss], None],
        memory_bytes: int,
        silent_s: float,
    ) -> None:
        self._clock = clock
        self._on_message = on_message
        self._on_lost = on_lost
        self._memory_bytes = memory_bytes
        self._silent_s = silent_s
        self._heard = False
        self._verdict: Loss | None = None
        self._began_ns = clock.monotonic_ns()
        self._tasks: list[asyncio.Task[None]] = []
        self.rss_bytes = 0

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def steady(self) -> bool:
        """Whether it has lived for half a minute."""
        return self._clock.monotonic_ns() - self._began_ns > _STEADY_S * SECOND

    async def start(self) -> None:
        """Start it and wait until it is there. Raises SourceUnreachable when it does not come."""
        ours, theirs = socket.socketpair()
        self._note = new_note()
        command = module_command(
            "ingest.media.child", theirs.fileno(), self._note, self._memory_bytes * _ADDRESSES_PER_RESIDENT
        )
        try:
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(), self._note),
                    env=child_environment(),
                    preexec_fn=dying_with(os.getpid()),
                )
        except (OSError, SubprocessError):
            ours.close()
            os.close(self._note)
            raise _absent() from None
        self._reader, self._writer = await asyncio.open_connection(sock=ours)
        try:
            async with asyncio.timeout(_START_S):
                message, _ = await self._next()
                if not isinstance(message, Ready):
                    raise _absent()
        except (OSError, EOFError, MalformedMessage, TimeoutError):
            await self._bury()
            raise _absent() from None
        except BaseException:
            await self._bury()
            raise
        self._tasks = [
            asyncio.create_task(self._live(), name=f"media child {self.pid}"),
            asyncio.create_task(self._watch(), name=f"watch media child {self.pid}"),
        ]

    def send(self, message: Message) -> None:
        """Tell it something; a child that is gone hears nothing."""
        if not self._writer.is_closing():
            self._writer.write(pack(message))

    async def end(self) -> None:
        """End it without calling it a loss."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._bury()

    async def _next(self) -> tuple[FromChild, bytes]:
        head_bytes, data_bytes = lengths(await self._reader.readexactly(LENGTHS.size))
        head = await self._reader.readexactly(head_bytes)
        data = await self._reader.readexactly(data_bytes)
        self._heard = True
        return from_child(head), data

    async def _live(self) -> None:
        """Hear it until it is gone, then say so."""
        try:
            while True:
                message, data = await self._next()
                if isinstance(message, Beat):
                    self._on_beat(message)
                else:
                    self._on_message(message, data)
        except MalformedMessage:
            self._condemn(Loss("garbled", None))
        except (OSError, EOFError):
            pass
        # `end` cancels us before this; from here on the loss is told whatever happens.
        self._tasks[1].cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await self._process.wait()
        self._on_lost(self._judge(self._process.returncode))
        await self._bury()

    def _judge(self, code: int | None) -> Loss:
        if self._verdict is not None:
            return self._verdict
        if code in (-signal.SIGKILL, -signal.SIGTERM):
            return Loss("killed", code)
        number = source_at_fault(self._note)
        return Loss("crash", code, () if number is None else (number,))

    def _on_beat(self, beat: Beat) -> None:
        self.rss_bytes = beat.rss_bytes
        if beat.hanging:
            self._condemn(Loss("hung", None, tuple(beat.hanging)))
        elif beat.rss_bytes > self._memory_bytes:
            self._condemn(Loss("memory", None))

    async def _watch(self) -> None:
        """End a child that says nothing. Silence is counted in looks: a stall of ours must not count."""
        silent = 0
        while True:
            await self._clock.asleep(self._silent_s / _CHECKS)
            silent = 0 if self._heard else silent + 1
            self._heard = False
            if silent > _CHECKS:
                self._condemn(Loss("silent", None))
                return

    def _condemn(self, loss: Loss) -> None:
        if self._verdict is None:
            self._verdict = loss
            with suppress(ProcessLookupError):
                self._process.kill()

    async def _bury(self) -> None:
        self._writer.close()
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        if self._note >= 0:
            os.close(self._note)
            self._note = -1


def _absent() -> SourceUnreachable:
    return SourceUnreachable(
        "媒体子进程无法启动 (a media child does not start); see its message on stderr", reason="media_child_lost"
    )
