"""From a connection to a playing stream: OPTIONS, DESCRIBE, SETUP, PLAY (RFC 2326, 10), and what goes wrong there.

Every departure from the standards that is put up with is a policy of ingest.rtsp.quirks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit, urlunsplit

from contracts.errors import ProtocolViolation
from contracts.source import TransportPolicy
from ingest.rtsp.message import RtspReply, RtspUrl
from ingest.rtsp.quirks import Quirk, QuirkPolicies
from ingest.rtsp.sdp import RECEIVED_CODECS, SessionDescription, parse_sdp

if TYPE_CHECKING:
    from ingest.rtsp.dialogue import Dialogue
    from runtime.clock import Clock

LIVE: Final = {"Range": "npt=0.000-"}
"""Headers of PLAY for what the camera sees now."""
_SESSION_TIMEOUT_S: Final = 60.0
_LINES_QUIET_S: Final = 0.2
_BODY_LINES_MAX: Final = 2_000
_KEEP_ALIVES: Final = ("GET_PARAMETER", "OPTIONS", "SET_PARAMETER")


@dataclass(frozen=True, slots=True)
class TransportAnswer:
    """A Transport header as the server answered it (12.39).

    `channel` and `server_port` are those of RTP, None when not named; `source` is the address that RTP comes from.
    """

    tcp: bool
    channel: int | None = None
    server_port: int | None = None
    source: str = ""
    ssrc: int | None = None


@dataclass(frozen=True, slots=True)
class Described:
    """What DESCRIBE told, with usable URLs."""

    description: SessionDescription
    server: str


@dataclass(frozen=True, slots=True)
class Agreed:
    """What SETUP agreed on."""

    transport: TransportAnswer
    timeout_s: float


@lru_cache(maxsize=16)
def _methods(public: str) -> frozenset[str]:
    # Cached: the thousands of cameras of a few makes share a few sets.
    return frozenset(method.strip() for method in public.upper().split(",") if method.strip())


class Negotiation:
    """Says the opening of one session through its dialogue. `public` holds the methods of OPTIONS."""

    def __init__(
        self, dialogue: Dialogue, url: RtspUrl, clock: Clock, quirks: QuirkPolicies, reply_s: float
    ) -> None:
        self.public: frozenset[str] = frozenset()
        self._dialogue = dialogue
        self._url = url
        self._clock = clock
        self._quirks = quirks
        self._reply_s = reply_s

    async def options(self) -> None:
        """Ask what the server can. Raises SourceRefused on 401, else nothing for a status."""
        reply = await self._dialogue.ask("OPTIONS", self._url.text)
        if 300 <= reply.status < 400:
            self._dialogue.judge("OPTIONS", reply)
        elif reply.status >= 400:
            self._accept(Quirk.OPTIONS_REFUSED, "OPTIONS", reply)
        self.public = _methods(",".join(reply.all_headers("public")))

    async def describe(self) -> Described:
        """Ask for the session description. Raises ProtocolViolation when no track can be received."""
        connection = self._dialogue.connection
        assert connection is not None
        lines: list[bytes] = []
        connection.on_line = lines.append
        try:
            reply = await self._dialogue.request("DESCRIBE", self._url.text, {"Accept": "application/sdp"})
            if not reply.body and reply.header("content-length") is None:
                self._quirks.require(
                    Quirk.UNSIZED_BODY,
                    "DESCRIBE 的应答没有 Content-Length",
                    "a description of no stated length",
                )
                reply = replace(reply, body=await self._unsized(lines))
        finally:
            connection.on_line = None
        base = self._base(reply)
        self._dialogue.base_uri = self._url.text
        found = parse_sdp(reply.body, base)
        track = found.video
        if track.codec not in RECEIVED_CODECS:
            raise ProtocolViolation(
                f"视频编码 {track.codec or '未知'} 不由此接收器处理 (this receiver takes H264 and H265)",
                reason="unsupported_codec",
            )
        if track.reordered:
            raise ProtocolViolation(
                "视频按解码顺序号重排 (sprop-max-don-diff), 不由此接收器处理 (its NAL units are reordered)",
                reason="unsupported_codec",
            )
        if track.parameter_sets_odd:
            self._quirks.require(
                Quirk.PARAMETER_SETS_ODD,
                "SDP 中的参数集缺失或无效",
                "parameter sets are missing or unusable in the SDP",
            )
        description = SessionDescription(
            self._here(found.control), replace(track, control=self._here(track.control))
        )
        return Described(description, reply.header("server") or "")

    async def _unsized(self, lines: list[bytes]) -> bytes:
        """Lines of a description that came behind a reply which did not say how long they are."""
        seen, waited_s = -1, 0.0
        while (seen != len(lines) or not lines) and waited_s < self._reply_s and len(lines) < _BODY_LINES_MAX:
            seen = len(lines)
            await self._clock.asleep(_LINES_QUIET_S)
            waited_s += _LINES_QUIET_S
        return b"".join(lines)

    def _base(self, reply: RtspReply) -> str:
        """Content-Base, else Content-Location, else the asked URL (RFC 2326, C.1.1)."""
        asked = self._url.text
        text = reply.header("content-base") or reply.header("content-location")
        if not text:
            return asked
        try:
            if text.startswith("/"):
                self._repair(text)
                return _replaced(asked, urlsplit(urljoin("http://host/", text)).path)
            parts = urlsplit(text)
            usable = parts.scheme == "rtsp" and parts.hostname not in (None, "rtsp") and "://" not in parts.path
            _ = parts.port
        except ValueError:
            usable = False
        if not usable:
            self._repair(text)
            return asked
        return self._here(text)

    def _repair(self, text: str) -> None:
        self._quirks.require(
            Quirk.BASE_REPAIRED, f"Content-Base {text[:80]!r} 不是 RTSP 地址", "Content-Base is no RTSP URL"
        )

    def _here(self, text: str) -> str:
        """The URL on the host that we are connected to."""
        try:
            parts = urlsplit(text)
            there = (parts.hostname, parts.port or 554)
        except ValueError:
            raise ProtocolViolation("SDP 的 control 属性无效 (cannot be read)", reason="sdp") from None
        if there == (self._url.host, self._url.port) or parts.scheme != "rtsp":
            return text
        self._quirks.require(
            Quirk.BASE_ELSEWHERE, f"服务器给出另一地址 {text[:80]!r}", "its URLs name another host or port"
        )
        return urlunsplit(parts._replace(netloc=urlsplit(self._url.text).netloc))

    async def setup(self, control: str, transport: TransportPolicy, client_port: Callable[[], int]) -> Agreed:
        """Set the track up over `transport`; over UDP too when TCP is refused, or answered with UDP.

        `client_port` opens a pair of UDP ports and gives the even one. The dialogue knows the session as soon as
        the server accepts, so that it can be torn down whatever follows.
        Raises ProtocolViolation with reason `transport_refused` when no transport suits both.
        """
        udp = transport is TransportPolicy.UDP
        while True:
            port = client_port() if udp else 0
            offer = (
                f"RTP/AVP;unicast;client_port={port}-{port + 1}" if udp else "RTP/AVP/TCP;unicast;interleaved=0-1"
            )
            reply = await self._setup_at(control, offer)
            if reply.status == 461 and not udp:
                self._accept(Quirk.UDP_WHEN_TCP_REFUSED, "SETUP", reply)
                udp = True
                continue
            self._dialogue.judge("SETUP", reply)
            name, _, parameters = (reply.header("session") or "").partition(";")
            self._dialogue.session_id = name.strip()
            answer = parse_transport(reply.header("transport") or "", udp=udp)
            if not answer.tcp and not udp:
                self._quirks.require(
                    Quirk.UDP_WHEN_TCP_REFUSED, "SETUP 要求 TCP 而应答为 UDP", "SETUP for TCP is answered with UDP"
                )
                udp = True
                continue
            if answer.tcp:
                answer = self._channels(answer)
            return Agreed(answer, session_timeout_s(parameters))

    async def _setup_at(self, control: str, offer: str) -> RtspReply:
        reply = await self._dialogue.ask("SETUP", control, {"Transport": offer})
        path, mark, query = control.partition("?")
        rest, slash, track = query.rpartition("/")
        if reply.status in (400, 404) and mark and slash:
            self._accept(Quirk.CONTROL_BEFORE_QUERY, "SETUP", reply)
            return await self._dialogue.ask("SETUP", f"{path.rstrip('/')}/{track}?{rest}", {"Transport": offer})
        return reply

    def _channels(self, answer: TransportAnswer) -> TransportAnswer:
        if answer.channel is None:
            self._quirks.require(
                Quirk.CHANNEL_UNNAMED, "SETUP 的应答未给出 interleaved 通道", "SETUP is answered without channels"
            )
            return replace(answer, channel=0)
        if answer.channel != 0:
            self._quirks.require(
                Quirk.CHANNEL_CHOSEN,
                f"SETUP 的应答改用通道 {answer.channel}",
                "SETUP is answered with other channels than asked for",
            )
        return answer

    async def play(self, description: SessionDescription, headers: dict[str, str]) -> tuple[str, RtspReply]:
        """Play with these headers; the URL that the session is controlled by, and the server's reply."""
        control = description.control
        reply = await self._dialogue.ask("PLAY", control, headers)
        if reply.status == 457 and headers == LIVE:
            self._accept(Quirk.RANGE_REFUSED, "PLAY", reply)
            headers = {}
            reply = await self._dialogue.ask("PLAY", control)
        track = description.video.control
        if reply.status in (400, 404, 459) and track != control:
            self._accept(Quirk.PLAY_TRACK, "PLAY", reply)
            control = track
            reply = await self._dialogue.ask("PLAY", control, headers)
        self._dialogue.judge("PLAY", reply)
        return control, reply

    def _accept(self, quirk: Quirk, method: str, reply: RtspReply) -> None:
        """Go on after a reply that says no. Raises ProtocolViolation where the policy is switched off."""
        said = f"{reply.status} {reply.phrase[:80]}".strip()
        self._quirks.require(quirk, f"{method} 的应答为 {said}", f"{method} is answered with {reply.status}")

    def keep_alives(self) -> tuple[str, ...]:
        """Methods to show that we live with, the best first."""
        named = tuple(method for method in _KEEP_ALIVES if method in self.public or method == "OPTIONS")
        if named[0] != "OPTIONS" and self._quirks.use(Quirk.KEEP_ALIVE_OPTIONS):
            return ("OPTIONS",)
        if named[0] == "OPTIONS" and self._quirks.use(Quirk.KEEP_ALIVE_PARAMETER):
            return ("GET_PARAMETER", "OPTIONS")
        return named


def _replaced(url: str, path: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=path, query=""))


def parse_transport(text: str, *, udp: bool) -> TransportAnswer:
    """A server's Transport header; `udp` is what was asked for. UDP may be the answer to either.

    Raises ProtocolViolation with reason `transport_refused` when it answers UDP with TCP, or with multicast.
    """
    first = text.split(",")[0]
    name, *parts = [part.strip() for part in first.split(";")]
    fields = {key.strip().lower(): value.strip() for key, _, value in (part.partition("=") for part in parts)}
    tcp = "tcp" in name.lower() or "interleaved" in fields or (not udp and not name)
    if (tcp and udp) or "multicast" in fields:
        raise ProtocolViolation(
            f"服务器未按要求的方式传输 (it answered Transport: {text[:80]}); "
            + ("请设 transport = tcp" if tcp else "请关闭该流的组播 (switch multicast off for this stream)"),
            reason="transport_refused",
        )
    ssrc = fields.get("ssrc", "")
    try:
        number = int(ssrc, 16) if 0 < len(ssrc) <= 8 else None
    except ValueError:
        number = None
    return TransportAnswer(
        tcp,
        channel=_first_number(fields.get("interleaved", ""), 254),
        server_port=_first_number(fields.get("server_port", ""), 65_534) or None,
        source=fields.get("source", ""),
        ssrc=number,
    )


def _first_number(text: str, most: int) -> int | None:
    first = text.split("-")[0].strip()
    return int(first) if first.isascii() and first.isdigit() and len(first) < 6 and int(first) <= most else None


def session_timeout_s(parameters: str) -> float:
    """Seconds after which a silent session ends, by the parameters of a Session header (12.37; 60 without)."""
    for part in parameters.split(";"):
        name, _, value = part.partition("=")
        digits = value.strip().strip('"').split(".")[0].strip()
        if name.strip().lower() == "timeout" and digits.isascii() and digits.isdigit():
            return float(min(int(digits[:6]), 3600)) if int(digits[:6]) else _SESSION_TIMEOUT_S
    return _SESSION_TIMEOUT_S
