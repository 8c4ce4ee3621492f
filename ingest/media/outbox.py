"""What waits in a media child for the link to its parent, bounded whatever the sources send."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

from ingest.media.link import Beat, Ended, Message, Taken, pack
from ingest.media.play import PlayedPicture

BUDGET_BYTES: Final = 48 << 20
"""Of pictures that wait in one child, all sources together: 16 promoted cameras of 8 Mb/s for 3 s."""


@dataclass(slots=True)
class _Line:
    """The pictures of one source that wait. `broken`: up to its next key picture nothing can be decoded."""

    pictures: deque[PlayedPicture] = field(default_factory=deque)
    size_bytes: int = 0
    given_up: int = 0
    broken: bool = False


class Outbox:
    """Events in order, and of each source its latest key picture only, or while it is collected every picture.

    Over the budget the source with the most bytes falls forward to its next key picture, so that what leaves can
    always be decoded. A recording that is read as fast as it is taken waits for its turn and loses nothing.
    """

    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        self._budget_bytes = budget_bytes
        self._changed = threading.Condition()
        self._events: deque[Message] = deque()
        self._lines: OrderedDict[int, _Line] = OrderedDict()
        self.size_bytes = 0

    def event(self, message: Message) -> None:
        """Add an event. They are few: an end and an opening per source, a beat only while none waits."""
        with self._changed:
            if isinstance(message, Beat) and any(isinstance(each, Beat) for each in self._events):
                return
            self._events.append(message)
            self._changed.notify_all()

    def picture(self, number: int, played: PlayedPicture) -> None:
        """Leave a picture; those that are given up for it are counted with the next one that leaves."""
        with self._changed:
            line = self._lines.setdefault(number, _Line())
            while played.every and line.pictures:
                self._changed.wait()
            if played.picture.key:
                line.broken = False
                if not played.collected:
                    self._give_up(line, len(line.pictures))
            elif line.broken:
                line.given_up += 1
                return
            line.pictures.append(played)
            line.size_bytes += len(played.picture.data)
            self.size_bytes += len(played.picture.data)
            while self.size_bytes > self._budget_bytes:
                self._fall_forward(max(self._lines.values(), key=lambda each: each.size_bytes))
            self._changed.notify_all()

    def take(self) -> bytes:
        """The next frame; waits for one. The sources take turns; a source's pictures leave before its end."""
        with self._changed:
            while True:
                number = self._next()
                if self._events and not (
                    isinstance(self._events[0], Ended) and self._holds(self._events[0].number)
                ):
                    event = self._events.popleft()
                    if isinstance(event, Ended):
                        self._lines.pop(event.number, None)
                    return pack(event)
                if number is not None:
                    break
                self._changed.wait()
            if self._events:
                number = self._events[0].number
            line = self._lines[number]
            self._lines.move_to_end(number)
            played, given_up = line.pictures.popleft(), line.given_up
            line.given_up = 0
            line.size_bytes -= len(played.picture.data)
            self.size_bytes -= len(played.picture.data)
            self._changed.notify_all()
        picture = played.picture
        head = Taken(
            number=number,
            codec=played.format.codec,
            time_s=picture.time_s,
            wall_ns=played.wall_ns,
            first=played.first or given_up > 0,
            dropped_pictures=picture.dropped_pictures,
            dropped_bytes=picture.dropped_bytes,
            key=picture.key,
            replaced=given_up,
        )
        return pack(head, picture.data)

    def _holds(self, number: int) -> bool:
        line = self._lines.get(number)
        return line is not None and bool(line.pictures)

    def _next(self) -> int | None:
        return next((number for number, line in self._lines.items() if line.pictures), None)

    def _give_up(self, line: _Line, count: int) -> None:
        for _ in range(count):
            size = len(line.pictures.popleft().picture.data)
            line.size_bytes -= size
            self.size_bytes -= size
        line.given_up += count

    def _fall_forward(self, line: _Line) -> None:
        self._give_up(line, 1)
        while line.pictures and not line.pictures[0].picture.key:
            self._give_up(line, 1)
        line.broken = not line.pictures
