"""One RTSP 1.0 session (RFC 2326): asks for the H.264 or H.265 video track and keeps it playing.

`run_once` does one life of a session from connecting to TEARDOWN and raises the error that ended it; trying again
is runtime.supervise's. Only key pictures leave, see ingest.rtsp.depacketize.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from contracts.errors import ConfigError, ProtocolViolation, SourceUnreachable
from contracts.frame import Codec
from contracts.instant import SECOND, Instant
from contracts.source import TransportPolicy
from ingest.rtsp.assembly import KeyPicturePolicy
from ingest.rtsp.credentials import Credentials
from ingest.rtsp.depacketize_h264 import H264Depacketizer
from ingest.rtsp.depacketize_h265 import H265Depacketizer
from ingest.rtsp.dialogue import Dialogue, Redirected
from ingest.rtsp.feedback import ReceptionFeedback
from ingest.rtsp.message import RtspUrl, parse_url
from ingest.rtsp.negotiate import Described, Negotiation
from ingest.rtsp.quirks import QuirkPolicy
from ingest.rtsp.receive import Connection, ReceivePool, connect
from ingest.rtsp.timing import RtpTimeline
from ingest.rtsp.udp import UdpPorts, UdpTrack

if TYPE_CHECKING:
    from ingest.rtsp.assembly import Octets, PictureSink
    from ingest.rtsp.depacketize import Depacketizer
    from runtime.clock import Clock

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
    transport: TransportPolicy = TransportPolicy.TCP
    """TCP falls to UDP where the server answers 461."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What the server said of the stream when it began to play; `play_range`, `rtp_info` and
    `play_scale` as in its reply."""

    codec: str
    server: str
    transport: str
    url: str
    clock_rate: int = 90_000
    play_range: str = ""
    rtp_info: str = ""
    play_scale: str = ""


@dataclass(frozen=True, slots=True)
class ReceivedPicture:
    """One picture as Annex B bytes, parameter sets in front of a key picture.

    What follows the key picture comes only while everything is collected, in decoding order. Of a key picture:
    `dropped_pictures`, `dropped_bytes`, `dropped_bytes_max`: number, sum and largest of what came since the key
    picture before, collected or not; `digest`: CRC-32 of its slices, alike when the encoder repeats itself.
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
    timestamp: int = 0
    """The RTP timestamp, 32 bits."""


class Between(NamedTuple):
    """What came since the last key picture, `since_ns` ago: number and bytes of the other pictures, so far."""

    pictures: int
    size: int
    since_ns: int


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
    resyncs: int = 0
    packets_late: int = 0
    packets_foreign: int = 0
    rtcp_malformed: int = 0
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
        policy: QuirkPolicy | None = None,
        udp_ports: UdpPorts | None = None,
        play: dict[str, str] | None = None,
    ) -> None:
        """`play`: headers of PLAY, live by default. Raises ConfigError for a URL that is not usable."""
        self.play_headers = play or {"Range": "npt=0.000-"}
        self._home = parse_url(url)
        self._source_id = source_id
        self._clock = clock
        self._pool = pool
        self._receiver = receiver
        self._credentials = credentials
        self._limits = limits or SessionLimits()
        self._policy = policy or QuirkPolicy()
        self._udp_ports = udp_ports or UdpPorts()
        self._totals = SessionTotals()
        self._life: _Life | None = None
        self._collecting = False

    def move(self, url: str) -> None:
        """The next life plays at this address. Raises ConfigError for a URL that is not usable."""
        self._home = parse_url(url)

    async def run_once(self) -> None:
        """Connect, play until the session ends, tear down. Raises the SourceError that ended it."""
        url = at = self._home
        for _ in range(self._limits.redirects_max + 1):
            life = self._life = _Life(self, url, at)
            self._totals.sessions += 1
            try:
                await life.run()
            except Redirected as redirect:
                at = _redirect_target(redirect.location, url)
                if not redirect.proxy:
                    url = at
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

    @property
    def policy(self) -> QuirkPolicy:
        """The policies for what this server does against the standards, and how often each acted."""
        return self._policy

    def between(self) -> Between | None:
        """What came since the last key picture; None before the first one of a life."""
        return self._life.between() if self._life is not None else None

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

    def __init__(self, session: RtspSession, url: RtspUrl, at: RtspUrl) -> None:
        """`at`: the server to connect to; not that of `url` where a proxy is to be used."""
        self._session = session
        self._limits = session._limits
        self._clock = session._clock
        self._receiver = session._receiver
        self._policy = session._policy
        self._url = url
        self._at = at
        self._dialogue = Dialogue(url.host, session.credentials_for(at), self._limits.reply_s, self._policy)
        self._opening = Negotiation(self._dialogue, url, self._clock, self._policy, self._limits.reply_s)
        self._connection: Connection | None = None
        self._udp: UdpTrack | None = None
        self._control = url.text
        self._codec = Codec.H264
        self._depacketizer = self._make_depacketizer()
        self._feedback = self._make_feedback()
        self._timeline = RtpTimeline()
        self._first = True
        self._dropped = (0, 0)
        self._sets_seen = 0
        self._key_ns = self._packets_ns = self._clock.monotonic_ns()
        self._packets_seen = 0
        self._keep_alives: tuple[str, ...] = ()
        self._keep_alive_s = _KEEP_ALIVE_MAX_S
        self._keep_alive_due_ns = 0

    def _make_depacketizer(self) -> Depacketizer:
        return make_depacketizer(
            self._codec,
            self._on_picture,
            picture_bytes_max=self._limits.picture_bytes_max,
            policy=self._limits.key_pictures,
        )

    def _make_feedback(self) -> ReceptionFeedback:
        return ReceptionFeedback(
            self._session._source_id, self._clock, self._depacketizer, self._send_rtcp, self._fail
        )

    async def run(self) -> None:
        """The life of the connection, in order."""
        session = self._session
        opened = await connect(self._at.host, self._at.port, self._limits.connect_s)
        local, peer = opened.getsockname()[0], opened.getpeername()[0]
        connection = Connection(
            session._pool, opened, self._dialogue.on_message, self._on_rtcp, policy=self._policy
        )
        self._connection = self._dialogue.connection = connection
        try:
            await self._opening.options()
            described = await self._opening.describe()
            try:
                await self._setup(described, local, peer)
                await self._play(described)
                del described  # its texts are not needed for the hours that follow
                # Not awaited directly: a cancelled wait would cancel the future too.
                await asyncio.wait({connection.ended})
                connection.ended.result()
            finally:
                connection.check = _unchecked
                if self._dialogue.session_id:
                    await self._dialogue.last_words("TEARDOWN", self._control)
        finally:
            connection.close()
            if self._udp is not None:
                self._udp.close()

    async def _setup(self, described: Described, local: str, peer: str) -> None:
        track = described.description.video
        self._codec = _CODECS[track.codec]
        self._depacketizer = self._make_depacketizer()
        self._feedback = self._make_feedback()
        self._feedback.clock_rate = track.clock_rate
        self._timeline = RtpTimeline(track.clock_rate)
        for nal in track.parameter_sets:
            self._depacketizer.add_parameter_set(nal)

        def client_port() -> int:
            self._udp = UdpTrack(
                self._session._pool, self._session._udp_ports, local, self._depacketizer, self._feedback.receive
            )
            return self._udp.port

        self._control = described.description.control
        agreed = await self._opening.setup(track.control, self._limits.transport, client_port)
        self._keep_alives = self._opening.keep_alives()
        self._keep_alive_s = min(_KEEP_ALIVE_MAX_S, agreed.timeout_s / 2)
        transport = agreed.transport
        self._feedback.ssrc = transport.ssrc
        assert self._connection is not None
        if transport.channel is not None:
            self._connection.rtp_channel = transport.channel
            self._connection.depacketizer = self._depacketizer
        elif self._udp is not None:
            self._udp.start(transport.source or peer, transport.server_port)
        self.collect(self._session.collecting)

    async def _play(self, described: Described) -> None:
        self._control, reply = await self._opening.play(described.description, self._session.play_headers)
        self._key_ns = self._packets_ns = self._clock.monotonic_ns()
        self._keep_alive_due_ns = self._key_ns + round(self._keep_alive_s * SECOND)
        assert self._connection is not None
        self._connection.check = self._check
        transport = "RTP/AVP/TCP interleaved" if self._udp is None else "RTP/AVP/UDP"
        codec = described.description.video.codec
        self._receiver.playing(
            StreamInfo(
                codec,
                described.server,
                transport,
                self._url.text,
                described.description.video.clock_rate,
                reply.header("range") or "",
                reply.header("rtp-info") or "",
                reply.header("scale") or "",
            )
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
            connection.fail_stalled(sentence)
        elif now_ns - self._key_ns > self._limits.key_stall_s * SECOND:
            connection.fail(
                SourceUnreachable(
                    f"已 {self._limits.key_stall_s:g} 秒无可用关键帧 (no usable key picture; "
                    "shorten the camera's key-picture interval)",
                    reason="no_key_picture",
                )
            )
        elif now_ns >= self._keep_alive_due_ns or self._dialogue.nonce_renewed:
            self._keep_alive(now_ns)
        if self._udp is not None:
            self._udp.check(now_ns)
        self._feedback.check(now_ns)

    def _keep_alive(self, now_ns: int) -> None:
        dialogue = self._dialogue
        if dialogue.keep_alive_refused and len(self._keep_alives) > 1:
            self._keep_alives = self._keep_alives[1:]
        dialogue.nonce_renewed = dialogue.keep_alive_refused = False
        self._keep_alive_due_ns = now_ns + round(self._keep_alive_s * SECOND)
        dialogue.keep_alive(self._keep_alives[0], self._control)

    def _on_rtcp(self, buffer: Octets, start: int, end: int) -> None:
        self._feedback.receive(buffer, start, end)

    def _send_rtcp(self, body: bytes) -> None:
        connection = self._connection
        if self._udp is not None:
            self._udp.send_rtcp(body)
        elif connection is not None:
            channel = connection.rtp_channel + 1
            connection.send(b"$" + bytes((channel,)) + len(body).to_bytes(2, "big") + body)

    def _fail(self, error: Exception) -> None:
        assert self._connection is not None
        self._connection.fail(error)

    def collect(self, every_picture: bool) -> None:
        """See RtspSession. What is collected must not wait below the low-water mark."""
        self._depacketizer.collect(every_picture)
        if self._connection is not None:
            self._connection.eager = every_picture

    def between(self) -> Between | None:
        """See RtspSession."""
        if self._first:
            return None
        pictures, size = self._between()
        before, since_ns = self._dropped, self._clock.monotonic_ns() - self._key_ns
        return Between(pictures - before[0], size - before[1], since_ns)

    def _between(self) -> tuple[int, int]:
        """Pictures so far that are no key pictures, and their bytes: collecting them must not look like quiet."""
        of = self._depacketizer
        return of.dropped_pictures + of.collected_pictures, of.dropped_bytes + of.collected_bytes

    def _on_picture(self, data: bytes, timestamp: int, _late: bool, key: bool) -> None:
        connection, depacketizer = self._connection, self._depacketizer
        assert connection is not None
        arrival = self._clock.now()
        event = self._timeline.event_time(timestamp, arrival)
        before, largest, digest = self._dropped, 0, 0
        changed = depacketizer.sets_changed != self._sets_seen
        if key:
            self._key_ns = (self._udp or connection).last_read_ns
            connection.key_picture(len(data))
            self._feedback.key_picture(timestamp, arrival)
            self._dropped = self._between()
            largest, depacketizer.dropped_bytes_max = depacketizer.dropped_bytes_max, 0
            digest = depacketizer.slice_digest
            self._sets_seen = depacketizer.sets_changed
        picture = ReceivedPicture(
            data,
            self._codec,
            key,
            event.at,
            arrival,
            event.jumped or self._first or (key and changed),
            self._dropped[0] - before[0],
            self._dropped[1] - before[1],
            largest,
            digest,
            self._feedback.clock_offset_ns,
            timestamp,
        )
        self._first = False
        self._receiver.picture(picture)

    def add_to(self, totals: SessionTotals) -> None:
        """Add what this life has counted so far."""
        depacketizer, connection = self._depacketizer, self._connection
        if connection is not None:
            totals.bytes_received += connection.bytes_received
            totals.packets_malformed += connection.packets_malformed
            totals.resyncs += connection.resyncs
        if self._udp is not None:
            totals.bytes_received += self._udp.bytes_received
            totals.packets_malformed += self._udp.packets_malformed
            totals.packets_late += self._udp.packets_late
            totals.packets_foreign += self._udp.foreign
        totals.rtcp_malformed += self._feedback.malformed
        totals.packets_lost += depacketizer.packets_lost
        totals.packets_malformed += depacketizer.packets_malformed
        totals.key_pictures += depacketizer.key_pictures
        totals.key_pictures_lost += depacketizer.key_pictures_lost
        totals.key_pictures_refused += depacketizer.key_pictures_too_large + depacketizer.key_pictures_without_sets
        totals.pictures += depacketizer.pictures


def make_depacketizer(
    codec: Codec, on_picture: PictureSink, *, picture_bytes_max: int, policy: KeyPicturePolicy
) -> Depacketizer:
    """The depacketizer of a codec."""
    kind = _DEPACKETIZERS[codec]
    return kind(on_picture, picture_bytes_max=picture_bytes_max, policy=policy)


_CODECS: Final = {"H264": Codec.H264, "H265": Codec.HEVC}
"""By the names in SDP, `sdp.RECEIVED_CODECS`."""
_DEPACKETIZERS: Final[dict[Codec, type[H264Depacketizer] | type[H265Depacketizer]]] = {
    Codec.H264: H264Depacketizer,
    Codec.HEVC: H265Depacketizer,
}


def _redirect_target(location: str, url: RtspUrl) -> RtspUrl:
    try:
        # A path alone is meant on the same server.
        here = f"rtsp://{urlsplit(url.text).netloc}{location}" if location.startswith("/") else location
        return parse_url(here)
    except ConfigError as error:
        raise ProtocolViolation(
            f"重定向地址无法使用 (redirected to an unusable URL): {error}", reason="redirect"
        ) from None


def _unchecked(_now_ns: int) -> None:
    return None
