"""Looks at one stream for some seconds and says in words what it is, or why it cannot be received."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from contracts.errors import MalformedMessage, ProtocolViolation, SourceUnreachable
from contracts.frame import Codec
from contracts.instant import SECOND, Instant
from ingest.health import SKEW_NEWS_NS
from ingest.media.link import Open
from ingest.media.pool import MediaPool, PoolLimits
from ingest.media.taken import MediaFormat, MediaPicture
from ingest.rtsp.h264 import NAL_SPS, START_CODE, parse_sps
from ingest.rtsp.pool import ReceivePool
from ingest.rtsp.received import ReceivedPicture, StreamInfo
from ingest.rtsp.session import RtspSession, SessionLimits
from runtime.metrics import StageCounters

if TYPE_CHECKING:
    from ingest.rtsp.credentials import Credentials
    from runtime.clock import Clock

_SOURCE_ID: Final = "probe"


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What a stream is. None = not seen within the time.

    `pictures_per_s` is measured by the stream's own time line, `bit_rate` in bits/s by what arrived,
    `clock_offset_ns` is camera clock minus ours by RTCP sender reports.
    """

    url: str
    codec: str
    width: int | None
    height: int | None
    pictures_per_s: float | None
    key_interval_s: float | None
    bit_rate: float | None
    clock_offset_ns: int | None
    transport: str
    server: str
    key_pictures: int
    packets_lost: int
    watched_s: float

    def text(self) -> str:
        """The report for people, Chinese first."""
        unknown = "未知 (not seen)"
        size = f"{self.width}x{self.height}" if self.width and self.height else unknown
        lines = [
            ("编码 codec", self.codec),
            ("尺寸 size", size),
            ("帧率 rate", unknown if self.pictures_per_s is None else f"{self.pictures_per_s:.2f} /s"),
            ("关键帧间隔 key-picture interval", _seconds(self.key_interval_s, self.watched_s)),
            ("码率 bit rate", unknown if self.bit_rate is None else f"{self.bit_rate / 1000:.0f} kbit/s"),
            ("时钟偏差 clock offset", _offset(self.clock_offset_ns)),
            ("传输 transport", self.transport),
            ("服务器 server", self.server or unknown),
            ("丢包 packets lost", str(self.packets_lost)),
        ]
        advice = self._advice()
        return "\n".join([self.url, *(f"  {name}: {value}" for name, value in lines), *advice])

    def _advice(self) -> list[str]:
        advice = []
        if self.clock_offset_ns is not None and abs(self.clock_offset_ns) > SKEW_NEWS_NS:
            advice.append("  ! 设备时钟不准, 请校时 (the device's clock is off: set up NTP)")
        if self.key_interval_s is not None and self.key_interval_s > 5:
            advice.append("  ! 关键帧过疏, 建议 2 秒 (key pictures are rare: 2 s is better)")
        return advice


def _seconds(value: float | None, watched_s: float) -> str:
    return f"> {watched_s:.0f} s" if value is None else f"{value:.2f} s"


def _offset(value: int | None) -> str:
    return "未知 (no RTCP sender report seen)" if value is None else f"{value / SECOND:+.3f} s"


class _Watch:
    """Takes the pictures of a stream and remembers what a report needs."""

    def __init__(self) -> None:
        self.info: StreamInfo | None = None
        self.media: MediaFormat | None = None
        self.first: bytes | None = None
        self.times: list[Instant] = []
        self.between = 0
        self.bytes = 0
        self.clock_offset_ns: int | None = None
        self.began = asyncio.Event()

    def playing(self, info: StreamInfo) -> None:
        self.info = info
        self.began.set()

    def picture(self, picture: ReceivedPicture) -> None:
        self._count(picture.data, picture.event_time, picture.dropped_pictures, picture.dropped_bytes)
        self.clock_offset_ns = picture.clock_offset_ns or self.clock_offset_ns

    def media_playing(self, media: MediaFormat) -> None:
        self.media = media
        self.began.set()

    def media_picture(self, _codec: Codec, picture: MediaPicture, _first: bool, _wall_ns: int | None) -> None:
        if picture.time_s is not None:
            time = Instant(round(picture.time_s * SECOND))
            self._count(picture.data, time, picture.dropped_pictures, picture.dropped_bytes)

    def _count(self, data: bytes, time: Instant, dropped: int, dropped_bytes: int) -> None:
        if self.times:
            self.between += dropped + 1
            self.bytes += dropped_bytes + len(data)
        else:
            self.first = data
        self.times.append(time)

    @property
    def span_s(self) -> float | None:
        """Time between the first and the last key picture, None without two."""
        span = (self.times[-1] - self.times[0]) / SECOND if len(self.times) > 1 else 0.0
        return span if span > 0 else None


async def probe(
    url: str, *, clock: Clock, seconds: float = 6.0, credentials: Credentials | None = None
) -> ProbeReport:
    """Watch a stream for about `seconds`.

    Raises ConfigError for an unusable URL and the SourceError that says in words why nothing can be received: a
    peer that does not speak RTSP, 404, wrong password, a stall, no key picture at all.
    """
    watch = _Watch()
    if urlsplit(url).scheme == "rtsp":
        try:
            return await _probe_rtsp(url, watch, clock, seconds, credentials)
        except ProtocolViolation as error:
            if error.reason not in ("unsupported_codec", "transport_refused"):
                raise
            udp = error.reason == "transport_refused"
            return await _probe_media(url, watch, clock, seconds, credentials, udp=udp)
    return await _probe_media(url, watch, clock, seconds, credentials, udp=False)


async def _probe_rtsp(
    url: str, watch: _Watch, clock: Clock, seconds: float, credentials: Credentials | None
) -> ProbeReport:
    pool = ReceivePool(clock)
    limits = SessionLimits(stall_s=max(seconds, 3.0))
    session = RtspSession(
        url,
        source_id=_SOURCE_ID,
        clock=clock,
        pool=pool,
        receiver=watch,
        credentials=credentials,
        limits=limits,
    )
    sweep = asyncio.create_task(pool.sweep_forever())
    life = asyncio.create_task(session.run_once())
    try:
        watched_s = await _watch(life, watch, clock, seconds)
        totals = session.statistics()
    finally:
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
        sweep.cancel()
        await asyncio.gather(sweep, return_exceptions=True)
    if watch.info is None or watch.first is None:
        raise _nothing_seen(seconds, totals.bytes_received)
    width, height = _size(watch.first)
    span_s = watch.span_s
    return ProbeReport(
        url=url,
        codec=watch.info.codec,
        width=width,
        height=height,
        pictures_per_s=watch.between / span_s if span_s else None,
        key_interval_s=span_s / (len(watch.times) - 1) if span_s else None,
        bit_rate=totals.bytes_received * 8 / watched_s if watched_s > 0 else None,
        clock_offset_ns=watch.clock_offset_ns,
        transport=watch.info.transport,
        server=watch.info.server,
        key_pictures=len(watch.times),
        packets_lost=totals.packets_lost,
        watched_s=watched_s,
    )


async def _probe_media(
    url: str, watch: _Watch, clock: Clock, seconds: float, credentials: Credentials | None, *, udp: bool
) -> ProbeReport:
    pool = MediaPool(clock, StageCounters(_SOURCE_ID), PoolLimits(processes=1))
    life = asyncio.create_task(
        pool.play(
            Open(url=url, udp=udp),
            source_id=_SOURCE_ID,
            take=watch.media_picture,
            playing=watch.media_playing,
            credentials=credentials,
        )
    )
    try:
        watched_s = await _watch(life, watch, clock, seconds)
    finally:
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
        await pool.close()
    media = watch.media
    if media is None or watch.first is None:
        raise _nothing_seen(seconds, 0)
    span_s = watch.span_s
    return ProbeReport(
        url=url,
        codec=media.codec.upper(),
        width=media.width,
        height=media.height,
        pictures_per_s=watch.between / span_s if span_s else media.pictures_per_s,
        key_interval_s=span_s / (len(watch.times) - 1) if span_s else None,
        bit_rate=watch.bytes * 8 / span_s if span_s else None,
        clock_offset_ns=None,
        transport="RTP/AVP/UDP (FFmpeg)" if udp else f"{media.container} (FFmpeg)",
        server="",
        key_pictures=len(watch.times),
        packets_lost=0,
        watched_s=watched_s,
    )


async def _watch(life: asyncio.Task[None], watch: _Watch, clock: Clock, seconds: float) -> float:
    """Wait for the stream to play, then `seconds` more; raises what ended it before. Returns seconds watched."""
    began = asyncio.create_task(watch.began.wait())
    try:
        await asyncio.wait({life, began}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        began.cancel()
        await asyncio.gather(began, return_exceptions=True)
    start_ns = clock.monotonic_ns()
    over = asyncio.create_task(clock.asleep(seconds))
    try:
        await asyncio.wait({life, over}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        over.cancel()
        await asyncio.gather(over, return_exceptions=True)
    if life.done() and not watch.times:
        life.result()
    return (clock.monotonic_ns() - start_ns) / SECOND


def _size(picture: bytes) -> tuple[int | None, int | None]:
    for nal in picture.split(START_CODE):
        if nal and nal[0] & 0x1F == NAL_SPS:
            with suppress(MalformedMessage):
                found = parse_sps(nal)
                return found.width, found.height
    return None, None


def _nothing_seen(seconds: float, received: int) -> SourceUnreachable:
    if received > 2_000:
        return SourceUnreachable(
            f"{seconds:g} 秒内没有可用关键帧 (data came, but no usable key picture); "
            "请缩短关键帧间隔或延长 --seconds (shorten its interval or watch longer)",
            reason="no_key_picture",
        )
    return SourceUnreachable(f"{seconds:g} 秒内没有视频数据 (no video data came)", reason="stall")
