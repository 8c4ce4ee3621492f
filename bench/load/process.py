"""A helper process that answers JSON lines: started, asked, stopped with whoever started it."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self, TypeVar

import msgspec

from contracts.errors import GridwhistleError, LinkClosed
from contracts.wire import DOES_NOT_PARSE

ROOT: Final = Path(__file__).resolve().parents[2]
_Answer = TypeVar("_Answer", bound=msgspec.Struct)
_STOP_S: Final = 10.0
_LINE_BYTES_MAX: Final = 1 << 20


class LineProcess:
    """`python -m module arguments...`, asked by one JSON line after the other.

    Raises LinkClosed whenever it ended or says what is no answer; its standard error is ours.
    """

    def __init__(self, name: str, process: Process) -> None:
        self.name = name
        self.pid = process.pid
        self._process = process
        self._lock = asyncio.Lock()

    @classmethod
    async def start(cls, module: str, arguments: Sequence[str] = ()) -> Self:
        """Start it."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *arguments, cwd=ROOT, stdin=PIPE, stdout=PIPE, limit=_LINE_BYTES_MAX
        )
        return cls(module, process)

    async def hear(self, kind: type[_Answer]) -> _Answer:
        """The next line that it says of itself."""
        assert self._process.stdout is not None, "started with a pipe"
        line = await self._process.stdout.readline()
        if not line:
            raise LinkClosed(f"{self.name} 已退出 (ended); 见上面的错误 (see its error above)")
        try:
            return msgspec.json.decode(line, type=kind)
        except DOES_NOT_PARSE as error:
            raise LinkClosed(f"{self.name} 的应答无法解析 (its answer does not parse): {line[:200]!r}") from error

    async def ask(self, question: msgspec.Struct, kind: type[_Answer]) -> _Answer:
        """Ask and wait for the answer."""
        assert self._process.stdin is not None, "started with a pipe"
        async with self._lock:
            self._process.stdin.write(msgspec.json.encode(question) + b"\n")
            try:
                await self._process.stdin.drain()
            except ConnectionError:
                raise LinkClosed(f"{self.name} 已退出 (ended)") from None
            return await self.hear(kind)

    async def stop(self) -> None:
        """Close its standard input, which ends it; kill it when it stays."""
        if self._process.returncode is not None:
            return
        assert self._process.stdin is not None, "started with a pipe"
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_STOP_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            raise GridwhistleError(
                f"{self.name} 未按时结束, 已强制终止 (did not end in time; killed)", reason="not_stopped"
            ) from None
