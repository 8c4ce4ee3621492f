"""What leaves of a camera besides key pictures: everything while it is promoted; and what is kept of a suspect.

The session goes on as it is; only what the depacketizer hands on changes (ingest.rtsp.assembly).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from contracts.frame import Frame, FrameHeader

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.ring import PictureRing
    from runtime.latest import LatestPublisher


class Promotion:
    """One camera's pictures on their way out; `collect` tells its session whether every picture is wanted.

    `keep_ring`: its key pictures are always kept. `suspect` keeps the open group too.
    """

    __slots__ = (
        "_announcing",
        "_chain",
        "_collect",
        "_publisher",
        "_ring",
        "_sequence",
        "keep_ring",
        "suspect",
        "until",
    )

    def __init__(
        self, publisher: LatestPublisher, ring: PictureRing, collect: Callable[[bool], None], *, keep_ring: bool
    ) -> None:
        self._publisher = publisher
        self._ring = ring
        self._collect = collect
        self._sequence = 0
        self._chain = -1
        self._announcing = False
        self.keep_ring = keep_ring
        self.suspect = False
        self.until: int | None = None
        """Monotonic ns: when the wall clock is set, a bounded time stays one."""

    @property
    def promoted(self) -> bool:
        """Whether every picture is asked for."""
        return self.until is not None

    @property
    def collecting(self) -> bool:
        """Whether every picture is to be collected, to be handed on or to be kept."""
        return self.promoted or self.suspect

    def promote(self, source_id: str, until: int, *, from_last_key: bool) -> bool:
        """Hand on every picture until `until` (monotonic ns; the later end holds).

        True when the open group went out, too.
        """
        begins = self.until is None
        self.until = until if self.until is None else max(self.until, until)
        self._collect(True)
        if not begins or not from_last_key:
            return False
        group = self._ring.open_group(source_id, self._chain)
        self._announcing = bool(group)
        for chain, frame in enumerate(group):
            self._offer(frame.header, frame.data, chain)
        return self._announcing

    def set_suspect(self, source_id: str, suspect: bool) -> None:
        """Keep the open group of a suspect as far as the ring bears it, or not any more."""
        suspect = (suspect or self.suspect) and self._ring.watch(source_id, suspect)
        if suspect != self.suspect:
            self.suspect = suspect
            self._collect(self.collecting)

    def expire(self, now_ns: int) -> bool:
        """End a promotion whose time is over (monotonic ns); True when it ended now."""
        if self.until is None or now_ns < self.until:
            return False
        self.until = None
        self._announcing = False
        self._collect(self.suspect)
        return True

    def hand_on(self, header: FrameHeader, data: bytes) -> None:
        """A picture came; its `sequence`, `chain` and `promoted` are set here."""
        if header.key:
            self._chain = 0
            self._announcing = self.promoted
            header = self._offer(header, data)
            if self.keep_ring or self.suspect:
                self._ring.keep(Frame(header=header, data=data))
            return
        self._chain += 1
        if self._announcing:
            header = self._offer(header, data)
        if self.suspect:
            self._ring.keep(Frame(header=msgspec.structs.replace(header, chain=self._chain), data=data))

    def broken(self, source_id: str) -> None:
        """The session ended: what comes next begins with a key picture, and nothing of it is kept meanwhile: a
        suspect that is away must not hold the place of one that is there."""
        self.set_suspect(source_id, False)
        self._chain = -1
        self._announcing = False

    def _offer(self, header: FrameHeader, data: bytes, chain: int | None = None) -> FrameHeader:
        self._sequence += 1
        header = msgspec.structs.replace(
            header,
            sequence=self._sequence,
            chain=self._chain if chain is None else chain,
            promoted=self._announcing,
        )
        self._publisher.offer(header, data)
        return header
