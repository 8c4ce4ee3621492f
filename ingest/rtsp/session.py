"""One RTSP 1.0 session over TCP (RFC 2326): asks for the first H.264 video track and keeps it playing.

`run_once` does one life of a session from connecting to TEARDOWN and raises the error that ended it; trying again
is runtime.supervise's. Only key pictures leave, see ingest.rtsp.depacketize.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from contracts.errors import (
    ConfigError,
    ProtocolViolation,
    SourceMissing,
    SourceUnreachable,
)
from contracts.frame import Codec
from contracts.ids import derive_id
from contracts.instant import SECOND, Instant
from ingest.rtsp.assembly import KeyPicturePolicy
from ingest.rtsp.credentials import Credentials
from ingest.rtsp.depacketize_h264 import H264Depacketizer
from ingest.rtsp.dialogue import Dialogue, Redirected
from ingest.rtsp.message import RtspUrl, parse_url
from ingest.rtsp.receive import Connection, ReceivePool, connect
from ingest.rtsp.rtcp import SenderReport, find_sender_report, receiver_report
from ingest.rtsp.sdp import SessionDescription, parse_sdp
from ingest.rtsp.timing import RtpTimeline

if TYPE_CHECKING:
    from runtime.clock import Clock

_SESSION_TIMEOUT_S: Final = 60.0
_KEEP_ALIVE_MAX_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Bounds of a session. Seconds and bytes.

    `stall_s`: no byte for so long ends the session; `key_stall_s`: no key picture for so long does.
    """

    connect_s: float = 5.0
    reply_s: float = 10.0
    stall_s: float = 10.0
    key_stall_s: float = 60.0
    redirects_max: int = 3
    picture_bytes_max: int = 4 << 20
    key_pictures: KeyPicturePolicy = KeyPicturePolicy.RECOVERY_POINT


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What the server said of the stream when it began to play."""

    codec: str
    server: str
    transport: str
    url: str


@dataclass(frozen=True, slots=True)
class ReceivedPicture:
    """One picture as Annex B bytes, parameter sets in front of a key picture.

    What follows the key picture comes only while everything is collected, in decoding order. Of a key picture:
    `dropped_pictures`, `dropped_bytes`, `dropped_bytes_max`: number, sum and largest of what came since the key
    picture before and was not handed on; `digest`: CRC-32 of its slices, alike when the encoder repeats itself.
    `clock_offset_ns`: camera clock minus ours by its last sender report, None while unknown. `discontinuity`: the
    first picture of a session, the RTP clock jumped, or the parameter sets changed.
    """

    data: bytes
    codec: Codec
    key: bool
    event_time: Instant
    arrival_time: Instant
    discontinuity: bool
    dropped_pictures: int
    dropped_bytes: int
    dropped_bytes_max: int
    digest: int
    clock_offset_ns: int | None


class PictureReceiver(Protocol):
    """Who takes what a session gives; called within the event loop, must not wait."""

    def playing(self, info: StreamInfo) -> None:
        """The server accepted PLAY."""

    def picture(self, picture: ReceivedPicture) -> None:
        """A picture is complete."""


@dataclass(slots=True)
class SessionTotals:
    """Running totals of one session object over all its lives."""

    sessions: int = 0
    bytes_received: int = 0
    packets_lost: int = 0
    packets_malformed: int = 0
    key_pictures: int = 0
    key_pictures_lost: int = 0
    key_pictures_refused: int = 0
    pictures: int = 0


class RtspSession:
    """A camera's session; one object per camera, `run_once` again for each life."""

    def __init__(
        self,
        url: str,
        *,
        source_id: str,
        clock: Clock,
        pool: ReceivePool,
        receiver: PictureReceiver,
        credentials: Credentials | None = None,
        limits: SessionLimits | None = None,
    ) -> None:
        """Raises ConfigError for a URL that is not usable."""
        self._home = parse_url(url)
        self._source_id = source_id
        self._clock = clock
        self._pool = pool
        self._receiver = receiver
        self._credentials = credentials
        self._limits = limits or SessionLimits()
        self._totals = SessionTotals()
        self._life: _Life | None = None
        self._collecting = False

    async def run_once(self) -> None:
        """Connect, play until the session ends, tear down. Raises the SourceError that ended it."""
        url = self._home
        for _ in range(self._limits.redirects_max + 1):
            life = self._life = _Life(self, url)
            self._totals.sessions += 1
            try:
                await life.run()
            except Redirected as redirect:
                url = _redirect_target(redirect.location)
            else:
                return
            finally:
                self._life = None
                life.add_to(self._totals)
        raise ProtocolViolation(
            f"RTSP 重定向超过 {self._limits.redirects_max} 次 (redirected too often)", reason="redirect_loop"
        )

    @property
    def collecting(self) -> bool:
        """Whether every picture is handed on."""
        return self._collecting

    def collect(self, every_picture: bool) -> None:
        """Hand on every picture from the next key picture on, or key pictures only; the session goes on."""
        self._collecting = every_picture
        if self._life is not None:
            self._life.collect(every_picture)

    def dropped_since_key(self) -> tuple[int, int, int]:
        """Pictures and bytes dropped since the last key picture, and when it came (monotonic ns); zeros before."""
        return self._life.dropped_since_key() if self._life is not None else (0, 0, 0)

    def statistics(self) -> SessionTotals:
        """Totals of all lives, the present one included."""
        totals = replace(self._totals)
        if self._life is not None:
            self._life.add_to(totals)
        return totals

    def credentials_for(self, url: RtspUrl) -> Credentials | None:
        """The catalogue's credentials, for the catalogue's host only: a redirect must not collect them."""
        same = (url.host, url.port) == (self._home.host, self._home.port)
        return self._credentials if same else None


class _Life:
    """One connection of a session: what is said is in `Dialogue`, what is seen is here."""

    def __init__(self, session: RtspSession, url: RtspUrl) -> None:
        self._session = session
        self._limits = session._limits
        self._clock = session._clock
        self._receiver = session._receiver
        self._url = url
        self._dialogue = Dialogue(url.host, session.credentials_for(url), self._limits.reply_s)
        self._connection: Connection | None = None
        self._public = ""
        self._control = url.text
        self._timeline = RtpTimeline()
        self._depacketizer = H264Depacketizer(
            self._on_picture,
            picture_bytes_max=self._limits.picture_bytes_max,
            policy=self._limits.key_pictures,
        )
        self._first = True
        self._dropped = (0, 0)
        self._sets_seen = 0
        self._key_ns = self._packets_ns = self._clock.monotonic_ns()
        self._packets_seen = 0
        self._clock_offset_ns: int | None = None
        self._report: tuple[SenderReport, int] | None = None
        self._lost_reported = (0, 0)
        self._ssrc = int.from_bytes(derive_id("ssrc", session._source_id).encode()[5:9], "big")
        self._keep_alive_s = _KEEP_ALIVE_MAX_S
        self._keep_alive_due_ns = 0

    async def run(self) -> None:
        """The life of the connection, in order."""
        session = self._session
        opened = await connect(self._url.host, self._url.port, self._limits.connect_s)
        connection = Connection(session._pool, opened, self._dialogue.on_message, self._on_rtcp)
        self._connection = self._dialogue.connection = connection
        try:
            await self._options()
            description, server = await self._describe()
            await self._setup(description)
            try:
                await self._play(description, server)
                # Not awaited directly: a cancelled wait would cancel the future too.
                await asyncio.wait({connection.ended})
                connection.ended.result()
            finally:
                connection.check = _unchecked
                await self._dialogue.last_words("TEARDOWN", self._control)
        finally:
            connection.close()

    async def _options(self) -> None:
        """Ask what the server can; one that does not know OPTIONS is asked for nothing special later."""
        with suppress(ProtocolViolation, SourceMissing):
            reply = await self._dialogue.request("OPTIONS", self._url.text)
            self._public = (reply.header("public") or "").upper()

    async def _describe(self) -> tuple[SessionDescription, str]:
        reply = await self._dialogue.request("DESCRIBE", self._url.text, {"Accept": "application/sdp"})
        base = reply.header("content-base") or reply.header("content-location") or self._url.text
        description = parse_sdp(reply.body, base)
        if description.video.codec != "H264":
            raise ProtocolViolation(
                f"视频编码 {description.video.codec or '未知'} 不由此接收器处理 (this receiver takes H264)",
                reason="unsupported_codec",
            )
        return description, reply.header("server") or ""

    async def _setup(self, description: SessionDescription) -> None:
        for nal in description.video.parameter_sets:
            self._depacketizer.add_parameter_set(nal)
        self._timeline = RtpTimeline(description.video.clock_rate)
        self._control = description.control
        reply = await self._dialogue.request(
            "SETUP", description.video.control, {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1"}
        )
        transport = reply.header("transport") or ""
        channel = _interleaved_channel(transport)
        name, _, parameters = (reply.header("session") or "").partition(";")
        self._dialogue.session_id = name.strip()
        timeout_s = _session_timeout_s(parameters)
        self._keep_alive_s = min(_KEEP_ALIVE_MAX_S, timeout_s / 2)
        assert self._connection is not None
        self._connection.rtp_channel = channel
        self._connection.depacketizer = self._depacketizer
        self.collect(self._session.collecting)

    async def _play(self, description: SessionDescription, server: str) -> None:
        await self._dialogue.request("PLAY", self._control, {"Range": "npt=0.000-"})
        self._key_ns = self._packets_ns = self._clock.monotonic_ns()
        self._keep_alive_due_ns = self._key_ns + round(self._keep_alive_s * SECOND)
        assert self._connection is not None
        self._connection.check = self._check
        self._receiver.playing(
            StreamInfo(description.video.codec, server, "RTP/AVP/TCP interleaved", self._url.text)
        )

    def _check(self, now_ns: int) -> None:
        """The sweep's call: stalls end the session, keep-alives go out."""
        connection = self._connection
        assert connection is not None
        if self._depacketizer.packets != self._packets_seen:
            self._packets_seen = self._depacketizer.packets
            self._packets_ns = now_ns
        if now_ns - self._packets_ns > self._limits.stall_s * SECOND:
            sentence = f"已 {self._limits.stall_s:g} 秒无视频数据 (no video for {self._limits.stall_s:g} s)"
            connection.fail(SourceUnreachable(sentence, reason="stall"))
        elif now_ns - self._key_ns > self._limits.key_stall_s * SECOND:
            connection.fail(
                SourceUnreachable(
                    f"已 {self._limits.key_stall_s:g} 秒无可用关键帧 (no usable key picture; "
                    "shorten the camera's key-picture interval)",
                    reason="no_key_picture",
                )
            )
        elif now_ns >= self._keep_alive_due_ns or self._dialogue.nonce_renewed:
            self._dialogue.nonce_renewed = False
            self._keep_alive_due_ns = now_ns + round(self._keep_alive_s * SECOND)
            method = "GET_PARAMETER" if "GET_PARAMETER" in self._public else "OPTIONS"
            self._dialogue.send(method, self._control)

    def _on_rtcp(self, buffer: bytearray, start: int, end: int) -> None:
        report = find_sender_report(buffer, start, end)
        if report is None:
            return
        if report.wall is not None:
            self._clock_offset_ns = report.wall - self._clock.now()
        self._report = (report, self._clock.monotonic_ns())
        self._answer_report(report)

    def _answer_report(self, report: SenderReport) -> None:
        depacketizer, connection = self._depacketizer, self._connection
        assert connection is not None
        packets, lost = depacketizer.packets, depacketizer.packets_lost
        new_packets, new_lost = packets - self._lost_reported[0], lost - self._lost_reported[1]
        self._lost_reported = (packets, lost)
        fraction = min(255, new_lost * 256 // max(1, new_packets + new_lost))
        body = receiver_report(
            self._ssrc,
            report.ssrc,
            lost=lost,
            fraction=fraction,
            highest=(depacketizer.next_sequence - 1) & 0xFFFF,
            lsr=report.ntp_middle,
            delay_ns=0,
        )
        channel = connection.rtp_channel + 1
        connection.send(b"$" + bytes((channel,)) + len(body).to_bytes(2, "big") + body)

    def collect(self, every_picture: bool) -> None:
        """See RtspSession. What is collected must not wait below the low-water mark."""
        self._depacketizer.collect(every_picture)
        if self._connection is not None:
            self._connection.eager = every_picture

    def dropped_since_key(self) -> tuple[int, int, int]:
        """See RtspSession."""
        depacketizer = self._depacketizer
        pictures, dropped = self._dropped
        return depacketizer.dropped_pictures - pictures, depacketizer.dropped_bytes - dropped, self._key_ns

    def _on_picture(self, data: bytes, timestamp: int, _late: bool, key: bool) -> None:
        connection, depacketizer = self._connection, self._depacketizer
        assert connection is not None
        arrival = self._clock.now()
        event = self._timeline.event_time(timestamp, arrival)
        before, largest, digest = self._dropped, 0, 0
        changed = depacketizer.sets_changed != self._sets_seen
        if key:
            self._key_ns = connection.last_read_ns
            connection.key_picture(len(data))
            self._dropped = (depacketizer.dropped_pictures, depacketizer.dropped_bytes)
            largest, depacketizer.dropped_bytes_max = depacketizer.dropped_bytes_max, 0
            digest = depacketizer.slice_digest
            self._sets_seen = depacketizer.sets_changed
        picture = ReceivedPicture(
            data,
            Codec.H264,
            key,
            event.at,
            arrival,
            event.jumped or self._first or (key and changed),
            self._dropped[0] - before[0],
            self._dropped[1] - before[1],
            largest,
            digest,
            self._clock_offset_ns,
        )
        self._first = False
        self._receiver.picture(picture)

    def add_to(self, totals: SessionTotals) -> None:
        """Add what this life has counted so far."""
        depacketizer, connection = self._depacketizer, self._connection
        if connection is not None:
            totals.bytes_received += connection.bytes_received
            totals.packets_malformed += connection.packets_malformed
        totals.packets_lost += depacketizer.packets_lost
        totals.packets_malformed += depacketizer.packets_malformed
        totals.key_pictures += depacketizer.key_pictures
        totals.key_pictures_lost += depacketizer.key_pictures_lost
        totals.key_pictures_refused += depacketizer.key_pictures_too_large + depacketizer.key_pictures_without_sets
        totals.pictures += depacketizer.pictures


def _redirect_target(location: str) -> RtspUrl:
    try:
        return parse_url(location)
    except ConfigError as error:
        raise ProtocolViolation(
            f"重定向地址无法使用 (redirected to an unusable URL): {error}", reason="redirect"
        ) from None


def _unchecked(_now_ns: int) -> None:
    return None


def _interleaved_channel(transport: str) -> int:
    """The RTP channel of a Transport header; 0 when it names none although TCP was asked for."""
    for part in transport.split(";"):
        name, _, value = part.strip().partition("=")
        if name.lower() == "interleaved":
            first = value.split("-")[0].strip()
            if first.isascii() and first.isdigit() and int(first[:4]) < 255:
                return int(first[:4])
    if "tcp" in transport.lower() or not transport:
        return 0
    raise ProtocolViolation(
        f"服务器未按要求使用 TCP (it answered Transport: {transport[:80]}); 请设 transport = udp",
        reason="transport_refused",
    )


def _session_timeout_s(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip().lower() == "timeout" and value.strip().isdigit():
        return float(min(max(int(value.strip()[:6]), 5), 3600))
    return _SESSION_TIMEOUT_S
