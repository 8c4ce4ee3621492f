"""How the helper processes are asked: a JSON line on standard input, a JSON line on standard output."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence

import msgspec

from contracts.wire import DOES_NOT_PARSE


def say(line: msgspec.Struct) -> None:
    """One JSON line on standard output."""
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


async def answer_lines(
    answer: Callable[[bytes], msgspec.Struct], work: Sequence[Coroutine[None, None, None]]
) -> None:
    """Do `work` and answer each line until standard input ends; the work is cancelled then.

    Raises what the work raised, at the next line.
    """
    tasks = [asyncio.create_task(each) for each in work]
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while line := await reader.readline():
            for task in tasks:
                if task.done():
                    task.result()
            try:
                say(answer(line))
            except DOES_NOT_PARSE as error:
                print(f"{line[:100]!r}: {error}", file=sys.stderr)
    finally:
        transport.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
