"""`Latest`: the link of pictures. Lossy, latest per source, pulled by credit; the sender never waits.

Two protocols with one implementation today (runtime.zmq_latest); `LatestStore` is the sender's memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from contracts.frame import Frame, FrameHeader


class LatestPublisher(Protocol):
    """Ingest's end."""

    def offer(self, header: FrameHeader, data: bytes) -> None:
        """Announce a picture; it replaces the waiting one of the same source (counted). Never blocks."""

    def forget(self, source_id: str) -> None:
        """Drop what waits of a source that went away."""

    async def serve(self) -> None:
        """Answer pulls until cancelled."""


class LatestPuller(Protocol):
    """Inference's end."""

    async def headers(self, *, limit: int, wait_s: float) -> list[FrameHeader]:
        """Up to `limit` headers that changed since the last call, oldest announcement first; [] after `wait_s`."""

    async def pull(self, wants: Sequence[tuple[str, int]]) -> list[Frame]:
        """The pictures named by (source_id, sequence); those overtaken meanwhile are left out."""

    async def close(self) -> None:
        """Give the link back."""


class LatestStore:
    """The latest picture of each source within a budget of bytes; the oldest announcement goes first.

    Counts: `replaced` (a newer picture came before anybody pulled), `evicted` (budget).
    """

    def __init__(self, budget_bytes: int) -> None:
        if budget_bytes <= 0:
            raise ValueError("the budget of the picture store must be positive")
        self.budget_bytes = budget_bytes
        self.size_bytes = 0
        self.replaced = 0
        self.evicted = 0
        self._frames: OrderedDict[str, Frame] = OrderedDict()
        self._unannounced: OrderedDict[str, None] = OrderedDict()

    def put(self, header: FrameHeader, data: bytes) -> None:
        """Keep this picture as the latest of its source."""
        old = self._frames.pop(header.source_id, None)
        if old is not None:
            self.size_bytes -= len(old.data)
            if header.source_id in self._unannounced:
                self.replaced += 1
        self._frames[header.source_id] = Frame(header=header, data=data)
        self.size_bytes += len(data)
        self._unannounced[header.source_id] = None
        while self.size_bytes > self.budget_bytes and len(self._frames) > 1:
            victim, frame = self._frames.popitem(last=False)
            self._unannounced.pop(victim, None)
            self.size_bytes -= len(frame.data)
            self.evicted += 1

    def forget(self, source_id: str) -> None:
        """Drop what is kept of a source."""
        frame = self._frames.pop(source_id, None)
        if frame is not None:
            self.size_bytes -= len(frame.data)
        self._unannounced.pop(source_id, None)

    def take_headers(self, limit: int) -> list[FrameHeader]:
        """Headers not yet announced, oldest first, at most `limit`; each is announced once."""
        headers: list[FrameHeader] = []
        while self._unannounced and len(headers) < limit:
            source_id, _ = self._unannounced.popitem(last=False)
            headers.append(self._frames[source_id].header)
        return headers

    def put_back(self, headers: Sequence[FrameHeader]) -> None:
        """These were taken, and nobody heard of them: announce what still waits of their sources."""
        for header in headers:
            if header.source_id in self._frames:
                self._unannounced[header.source_id] = None

    def announce_all_again(self) -> None:
        """A new puller came: it must hear of every picture that waits."""
        for source_id in self._frames:
            self._unannounced[source_id] = None

    def get(self, source_id: str, sequence: int) -> Frame | None:
        """The picture, or None when a newer one overtook it."""
        frame = self._frames.get(source_id)
        return frame if frame is not None and frame.header.sequence == sequence else None

    def __len__(self) -> int:
        return len(self._frames)
