"""The inbox of the step loop: log entries, commands, outcomes of deliveries and filmstrips that are given up wait
here, bounded, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from alerts.delivery.outbox import Outcome
from contracts.command import Command, CommandAnswer
from contracts.errors import GridwhistleError, LinkClosed
from contracts.filmstrip import Filmstrip
from runtime.log_link import LogEntry


@dataclass(slots=True)
class Taken:
    """What one step takes from the inbox."""

    entries: list[LogEntry] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    filmstrips: list[Filmstrip] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.entries) + len(self.commands) + len(self.outcomes) + len(self.filmstrips)


class Inbox:
    """Bounded at `capacity` log entries: on overflow the reader of the link waits, and with it the producers.

    Commands are bounded by the request server, outcomes by the attempts in flight, filmstrips by those in work.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: deque[LogEntry] = deque()
        self._commands: deque[Command] = deque()
        self._outcomes: deque[Outcome] = deque()
        self._filmstrips: deque[Filmstrip] = deque()
        self._asked: dict[str, asyncio.Future[CommandAnswer]] = {}
        self._recorded: dict[str, asyncio.Future[None]] = {}
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def depth(self) -> int:
        """Log entries that wait."""
        return len(self._entries)

    async def put_entries(self, entries: Sequence[LogEntry]) -> None:
        """Add entries in order; waits while the inbox is full."""
        await self._room.wait()
        self._entries.extend(entries)
        if entries:
            self._work.set()
        if len(self._entries) >= self._capacity:
            self._room.clear()

    async def ask(self, command: Command) -> CommandAnswer:
        """Hand a command to the next step and wait until its answer is committed.

        The same command asked again meanwhile waits for the same answer. Raises LinkClosed when the service ends
        before that.
        """
        future = self._asked.get(command.id)
        if future is None:
            future = self._asked[command.id] = asyncio.get_running_loop().create_future()
            self._commands.append(command)
            self._work.set()
        return await asyncio.shield(future)

    async def record(self, outcome: Outcome) -> None:
        """Hand over what an attempt of delivery came to; returns when it is committed."""
        future = self._recorded[outcome.id] = asyncio.get_running_loop().create_future()
        self._outcomes.append(outcome)
        self._work.set()
        await future

    def note(self, strip: Filmstrip) -> None:
        """Hand over a filmstrip that is given up."""
        self._filmstrips.append(strip)
        self._work.set()

    async def take(self, limit: int, wait_s: float, *, alone: bool = False) -> Taken:
        """What waits now, at most `limit` entries and `limit` commands; waits up to `wait_s` for something.

        `alone`: one command or one entry, so that a defect found with it is its own.
        """
        if not self._work.is_set() and wait_s > 0:
            # Not wait_for: in Python 3.11 it loses a cancellation that comes together with the event.
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._work.wait()
        commands_max = 1 if alone else limit
        entries_max = int(not self._commands) if alone else limit
        taken = Taken(
            entries=[self._entries.popleft() for _ in range(min(entries_max, len(self._entries)))],
            commands=[self._commands.popleft() for _ in range(min(commands_max, len(self._commands)))],
            outcomes=[self._outcomes.popleft() for _ in range(len(self._outcomes))],
            filmstrips=[self._filmstrips.popleft() for _ in range(len(self._filmstrips))],
        )
        if len(self._entries) < self._capacity:
            self._room.set()
        if not (self._entries or self._commands):
            self._work.clear()
        return taken

    def put_back(self, taken: Taken) -> None:
        """Return what could not be done, in front of everything else."""
        self._entries.extendleft(reversed(taken.entries))
        self._commands.extendleft(reversed(taken.commands))
        self._outcomes.extendleft(reversed(taken.outcomes))
        self._filmstrips.extendleft(reversed(taken.filmstrips))
        self._work.set()

    def settle(self, taken: Taken, answers: Sequence[CommandAnswer]) -> None:
        """Tell those who wait that their part is committed."""
        for answer in answers:
            asked = self._asked.pop(answer.command_id, None)
            if asked is not None and not asked.done():
                asked.set_result(answer)
        for command in taken.commands:
            unanswered = self._asked.pop(command.id, None)
            if unanswered is not None and not unanswered.done():
                unanswered.set_exception(
                    GridwhistleError(f"命令 {command.id} 未得到回答 (the rules gave no answer)", reason="bug")
                )
        for outcome in taken.outcomes:
            recorded = self._recorded.pop(outcome.id, None)
            if recorded is not None and not recorded.done():
                recorded.set_result(None)

    def close(self) -> None:
        """Nothing will be committed any more: tell everybody who waits."""
        closed = LinkClosed("alerts 正在停止 (alerts is stopping); ask again")
        waiting: list[asyncio.Future[CommandAnswer] | asyncio.Future[None]] = [
            *self._asked.values(),
            *self._recorded.values(),
        ]
        for future in waiting:
            if not future.done():
                future.set_exception(closed)
                # Read once, so that a caller who left already is no "exception never retrieved".
                future.exception()
        self._asked.clear()
        self._recorded.clear()
