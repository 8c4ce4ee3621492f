"""`Latest`: the link of pictures. Lossy, latest per source, pulled by credit; the sender never waits.

A promoted source has a bounded queue in order instead, which falls forward to a key picture when it is full. Two
protocols with one implementation today (runtime.zmq_latest); `LatestStore` is the sender's memory. One puller at
a time hears of a picture; one that comes anew hears of all that waits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Protocol

from contracts.frame import ActivityNotice, Frame, FrameHeader
from runtime.chain_queue import NEW_PULLER, ChainQueue

_FULL: Final = "queue_full"


class LatestPublisher(Protocol):
    """Ingest's end."""

    def offer(self, header: FrameHeader, data: bytes) -> None:
        """Announce a picture. Never blocks.

        It replaces the waiting one of its source (counted), or, if `header.promoted`, it queues behind them.
        """

    def notice(self, notice: ActivityNotice) -> None:
        """Announce what shows of a source between two pictures; the newest per source waits. Never blocks."""

    def forget(self, source_id: str) -> None:
        """Drop what waits of a source that went away."""

    async def serve(self) -> None:
        """Answer pulls until cancelled."""


class LatestPuller(Protocol):
    """Inference's end."""

    async def headers(self, *, limit: int, wait_s: float) -> list[FrameHeader]:
        """Up to `limit` headers that changed since the last call, oldest announcement first.

        One per source, its newest; of a promoted source every one, in decoding order. [] after `wait_s`, or
        sooner when there are `notices` only.
        """

    def notices(self) -> list[ActivityNotice]:
        """The notices that came since the last call, one per source, oldest first. Never waits."""

    async def pull(self, wants: Sequence[tuple[str, int]]) -> list[Frame]:
        """The pictures named by (source_id, sequence), in their order; those overtaken meanwhile are left out.

        A picture is handed over once; of a promoted source those before it are given up.
        """

    async def close(self) -> None:
        """Give the link back."""


class LatestStore:
    """The sender's memory within a budget of bytes: the latest picture of each source, and the queues of promoted.

    Of an ordinary source only the latest picture waits, until a newer one replaces it; over the budget the oldest
    announcement goes first. Counts: `replaced` (a newer picture came before anybody pulled), `evicted` (budget).

    A promoted source (`FrameHeader.promoted`) has a queue in decoding order, handed over picture by picture. A
    full queue falls forward to its next key picture, so what waits can always be decoded by who pulled the rest;
    so does the longest queue when all together are full. `dropped` counts these by reason: `queue_full`,
    `chain_gap` (ingest left one out), `no_key` (the group's key picture never came), `new_puller` (what it needs
    went to a puller that is gone), `passed_over` (a later one was pulled), `too_large`. A promotion's end needs
    no word: the next ordinary picture waits behind the queue, and is replaced there like any other.

    Of notices the newest of each source waits, until somebody hears of it.
    """

    def __init__(
        self,
        budget_bytes: int,
        *,
        queue_bytes: int = 8 << 20,
        queue_pictures: int = 1500,
        queues_bytes: int | None = None,
    ) -> None:
        """`queue_bytes`, `queue_pictures` bound one promoted source, `queues_bytes` all; None: half the budget."""
        self.budget_bytes = budget_bytes
        self.queues_bytes_max = budget_bytes // 2 if queues_bytes is None else queues_bytes
        self.queue_bytes_max = min(queue_bytes, self.queues_bytes_max)
        self.queue_pictures_max = queue_pictures
        if not 0 < self.queues_bytes_max <= budget_bytes or queue_bytes <= 0 or queue_pictures <= 0:
            raise ValueError("the bounds of the picture store are positive, those of queues within its budget")
        self.size_bytes = 0
        self.queued_bytes = 0
        self.replaced = 0
        self.evicted = 0
        self.dropped: dict[str, int] = {}
        self._frames: OrderedDict[str, Frame] = OrderedDict()
        self._unannounced: OrderedDict[str, None] = OrderedDict()
        self._queues: dict[str, ChainQueue] = {}
        self._notices: OrderedDict[str, ActivityNotice] = OrderedDict()

    def put_notice(self, notice: ActivityNotice) -> None:
        """Keep this notice in the place of an older one of its source."""
        self._notices[notice.source_id] = notice

    def take_notices(self, limit: int) -> list[ActivityNotice]:
        """Notices that nobody heard of, oldest first; at most `limit`, each once."""
        return [self._notices.popitem(last=False)[1] for _ in range(min(limit, len(self._notices)))]

    def put(self, header: FrameHeader, data: bytes) -> None:
        """Keep this picture: behind those that wait of its source if it is promoted, else in their place."""
        if len(data) > self.budget_bytes:
            self._drop("too_large")
            return
        if header.promoted or (self._queues and header.source_id in self._queues):
            self._put_in_order(Frame(header=header, data=data))
            return
        old = self._frames.pop(header.source_id, None)
        if old is not None:
            self.size_bytes -= len(old.data)
            if header.source_id in self._unannounced:
                self.replaced += 1
        self._frames[header.source_id] = Frame(header=header, data=data)
        self.size_bytes += len(data)
        self._unannounced[header.source_id] = None
        if self.size_bytes > self.budget_bytes:
            self._make_room(spared=1)

    def forget(self, source_id: str) -> None:
        """Drop what is kept of a source."""
        self._remove_latest(source_id)
        queue = self._queues.pop(source_id, None)
        if queue is not None:
            self._account(-queue.size_bytes)
        self._unannounced.pop(source_id, None)
        self._notices.pop(source_id, None)

    def take_headers(self, limit: int) -> list[FrameHeader]:
        """Headers not yet announced, oldest first, those of a queue in order; at most `limit`, each once."""
        headers: list[FrameHeader] = []
        while self._unannounced and len(headers) < limit:
            source_id, _ = self._unannounced.popitem(last=False)
            queue = self._queues.get(source_id) if self._queues else None
            if queue is None:
                headers.append(self._frames[source_id].header)
                continue
            headers += queue.take_headers(limit - len(headers))
            if queue.heard < len(queue):
                self._unannounced[source_id] = None
        return headers

    def put_back(self, headers: Sequence[FrameHeader]) -> None:
        """These were taken, and nobody heard of them: announce what still waits of their sources."""
        for header in headers:
            queue = self._queues.get(header.source_id)
            if queue is not None:
                queue.put_back(header.sequence)
            if queue or header.source_id in self._frames:
                self._unannounced[header.source_id] = None

    def announce_all_again(self) -> None:
        """A new puller came: it must hear of every picture that waits and that it can decode."""
        for source_id, queue in list(self._queues.items()):
            before = queue.size_bytes
            self._drop(NEW_PULLER, queue.begin_again())
            self._account(queue.size_bytes - before)
            self._settle(source_id, queue)
        for source_id in (*self._frames, *(name for name, queue in self._queues.items() if queue)):
            self._unannounced[source_id] = None

    def get(self, source_id: str, sequence: int) -> Frame | None:
        """The picture, or None when a newer one overtook it. It waits no longer: a picture is handed over once, to
        the one puller that heard of it, and a county's worth of pictures is not kept for nobody.
        """
        queue = self._queues.get(source_id) if self._queues else None
        if queue is not None:
            before = queue.size_bytes
            frame, passed = queue.hand_over(sequence)
            self._account(queue.size_bytes - before)
            self._drop("passed_over", passed)
            self._settle(source_id, queue)
            return frame
        frame = self._frames.get(source_id)
        if frame is None or frame.header.sequence != sequence:
            return None
        self._remove_latest(source_id)
        self._unannounced.pop(source_id, None)
        return frame

    def give_back(self, frame: Frame) -> None:
        """An ordinary picture that could not be handed over waits again, unless a newer one does."""
        source_id = frame.header.source_id
        if not frame.header.promoted and source_id not in self._frames and source_id not in self._queues:
            self.put(frame.header, frame.data)

    def __len__(self) -> int:
        """Pictures that wait."""
        return len(self._frames) + sum(len(queue) for queue in self._queues.values())

    @property
    def queues(self) -> int:
        """Sources that have a queue."""
        return len(self._queues)

    def _put_in_order(self, frame: Frame) -> None:
        source_id, size = frame.header.source_id, len(frame.data)
        queue = self._queues.get(source_id)
        if queue is None:
            if self._remove_latest(source_id) and source_id in self._unannounced:
                self.replaced += 1
            self._unannounced.pop(source_id, None)
            queue = self._queues[source_id] = ChainQueue()
        elif queue and not queue.promoted:
            # An ordinary picture at the end is replaced like any other; the promoted ones before it stay.
            before = queue.size_bytes
            self.replaced += queue.drop_last()
            self._account(queue.size_bytes - before)
        queue.promoted = frame.header.promoted
        if not queue.admits(frame.header):
            self._drop(queue.broken)
        elif size > self.queue_bytes_max:
            queue.broken = "too_large"
            self._drop("too_large")
        elif self._queue_fits(queue, frame):
            queue.append(frame)
            self._account(size)
            self._unannounced[source_id] = None
            self._make_room(spared=0)
        self._settle(source_id, queue)

    def _queue_fits(self, queue: ChainQueue, newcomer: Frame) -> bool:
        """Make room for the newcomer; False when it is itself the rest of a group that finds none."""
        size = len(newcomer.data)
        while True:
            full = queue.size_bytes + size > self.queue_bytes_max or len(queue) >= self.queue_pictures_max
            if full:
                victim = queue
            elif self.queued_bytes + size > self.queues_bytes_max:
                victim = max(self._queues.values(), key=lambda each: each.size_bytes)
            else:
                return True
            if victim is queue and not newcomer.header.key and not queue.begins_anew_later():
                queue.broken = _FULL
                self._drop(_FULL)
                return False
            self._fall_forward(victim)

    def _fall_forward(self, queue: ChainQueue) -> None:
        before = queue.size_bytes
        self._drop(_FULL, queue.fall_forward(_FULL))
        self._account(queue.size_bytes - before)

    def _make_room(self, spared: int) -> None:
        """Evict the oldest announcements, but for the last `spared`; when none is left, queues fall forward."""
        while self.size_bytes > self.budget_bytes:
            if len(self._frames) > spared:
                victim, frame = self._frames.popitem(last=False)
                self._unannounced.pop(victim, None)
                self.size_bytes -= len(frame.data)
                self.evicted += 1
            else:
                self._fall_forward(max(self._queues.values(), key=lambda each: each.size_bytes))

    def _settle(self, source_id: str, queue: ChainQueue) -> None:
        """A queue whose promotion is over goes when it is empty, or becomes the latest picture of its source."""
        if queue.promoted or len(queue) > 1:
            if queue.heard >= len(queue):
                self._unannounced.pop(source_id, None)
            return
        del self._queues[source_id]
        self._unannounced.pop(source_id, None)
        if queue:
            (frame,) = queue.frames
            self._frames[source_id] = frame
            self.queued_bytes -= len(frame.data)
            if queue.heard == 0:
                self._unannounced[source_id] = None

    def _remove_latest(self, source_id: str) -> bool:
        frame = self._frames.pop(source_id, None)
        if frame is None:
            return False
        self.size_bytes -= len(frame.data)
        return True

    def _account(self, change: int) -> None:
        self.size_bytes += change
        self.queued_bytes += change

    def _drop(self, reason: str, count: int = 1) -> None:
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count
