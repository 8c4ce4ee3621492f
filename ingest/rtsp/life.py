"""One life of an RTSP session: a connection from its DESCRIBE to its TEARDOWN, see ingest.rtsp.session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.errors import SourceUnreachable
from contracts.frame import Codec
from contracts.instant import SECOND
from ingest.rtsp.codecs import CODECS, make_depacketizer
from ingest.rtsp.connect import connect
from ingest.rtsp.dialogue import Dialogue
from ingest.rtsp.feedback import ReceptionFeedback
from ingest.rtsp.keep_alive import KeepAlive
from ingest.rtsp.negotiate import Agreed, Described, Negotiation
from ingest.rtsp.receive import Connection
from ingest.rtsp.received import Between, ReceivedPicture, StreamInfo
from ingest.rtsp.spoilt import Spoilt
from ingest.rtsp.timing import RtpTimeline
from ingest.rtsp.totals import Reception, SessionTotals
from ingest.rtsp.udp import UdpTrack

if TYPE_CHECKING:
    from ingest.rtsp.assembly import Octets
    from ingest.rtsp.connect import Opened
    from ingest.rtsp.depacketize import Depacketizer
    from ingest.rtsp.message import RtspUrl
    from ingest.rtsp.session import RtspSession


class SessionLife:
    """One connection of a session: what is said is in `Dialogue`, what is seen is here."""

    def __init__(self, session: RtspSession, url: RtspUrl, at: RtspUrl) -> None:
        """`at`: the server to connect to; not that of `url` where a proxy is to be used."""
        self._session = session
        self._limits = session.limits
        self._clock = session.clock
        self._receiver = session.receiver
        self._quirks = session.quirks
        self._url = url
        self._at = at
        self._dialogue = Dialogue(url.host, session.credentials_for(at), self._limits.reply_s, self._quirks)
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
        self._spoilt = Spoilt()
        """As of the last usable key picture."""
        self._key_ns = self._packets_ns = self._clock.monotonic_ns()
        self._packets_seen = 0
        self._keep_alive: KeepAlive | None = None

    def _make_depacketizer(self) -> Depacketizer:
        return make_depacketizer(
            self._codec,
            self._on_picture,
            picture_bytes_max=self._limits.picture_bytes_max,
            policy=self._limits.key_pictures,
        )

    def _make_feedback(self) -> ReceptionFeedback:
        return ReceptionFeedback(
            self._session.source_id, self._clock, self._depacketizer, self._send_rtcp, self._fail
        )

    async def run(self) -> None:
        """The life of the connection, in order."""
        session = self._session
        opened = await connect(self._at.host, self._at.port, self._limits.connect_s)
        connection = Connection(
            session.pool, opened.socket, self._dialogue.on_message, self._on_rtcp, quirks=self._quirks
        )
        self._connection = self._dialogue.connection = connection
        opening = Negotiation(self._dialogue, self._url, self._clock, self._quirks, self._limits.reply_s)
        try:
            await opening.options()
            described = await opening.describe()
            try:
                agreed = await self._setup(opening, described, opened)
                await self._play(opening, described, agreed.timeout_s)
                del opening, described, agreed  # their texts are not needed for the hours that follow
                await self._until_end(connection)
            finally:
                connection.check = _unchecked
                if self._dialogue.session_id:
                    await self._dialogue.last_words("TEARDOWN", self._control)
        finally:
            connection.close()
            if self._udp is not None:
                self._udp.close()

    async def _until_end(self, connection: Connection) -> None:
        """Wait for the end of the playing session, and raise what ended it.

        The future is awaited itself, and cancelled with us: nothing asks for it after that, and `asyncio.wait`
        would cost each of thousands of sessions two more coroutines, a future and a set.
        """
        try:
            await connection.ended
        except SourceUnreachable as error:
            assert self._keep_alive is not None
            raise self._keep_alive.explain(error, self._clock.monotonic_ns()) from None

    async def _setup(self, opening: Negotiation, described: Described, opened: Opened) -> Agreed:
        track = described.description.video
        self._codec = CODECS[track.codec]
        self._depacketizer = self._make_depacketizer()
        self._feedback = self._make_feedback()
        self._feedback.clock_rate = track.clock_rate
        self._timeline = RtpTimeline(track.clock_rate)
        for nal in track.parameter_sets:
            self._depacketizer.add_parameter_set(nal)

        def client_port() -> int:
            self._udp = UdpTrack(
                self._session.pool,
                self._session.udp_ports,
                opened.local,
                self._depacketizer,
                self._feedback.receive,
            )
            return self._udp.port

        self._control = described.description.control
        agreed = await opening.setup(track.control, self._limits.transport, client_port)
        transport = agreed.transport
        self._feedback.ssrc = transport.ssrc
        assert self._connection is not None
        if transport.channel is not None:
            self._connection.rtp_channel = transport.channel
            self._connection.depacketizer = self._depacketizer
        elif self._udp is not None:
            self._udp.start(opened.peer, transport.server_port, transport.source)
        self.collect(self._session.collecting)
        return agreed

    async def _play(self, opening: Negotiation, described: Described, timeout_s: float) -> None:
        self._control, reply = await opening.play(described.description, self._session.play_headers)
        self._key_ns = self._packets_ns = self._clock.monotonic_ns()
        methods = opening.keep_alives()
        self._keep_alive = KeepAlive(self._dialogue, self._control, methods, timeout_s, self._key_ns)
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
            sentence = f"已 {self._limits.key_stall_s:g} 秒无可用关键帧 (no usable key picture)"
            why = Spoilt.of(self._depacketizer).explain(self._spoilt, self._limits.picture_bytes_max)
            sentence += f": {why}"
            connection.fail(SourceUnreachable(sentence, reason="no_key_picture"))
        elif self._keep_alive is not None:
            self._keep_alive.check(now_ns)
        connection.expire_replies(now_ns, self._limits.reply_s)
        if self._udp is not None:
            self._udp.check(now_ns)
        self._feedback.check(now_ns)

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
        steady_ns = self._clock.monotonic_ns()
        event = self._timeline.event_time(timestamp, steady_ns)
        before, largest, digest = self._dropped, 0, 0
        changed = depacketizer.sets_changed != self._sets_seen
        if key:
            self._key_ns = (self._udp or connection).last_read_ns
            self._spoilt = Spoilt.of(depacketizer)
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
            event.instant(arrival, steady_ns),
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

    def reception(self, past: SessionTotals) -> Reception:
        """See RtspSession. `past`: what the lives before this one have counted."""
        of = self._depacketizer
        return Reception(
            past.packets + of.packets,
            past.packets_lost + of.packets_lost,
            past.clock_jumps + self._timeline.jumps,
            self._feedback.clock_offset_ns,
        )

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
        totals.packets += depacketizer.packets
        totals.packets_lost += depacketizer.packets_lost
        totals.packets_malformed += depacketizer.packets_malformed
        totals.key_pictures += depacketizer.key_pictures
        totals.key_pictures_lost += depacketizer.key_pictures_lost
        totals.key_pictures_refused += depacketizer.key_pictures_too_large + depacketizer.key_pictures_without_sets
        totals.pictures += depacketizer.pictures
        totals.clock_jumps += self._timeline.jumps


def _unchecked(_now_ns: int) -> None:
    return None
