"""The bounded pool of child processes that read all sources of FFmpeg; what a source breaks, it breaks there.

A source goes to the child with the fewest. Children begin with their first source. One that dies, is silent, or
holds too much memory is ended and begun anew with back-off; only its own sources are hit, and their supervision
asks again. A source whose thread crashed or hung a child twice is quarantined.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from contracts.errors import (
    ConfigError,
    GridwhistleError,
    ProtocolViolation,
    SourceMissing,
    SourceRefused,
    SourceUnreachable,
)
from contracts.frame import Codec
from contracts.instant import SECOND
from ingest.media.address import full_address
from ingest.media.child_process import ChildProcess, Loss
from ingest.media.link import Close, Collect, Ended, FromChild, Open, Opened, Skipped, Taken
from ingest.media.taken import MediaFormat, MediaPicture
from runtime.log import get_log
from runtime.quarantine import Quarantine
from runtime.supervise import Backoff

if TYPE_CHECKING:
    from ingest.rtsp.credentials import Credentials
    from runtime.clock import Clock
    from runtime.metrics import StageCounters

_BACKOFF_MAX_S: Final = 30.0
_KINDS: Final[dict[str, type[GridwhistleError]]] = {
    kind.__name__: kind
    for kind in (ConfigError, SourceMissing, SourceRefused, SourceUnreachable, ProtocolViolation)
}
QUARANTINED: Final = "media_quarantined"

Take = Callable[[Codec, MediaPicture, bool, int | None], None]
"""(codec, picture, first of a pass, wall time of a recording in ns or None) within the event loop."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Bounds of the pool.

    `processes` at most run; `sources_max` for all; over `memory_bytes` of resident memory a child is begun anew;
    `silent_s`: a child that says nothing for so long is ended; `quarantine_s`: how long a source that crashed or
    hung two children is left alone.
    """

    processes: int = 2
    sources_max: int = 256
    memory_bytes: int = 768 << 20
    silent_s: float = 10.0
    quarantine_s: float = 600.0
    backoff_first_s: float = 0.25


@dataclass(slots=True)
class _Feed:
    """One source on its way: who takes its pictures and who waits for its end."""

    source_id: str
    take: Take
    playing: Callable[[MediaFormat], None]
    ended: asyncio.Future[None]


class _Member:
    """One place of the pool: its child of the moment and the sources assigned to it."""

    def __init__(self, index: int, limits: PoolLimits) -> None:
        self.child: ChildProcess | None = None
        self.starting = asyncio.Lock()
        self.feeds: dict[int, _Feed] = {}
        self.assigned = 0
        self.backoff = Backoff(limits.backoff_first_s, _BACKOFF_MAX_S, f"media {index}")
        self.not_before_ns = 0


class MediaPool:
    """`play` reads a source until its end or failure; `close` ends all children."""

    def __init__(self, clock: Clock, counters: StageCounters, limits: PoolLimits | None = None) -> None:
        self._clock = clock
        self._counters = counters
        self._limits = limits or PoolLimits()
        self._members = [_Member(index, self._limits) for index in range(self._limits.processes)]
        self._quarantine = Quarantine(self._limits.quarantine_s)
        self._number = 0
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """Process ids of the children that run now."""
        return [member.child.pid for member in self._members if member.child is not None]

    def pid_of(self, source_id: str) -> int | None:
        """The process that reads this source now, None when none does."""
        for member in self._members:
            if member.child is not None and any(f.source_id == source_id for f in member.feeds.values()):
                return member.child.pid
        return None

    def collect(self, source_id: str, every: bool) -> None:
        """Let a source that plays hand on every picture from its next key picture on, or key pictures only."""
        for member in self._members:
            for number, feed in member.feeds.items():
                if feed.source_id == source_id and member.child is not None:
                    member.child.send(Collect(number=number, every=every))

    async def play(
        self,
        asked: Open,
        *,
        source_id: str,
        take: Take,
        playing: Callable[[MediaFormat], None],
        credentials: Credentials | None = None,
    ) -> None:
        """Read until the source ends. Raises ConfigError for a bad address and the SourceError that ended it."""
        full_address(asked.url, None)
        if self._quarantine.holds(source_id, self._clock.now()):
            raise ProtocolViolation(
                f"此源已两次使读取进程崩溃或卡死, 暂停读取 (it crashed or hung two readers and is left alone for "
                f"{self._limits.quarantine_s:g} s); 请检查该源的数据 (check what it sends)",
                reason=QUARANTINED,
            )
        if sum(member.assigned for member in self._members) >= self._limits.sources_max:
            raise SourceUnreachable(
                f"经 FFmpeg 的源已达上限 {self._limits.sources_max} (no place left); "
                "请提高 ingest.media_sources_max (raise it)",
                reason="media_pool_full",
            )
        member = min(self._members, key=lambda each: each.assigned)
        member.assigned += 1
        try:
            await self._play_on(member, asked, _Feed(source_id, take, playing, _future()), credentials)
        finally:
            member.assigned -= 1

    async def _play_on(self, member: _Member, asked: Open, feed: _Feed, credentials: Credentials | None) -> None:
        child = await self._child_of(member)
        self._number += 1
        number = self._number
        member.feeds[number] = feed
        secret = (credentials.user, credentials.password) if credentials is not None else ("", "")
        try:
            child.send(msgspec.structs.replace(asked, number=number, user=secret[0], password=secret[1]))
            await feed.ended
        finally:
            member.feeds.pop(number, None)
            if not feed.ended.done() or feed.ended.cancelled():
                child.send(Close(number=number))

    async def _child_of(self, member: _Member) -> ChildProcess:
        async with member.starting:
            if member.child is None:
                wait_s = (member.not_before_ns - self._clock.monotonic_ns()) / SECOND
                if wait_s > 0:
                    await self._clock.asleep(wait_s)
                if self._closed:
                    raise SourceUnreachable("媒体进程池已关闭 (the pool is closed)", reason="stopped")
                child = ChildProcess(
                    self._clock,
                    on_message=lambda message, data: self._on_message(member, message, data),
                    on_lost=lambda loss: self._on_lost(member, loss),
                    memory_bytes=self._limits.memory_bytes,
                    silent_s=self._limits.silent_s,
                )
                try:
                    await child.start()
                except GridwhistleError:
                    self._begin_later(member)
                    raise
                member.child = child
            return member.child

    def _on_message(self, member: _Member, message: FromChild, data: bytes) -> None:
        feed = member.feeds.get(message.number)
        if feed is None:
            return
        match message:
            case Opened():
                feed.playing(
                    MediaFormat(
                        message.codec, message.container, message.width, message.height, message.pictures_per_s
                    )
                )
            case Taken():
                if message.replaced:
                    self._counters.count("media_pictures_dropped", "replaced", message.replaced)
                self._quarantine.succeeded(feed.source_id)
                picture = MediaPicture(
                    data, message.time_s, message.dropped_pictures, message.dropped_bytes, key=message.key
                )
                feed.take(message.codec, picture, message.first, message.wall_ns)
            case Skipped():
                text = f"{message.file}: {message.text}"
                self._counters.refuse("media_files_skipped", message.reason, feed.source_id, text)
                get_log().warning(
                    "A file of a folder of recordings is passed over",
                    source_id=feed.source_id,
                    reason=message.reason,
                    file=message.file,
                )
            case Ended() if not feed.ended.done():
                if not message.kind:
                    feed.ended.set_result(None)
                else:
                    feed.ended.set_exception(_error(message))

    def _on_lost(self, member: _Member, loss: Loss) -> None:
        """A child is gone: its sources hear of it, the one at fault is remembered."""
        member.child = None
        if self._closed:
            return
        self._counters.count("media_children_restarted", loss.reason)
        self._begin_later(member)
        at_fault = None
        for number in loss.at_fault:
            feed = member.feeds.get(number)
            if feed is not None:
                at_fault = feed.source_id
                if self._quarantine.crashed(feed.source_id, self._clock.now()):
                    self._counters.count("media_sources_quarantined", loss.reason)
        get_log().warning(
            "A media child is begun anew",
            reason=loss.reason,
            code=loss.code,
            sources=len(member.feeds),
            at_fault=at_fault,
        )
        feeds, member.feeds = member.feeds, {}
        for number, feed in feeds.items():
            if not feed.ended.done():
                mine = number in loss.at_fault
                feed.ended.set_exception(
                    SourceUnreachable(
                        "此源使读取进程崩溃或卡死 (this source crashed or hung its reader)"
                        if mine
                        else "读取进程已重启 (the process that read it was begun anew)",
                        reason="media_" + loss.reason if mine else "media_child_lost",
                    )
                )

    def _begin_later(self, member: _Member) -> None:
        member.not_before_ns = self._clock.monotonic_ns() + round(member.backoff.failed() * SECOND)

    def gauges(self) -> None:
        """Set the gauges of this moment; a child that has been well for a while earns a quick restart again."""
        self._counters.gauge("media_children", len(self.pids))
        self._counters.gauge("media_sources", sum(len(member.feeds) for member in self._members))
        self._counters.gauge("media_sources_in_fullest", max(len(member.feeds) for member in self._members))
        children = [member.child for member in self._members if member.child is not None]
        self._counters.gauge("media_rss_bytes", sum(child.rss_bytes for child in children))
        for member in self._members:
            if member.child is not None and member.child.steady:
                member.backoff.succeeded()

    async def close(self) -> None:
        """End all children and every `play`."""
        self._closed = True
        children = [member.child for member in self._members if member.child is not None]
        await asyncio.gather(*(child.end() for child in children))
        for member in self._members:
            member.child = None
            for feed in member.feeds.values():
                if not feed.ended.done():
                    feed.ended.set_result(None)


def _future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


def _error(ended: Ended) -> GridwhistleError:
    """The child's error in our tree."""
    return _KINDS.get(ended.kind, GridwhistleError)(ended.text, reason=ended.reason)
