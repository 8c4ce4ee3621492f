"""Key pictures out of a platform's recording: RTSP playback with `Range: clock=` (RFC 2326, 3.7 and 12.29).

One bounded run: DESCRIBE, SETUP, PLAY of a span of wall time, key pictures until its end, TEARDOWN. Wall times
come from the Range of the reply, which says where the server really began, and from the RTP time of RTP-Info that
belongs to it. A picture whose time is not known is not shown: it would be evidence of another moment.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from contracts.errors import SourceUnreachable
from contracts.frame import Codec
from contracts.instant import SECOND, Instant
from ingest.rtsp.pool import ReceivePool
from ingest.rtsp.received import ReceivedPicture, StreamInfo
from ingest.rtsp.recorder import RecorderPolicy
from ingest.rtsp.session import RtspSession, SessionLimits

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.rtsp.credentials import Credentials
    from ingest.rtsp.quirks import QuirkPolicies
    from runtime.clock import Clock

_UTC_TIME: Final = re.compile(r"clock\s*=\s*(\d{8}T\d{6})(?:\.(\d{1,9}))?Z", re.IGNORECASE)
_RTPTIME: Final = re.compile(r"rtptime\s*=\s*(\d{1,10})", re.IGNORECASE)
_END_S: Final = 6
_LEAD_MAX_S: Final = 600
"""A server that begins so long before what it was asked for would not come to it in time."""
_BEHIND_MAX_S: Final = 60
"""A first picture so far before the RTP time that RTP-Info names: that is of another session."""
_BEIJING_NS: Final = 8 * 3600 * SECOND
_LATE_S: Final = 1.0
"""Pictures so far beyond the end still mean that the server plays on; the run ends with the first of them."""


@dataclass(frozen=True, slots=True)
class PlaybackLimits:
    """Bounds of a run: key pictures, their bytes together, and seconds from connecting to the end.

    Pictures nearer than `every_s` to the last one that was taken are passed over.
    """

    pictures_max: int = 120
    bytes_max: int = 32 << 20
    seconds_max: float = 90.0
    stall_s: float = 5.0
    every_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RecordedPicture:
    """One key picture of a recording as Annex B bytes, with the wall time at which it was taken."""

    event_time: Instant
    codec: Codec
    data: bytes


@dataclass(frozen=True, slots=True)
class Playback:
    """What a run gave, in order. `ended`: "" when it came to the end of the span, `recording_cut` when the server
    or the bounds in pictures and bytes ended it before, `recording_slow` when the time bound did,
    `recording_untimed` when the times of its pictures went back, so that those that followed have none."""

    pictures: list[RecordedPicture]
    ended: str = ""


def clock_range(begin: Instant, end: Instant) -> str:
    """`clock=20261125T100000Z-20261125T100100Z`, whole seconds outward."""
    return f"clock={_utc(begin // SECOND)}-{_utc(-(-end // SECOND))}"


def range_begin(text: str) -> Instant | None:
    """The beginning of a `clock=` Range of a reply; None when it is not one."""
    found = _UTC_TIME.search(text)
    if found is None:
        return None
    try:
        at = datetime.strptime(found.group(1), "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return Instant(int(at.timestamp()) * SECOND + int((found.group(2) or "0").ljust(9, "0")))


async def play_back(
    url: str,
    begin: Instant,
    end: Instant,
    *,
    clock: Clock,
    credentials: Credentials | None = None,
    speed: float | None = None,
    ranged: bool = True,
    origin: Instant | None = None,
    limits: PlaybackLimits | None = None,
    quirks: QuirkPolicies | None = None,
    recorder: frozenset[RecorderPolicy] = frozenset(),
    playing: Callable[[], None] = lambda: None,
) -> Playback:
    """Key pictures taken from `begin` to `end` by the recording's clock, in order; fewer when a bound is met.

    `speed`: how many times faster than it happened the server should send (12.35; its choice whether it does). Not
    by Scale, under which RTP time runs slower than what it shows (Appendix B), and not with every server. `ranged`
    False: the address itself begins at a time, so none is asked for by `Range: clock=`. `origin`: where the server
    begins if it does not say so (None: at the whole second before `begin`, where `recorder` allows to believe
    that). `playing` is called when the server has accepted PLAY. Raises ValueError for an empty span, ConfigError
    for a bad URL, and the SourceError of a server that gave no picture: also with reason `recording_untimed` when
    it does not say which time it plays, and `recording_elsewhere` when it plays another one.
    """
    if end <= begin:
        raise ValueError("the span of a playback must not be empty")
    limits = limits or PlaybackLimits()
    zone_ns = _BEIJING_NS if RecorderPolicy.RANGE_LOCAL in recorder else 0
    asked = clock_range(Instant(begin + zone_ns), Instant(end + zone_ns))
    headers = {"Range": asked if ranged else "npt=0.000-"} | (
        {"Speed": f"{speed:.3f}"} if speed is not None else {}
    )
    pool = ReceivePool(clock)
    if origin is None and (not ranged or RecorderPolicy.RANGE_UNSTATED in recorder):
        origin = Instant(begin // SECOND * SECOND)
    taker = _Taker(begin, end, origin, zone_ns, limits, playing)
    session = RtspSession(
        url,
        source_id=f"playback {url}",
        clock=clock,
        pool=pool,
        receiver=taker,
        credentials=credentials,
        limits=SessionLimits(stall_s=limits.stall_s, key_stall_s=limits.seconds_max),
        play=headers,
        quirks=quirks,
    )
    sweep = asyncio.create_task(pool.sweep_forever())
    life = asyncio.create_task(session.run_once())
    over = asyncio.create_task(clock.asleep(limits.seconds_max))
    full = asyncio.create_task(taker.full.wait())
    try:
        await asyncio.wait({life, over, full}, return_when=asyncio.FIRST_COMPLETED)
        ended = life.done()
    finally:
        for task in (life, over, full):
            task.cancel()
        # The session says TEARDOWN while it is cancelled; the sweep goes on until it has.
        results = await asyncio.gather(life, over, full, return_exceptions=True)
        sweep.cancel()
        await asyncio.gather(sweep, return_exceptions=True)
    pictures = taker.recorded()
    if pictures:
        if taker.refusal:
            return Playback(pictures, taker.refusal)
        if taker.reached_end:
            return Playback(pictures)
        return Playback(pictures, "recording_cut" if ended or taker.full.is_set() else "recording_slow")
    if taker.refusal:
        raise _refused(taker.refusal)
    if ended and isinstance(results[0], Exception):
        raise results[0]
    raise SourceUnreachable(
        "该时段没有录像画面 (the recording has no picture of that span); "
        "请检查录像计划 (check the recording plan)",
        reason="no_recording",
    )


def _refused(reason: str) -> SourceUnreachable:
    if reason == "recording_elsewhere":
        return SourceUnreachable(
            "录像机播放的不是所要求的时段 (it plays another time than it was asked for); "
            "请检查其时钟与录像 (check its clock and its recordings)",
            reason=reason,
        )
    return SourceUnreachable(
        "录像机未说明所播放的时刻, 画面不予采用 (it does not say which time it plays, so nothing of it is shown); "
        "核对画面时间后可设 recorder_policies = range_unstated (compare the clock in its pictures first)",
        reason=reason,
    )


class _Taker:
    """Takes the pictures of a run until a bound or the end of the span. `full` is set then.

    `origin`: where it begins when the server does not say so, None when that is not to be believed. `refusal`: why
    nothing more is taken, "" while all is well.
    """

    def __init__(
        self,
        begin: Instant,
        end: Instant,
        origin: Instant | None,
        zone_ns: int,
        limits: PlaybackLimits,
        playing: Callable[[], None],
    ) -> None:
        self._begin = begin
        self._origin = origin
        self._zone_ns = zone_ns
        self._first_ns = 0
        self.refusal = ""
        self._on_playing = playing
        self._end = end
        self._limits = limits
        self._info: StreamInfo | None = None
        self._taken: list[tuple[int, ReceivedPicture]] = []
        self._first_timestamp = 0
        self._last: tuple[int, int] | None = None
        """RTP ticks since the first picture, and RTP time, of the last one that came."""
        self._step = 0
        self._bytes = 0
        self.full = asyncio.Event()

    def playing(self, info: StreamInfo) -> None:
        """The reply to PLAY; pictures that came in the same read are here already."""
        self._on_playing()
        stated = range_begin(info.play_range)
        first_ns = stated - self._zone_ns if stated is not None else self._origin
        if first_ns is None:
            self._refuse("recording_untimed")
        elif stated is not None and not self._begin - _LEAD_MAX_S * SECOND <= first_ns <= self._end:
            self._refuse("recording_elsewhere")
        else:
            self._info = info
            self._first_ns = first_ns
            self._look()

    def _refuse(self, reason: str) -> None:
        self.refusal = reason
        self.full.set()

    def picture(self, picture: ReceivedPicture) -> None:
        """A key picture."""
        if self.full.is_set():
            return
        elapsed = 0
        if self._last is None:
            self._first_timestamp = picture.timestamp
        else:
            self._step = (picture.timestamp - self._last[1]) & 0xFFFFFFFF
            elapsed = self._last[0] + self._step
            if not 0 < self._step < 1 << 31:
                # Key pictures come in the order in which they were taken: this clock began anew.
                self._refuse("recording_untimed")
                return
        self._last = elapsed, picture.timestamp
        if self._passed_over(elapsed):
            return
        if len(self._taken) >= self._limits.pictures_max or (
            self._bytes + len(picture.data) > self._limits.bytes_max
        ):
            self.full.set()
            return
        self._bytes += len(picture.data)
        self._taken.append((elapsed, picture))
        self._look()

    def _passed_over(self, elapsed: int) -> bool:
        """Whether a picture is from before the span, or too near to the last one that was taken."""
        if self._info is None:
            return False
        at = self._time(elapsed)
        near = bool(self._taken) and at - self._time(self._taken[-1][0]) < self._limits.every_s * SECOND
        return at < self._begin or (near and at <= self._end)

    def _look(self) -> None:
        if (
            self._info is not None
            and self._last is not None
            and self._time(self._last[0]) > self._end + _LATE_S * SECOND
        ):
            self.full.set()

    def _time(self, elapsed: int) -> Instant:
        """Wall time of a picture so many RTP ticks after the first one."""
        info = self._info
        assert info is not None
        elapsed += _lead(self._first_timestamp, info, self._end - self._first_ns)
        # With a Scale that the server took by itself, RTP time is that of the showing (RFC 2326, Appendix B).
        return Instant(self._first_ns + round(elapsed * SECOND * _number(info.play_scale) / info.clock_rate))

    @property
    def reached_end(self) -> bool:
        """Whether the last picture lies within two steps, at least 6 s, of the end: nothing is cut off."""
        if self._last is None or self._info is None:
            return False
        last, next_ = self._time(self._last[0]), self._time(self._last[0] + self._step)
        return last + max(2 * (next_ - last), _END_S * SECOND) >= self._end

    def recorded(self) -> list[RecordedPicture]:
        """What was taken within the span."""
        if self._info is None:
            return []
        timed = [(self._time(elapsed), picture) for elapsed, picture in self._taken]
        return [
            RecordedPicture(at, picture.codec, picture.data)
            for at, picture in timed
            if self._begin <= at <= self._end
        ]


def _lead(timestamp: int, info: StreamInfo, span_ns: int) -> int:
    """RTP ticks from the time that RTP-Info names (12.33) to the first picture; 0 without.

    Of several streams the nearest is ours: the others count at random. 0, which servers write that do not know
    it, and a time that cannot be of this run say nothing.
    """
    leads = []
    for stated in filter(int, _RTPTIME.findall(info.rtp_info)):
        lead = (timestamp - int(stated)) & 0xFFFFFFFF
        leads.append(lead - (1 << 32) if lead >= 1 << 31 else lead)
    nearest = min(leads, key=abs, default=0)
    lead_ns = nearest * SECOND // info.clock_rate
    return nearest if -_BEHIND_MAX_S * SECOND <= lead_ns <= max(span_ns, 0) + _END_S * SECOND else 0


def _number(scale: str) -> float:
    """A Scale header; 1.0 without or with a senseless one."""
    try:
        value = float(scale)
    except ValueError:
        return 1.0
    return value if 0 < value <= 256 else 1.0


def _utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")
