"""One RTSP 1.0 session (RFC 2326): asks for the H.264 or H.265 video track and keeps it playing.

`run_once` does one life of a session from connecting to TEARDOWN and raises the error that ended it; trying again
is runtime.supervise's. Only key pictures leave, see ingest.rtsp.depacketize.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from contracts.errors import ConfigError, ProtocolViolation
from contracts.source import TransportPolicy
from ingest.rtsp.assembly import KeyPicturePolicy
from ingest.rtsp.credentials import Credentials
from ingest.rtsp.dialogue import Redirected
from ingest.rtsp.life import SessionLife
from ingest.rtsp.message import RtspUrl, parse_url
from ingest.rtsp.negotiate import LIVE
from ingest.rtsp.quirks import QuirkPolicies
from ingest.rtsp.received import Between
from ingest.rtsp.totals import Reception, SessionTotals
from ingest.rtsp.udp import UdpPorts

if TYPE_CHECKING:
    from ingest.rtsp.pool import ReceivePool
    from ingest.rtsp.received import PictureReceiver
    from runtime.clock import Clock


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
    """TCP falls to UDP where the server refuses it."""


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
        quirks: QuirkPolicies | None = None,
        udp_ports: UdpPorts | None = None,
        play: dict[str, str] | None = None,
    ) -> None:
        """`play`: headers of PLAY, live by default. Raises ConfigError for a URL that is not usable."""
        self.play_headers = play or LIVE
        self._home = parse_url(url)
        self.source_id = source_id
        self.clock = clock
        self.pool = pool
        self.receiver = receiver
        self._credentials = credentials
        self.limits = limits or SessionLimits()
        self.quirks = quirks or QuirkPolicies()
        self.udp_ports = udp_ports or UdpPorts()
        self._totals = SessionTotals()
        self._life: SessionLife | None = None
        self._collecting = False

    def move(self, url: str) -> None:
        """The next life plays at this address. Raises ConfigError for a URL that is not usable."""
        self._home = parse_url(url)

    async def run_once(self) -> None:
        """Connect, play until the session ends, tear down. Raises the SourceError that ended it."""
        url = at = self._home
        for _ in range(self.limits.redirects_max + 1):
            life = self._life = SessionLife(self, url, at)
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
            f"RTSP 重定向超过 {self.limits.redirects_max} 次 (redirected too often)", reason="redirect_loop"
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

    def between(self) -> Between | None:
        """What came since the last key picture; None before the first one of a life."""
        return self._life.between() if self._life is not None else None

    def reception(self) -> Reception:
        """How well it arrives, cheaper than `statistics`: it is asked of every camera every other second."""
        past, life = self._totals, self._life
        if life is None:
            return Reception(past.packets, past.packets_lost, past.clock_jumps, None)
        return life.reception(past)

    def add_to(self, totals: SessionTotals) -> None:
        """Add the totals of all lives, the present one included; cheaper than `statistics` of each."""
        totals.add(self._totals)
        if self._life is not None:
            self._life.add_to(totals)

    def statistics(self) -> SessionTotals:
        """Totals of all lives, the present one included."""
        totals = SessionTotals()
        self.add_to(totals)
        return totals

    def credentials_for(self, url: RtspUrl) -> Credentials | None:
        """The catalogue's credentials, for the catalogue's host only: a redirect must not collect them."""
        same = (url.host, url.port) == (self._home.host, self._home.port)
        return self._credentials if same else None


def _redirect_target(location: str, url: RtspUrl) -> RtspUrl:
    try:
        # A path alone is meant on the same server.
        here = f"rtsp://{urlsplit(url.text).netloc}{location}" if location.startswith("/") else location
        return parse_url(here)
    except ConfigError as error:
        raise ProtocolViolation(
            f"重定向地址无法使用 (redirected to an unusable URL): {error}", reason="redirect"
        ) from None
