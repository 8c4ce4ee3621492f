"""One camera of the catalogue: its session, kept alive, and its key pictures on their way to inference."""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from contracts.errors import (
    CommandRefused,
    ConfigError,
    GridwhistleError,
    SourceMissing,
    SourceRefused,
    SourceUnreachable,
)
from contracts.frame import ActivityNotice, FrameHeader, Suspicion
from contracts.instant import SECOND, Instant
from contracts.source import Camera, SourceKind, SourceState
from ingest.activity import Activity
from ingest.between import CameraActivity
from ingest.camera_media import CameraMedia
from ingest.doubts import CameraDoubts
from ingest.guest.backoff import PatientBackoff
from ingest.guest.place import LOST_RECENTLY_NS, Visitor
from ingest.guest.turns import CameraTurns
from ingest.health import SourceHealth
from ingest.media.pool import QUARANTINED
from ingest.promotion import Promotion
from ingest.rtsp.credentials import Credentials, find_credentials
from ingest.rtsp.quirks import QuirkPolicies
from ingest.rtsp.session import RtspSession, SessionLimits
from runtime.supervise import supervise

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from ingest.guest.gate import Visit
    from ingest.rtsp.received import ReceivedPicture, StreamInfo
    from ingest.shop import CameraShop

_HEALTHY_NS: Final = 30 * SECOND


class CameraReceiver:
    """Receives one camera until stopped; failures are states of the camera and never leave `run`."""

    def __init__(self, camera: Camera, shop: CameraShop) -> None:
        self.camera = camera
        self._shop = shop
        self._health = SourceHealth(camera.id, SourceKind.CAMERA, shop.site, exercise=camera.exercise)
        self._activity = CameraActivity()
        self._doubts = CameraDoubts(shop.doubts)
        self._promotion = Promotion(shop.publisher, shop.ring, self._collect, keep_ring=camera.keep_ring)
        if camera.keep_ring:
            shop.ring.name(camera.id)
        self.clock_offset_ns = 0
        """Its clock minus ours by what it said last, 0 while unknown."""
        self._live_since_ns: int | None = None
        self._lost_ns: int | None = None
        self._seen_ns: int | None = None
        """When its last session that showed a picture ended."""
        self._visit: Visit | None = None
        self._waits = False
        self._turns = CameraTurns()
        # Without a URL of its own its platform is asked for one: it is what answers, or does not.
        self._host = host_of(camera.url) or camera.platform
        self._unsupported = False
        self._through_ffmpeg = not _is_rtsp(camera.url or "rtsp:")
        self._session: RtspSession | None = None
        self._media: CameraMedia | None = None
        config = shop.config
        self._backoff = PatientBackoff(
            config.backoff_first_s, config.backoff_max_s, camera.id, config.refused_retry_s
        )

    @property
    def state(self) -> SourceState | None:
        """The camera's state, None before the first."""
        return self._health.state

    @property
    def session(self) -> RtspSession | None:
        """The RTSP session object, None for cameras read through FFmpeg."""
        return self._session

    @property
    def turns(self) -> CameraTurns:
        """Its turns, where cameras are visited in turn (patrol)."""
        return self._turns

    def run(self, stop: asyncio.Event) -> Coroutine[None, None, None]:
        """Keep the camera playing until `stop`, or until cancelled: a coroutine to be run as a task."""
        return supervise(
            self._attempt,
            self._backoff,
            self._shop.clock,
            stop,
            self._on_failure,
            healthy_s=math.inf,
        )

    def look(self, now_ns: int) -> None:
        """A look every now and then (monotonic ns), for what no picture or failure of its own would say."""
        self._doubt(now_ns)
        shop, host = self._shop, self._host
        reason = shop.gate.admission.dead_reason(host) if self._waits else ""
        if reason:
            sentence = f"{host} 无应答, 只派一路试连, 其余等待 (no answer; one camera tries, the others wait)"
            shop.board.post(self._health.failed(SourceUnreachable(sentence, reason=reason), shop.clock.now()))
        elif self._turns.on_patrol:
            now = shop.clock.now()
            if self._visit is not None and self._live_since_ns is not None:
                if self._turns.stands(now_ns, contested=self._visit.contested):
                    shop.board.post(self._health.stands(now))
            elif self._waits and self._turns.missed(round(shop.config.patrol_period_s * SECOND), now_ns):
                shop.board.post(self._health.missed_turns(now))

    def _doubt(self, now_ns: int) -> None:
        """Judge what is held against it; that costs next to nothing while it is as it was."""
        shop, doubts, health, before = self._shop, self._doubts, self._health, self._doubts.reasons
        reception = None
        if self._visit is not None and self._live_since_ns is not None:
            if self._session is not None and not self._through_ffmpeg:
                reception = self._session.reception()
            elif self._media is not None:
                reception = self._media.reception()
        up = health.link is SourceState.LIVE
        if doubts.look(now_ns, self._activity.suspicion, reception, up=up, storm=shop.storms.number):
            for doubt in set(doubts.reasons) - set(before):
                shop.counters.count("cameras_doubted", doubt)
            told = health.doubted(doubts.reasons, doubts.detail(), shop.clock.now(), long_away=doubts.long_away)
            shop.board.post(told)

    def retire(self, reason: str, detail: str) -> None:
        """The camera is not asked for any more."""
        now = self._shop.clock.now()
        self._shop.board.post(self._health.become(SourceState.OFF, reason, detail, now))
        self._shop.publisher.forget(self.camera.id)
        self._shop.ring.forget(self.camera.id)

    async def _attempt(self) -> None:
        """Sessions, each in its turn, until one fails: one that ends for the sake of others (patrol) does not."""
        while await self._one_session():
            self._shop.counters.count("patrol_visits")

    async def _one_session(self) -> bool:
        """One session; True when it showed a key picture and was ended since others wait."""
        shop = self._shop
        self._live_since_ns = None
        self._activity.begin()
        contested = False
        try:
            credentials = find_credentials(shop.credentials, self.camera.credentials, self.camera.id)
            self._waits = True
            async with shop.gate.visit(self._visitor()) as visit:
                self._visit, self._waits = visit, False
                if not self._turns.on_patrol:
                    shop.board.post(self._health.connecting(shop.clock.now()))
                shop.counters.count("sessions_begun")
                try:
                    await self._play(credentials)
                finally:
                    contested = visit.recalled or visit.contested
            if visit.recalled:
                self._backoff.succeeded()
                shop.board.post(self._health.visited(shop.clock.now()))
            return visit.recalled
        except GridwhistleError as error:
            self._backoff.refused = (
                isinstance(error, SourceRefused | ConfigError)
                or (isinstance(error, SourceMissing) and not self._lately_live())
                or error.reason == QUARANTINED
            )
            if self._backoff.refused:
                self._lost_ns = None
            self._turns.failed(error)
            raise
        finally:
            self._visit, self._waits = None, False
            self._promotion.broken(self.camera.id)
            now_ns = shop.clock.monotonic_ns()
            live = self._live_since_ns
            if live is not None:
                self._seen_ns = now_ns
                # Where sessions are short a lost one is a visit like any other: the others have their turn first.
                self._lost_ns = None if contested else now_ns
                if contested:
                    self._turns.visited(now_ns)
                if now_ns - live >= _HEALTHY_NS:
                    self._backoff.succeeded()

    def _lately_live(self) -> bool:
        """A recorder that comes back before its cameras says 404 for a while; that is a loss like any other."""
        now_ns = self._shop.clock.monotonic_ns()
        return self._seen_ns is not None and now_ns - self._seen_ns < LOST_RECENTLY_NS

    def _visitor(self) -> Visitor:
        camera = self.camera
        return Visitor(
            camera.id,
            self._host,
            camera.platform,
            camera.nvr,
            lost_ns=self._lost_ns,
            failures=self._backoff.failures,
            visited_ns=self._turns.visited_ns,
            misses=self._turns.misses,
            hurried=self._turns.hurried,
        )

    def opened(self) -> None:
        """What plays it accepted; the camera is live with its first key picture, not before."""
        if self._visit is not None:
            self._visit.opened()

    async def _play(self, credentials: Credentials | None) -> None:
        """Ask where the camera plays now, and play it there."""
        way = self._shop.urls.way(self.camera)
        play = await way.resolve(self.camera)
        self._through_ffmpeg = self._unsupported or not _is_rtsp(play.url)
        try:
            if not self._through_ffmpeg:
                try:
                    await self._rtsp(play.url, credentials).run_once()
                except GridwhistleError as error:
                    if error.reason != "unsupported_codec":
                        raise
                    self._through_ffmpeg = self._unsupported = True
            if self._through_ffmpeg:
                if self._media is None:
                    self._media = CameraMedia(self.camera, self._shop, self)
                    self._media.collect(self._promotion.collecting)
                await self._media.run_once(play.url, credentials)
        finally:
            await way.release(self.camera, play)

    def _rtsp(self, url: str, credentials: Credentials | None) -> RtspSession:
        if self._session is None:
            config = self._shop.config
            policies = (
                *config.rtsp_policies.get(self.camera.platform, ()),
                *config.rtsp_policies.get(self.camera.id, ()),
            )
            self._session = RtspSession(
                url,
                source_id=self.camera.id,
                clock=self._shop.clock,
                pool=self._shop.pool,
                receiver=self,
                credentials=credentials,
                quirks=QuirkPolicies(policies, partial(self._shop.counters.count, "rtsp_policies_used")),
                udp_ports=self._shop.udp_ports,
                limits=SessionLimits(
                    transport=self.camera.transport,
                    connect_s=config.connect_s,
                    reply_s=config.reply_s,
                    stall_s=config.stall_s,
                    key_stall_s=config.key_stall_s,
                    picture_bytes_max=config.picture_bytes_max,
                    key_pictures=config.key_pictures,
                ),
            )
            self._session.collect(self._promotion.collecting)
        self._session.move(url)
        return self._session

    def _on_failure(self, error: GridwhistleError, delay_s: float) -> None:
        shop = self._shop
        shop.counters.count("sessions_failed", error.reason)
        shop.board.post(self._health.failed(error, shop.clock.now(), refused=self._backoff.refused))
        camera, now_ns = self.camera, shop.clock.monotonic_ns()
        if self._live_since_ns is not None:
            shop.storms.lost(camera.id, camera.platform or self._host, error.reason, now_ns)
            if not self._turns.on_patrol:
                # On patrol sessions are short, whoever ends them.
                self._doubts.ended(now_ns, error.reason)
        if shop.storms.rages or error.reason == "platform_unreachable":
            # Told as one: a storm by StormWatch, a platform that is down by its own line for all of its cameras.
            return
        shop.log.warning(
            error.reason,
            "A camera's session ended",
            source_id=self.camera.id,
            error=str(error),
            retry_s=round(delay_s, 1),
        )

    def playing(self, _info: StreamInfo) -> None:
        """The server accepted PLAY."""
        self.opened()

    def promote(self, until: Instant, *, from_last_key: bool) -> bool:
        """Hand on every picture until `until`; True when that begins with the group of pictures that is open.

        On patrol its session stays so long, or is the next one to begin. Raises CommandRefused when the camera is
        not live, or too many stay already while others wait.
        """
        visit, turns, clock = self._visit, self._turns, self._shop.clock
        left_ns = until - clock.now()
        if self._live_since_ns is not None and visit is not None and not visit.recalled:
            if not visit.stay(left_ns / SECOND):
                raise CommandRefused(
                    f"摄像机 {self.camera.id} 在轮巡中, 停留的已达上限 (on patrol, too many stay)", reason="limit"
                )
        elif turns.on_patrol and (visit is not None or self._waits):
            turns.hurried = True
            self._shop.gate.hurry(self.camera.id)
        else:
            raise CommandRefused(f"摄像机 {self.camera.id} 不在线 (the camera is not live)", reason="not_live")
        until_ns = clock.monotonic_ns() + left_ns
        return self._promotion.promote(self.camera.id, until_ns, from_last_key=from_last_key)

    @property
    def promoted(self) -> bool:
        """Whether every picture is handed on, or will be from the next key picture on."""
        return self._promotion.promoted

    def expire(self, now_ns: int) -> bool:
        """End a promotion whose time is over (monotonic ns); True when it ended now."""
        return self._promotion.expire(now_ns)

    def _collect(self, every_picture: bool) -> None:
        if self._session is not None:
            self._session.collect(every_picture)
        if self._media is not None:
            self._media.collect(every_picture)

    def peek(self) -> None:
        """Look at what came since the last key picture, and announce what is worth a look before the next."""
        between = self._session.between() if self._session is not None else None
        told = self._activity.peek(between) if between is not None else None
        if told is None:
            return
        shop = self._shop
        shop.counters.count("activity_notices", told.suspicion or "active")
        shop.publisher.notice(
            ActivityNotice(
                source_id=self.camera.id, at=shop.clock.now(), activity=told.score, suspicion=told.suspicion
            )
        )
        if told.suspicion is not Suspicion.NONE:
            self._promotion.set_suspect(self.camera.id, True)

    def picture(self, picture: ReceivedPicture) -> None:
        """A picture of the RTSP session, or a key picture that FFmpeg read."""
        shop = self._shop
        activity = Activity(1.0, Suspicion.NONE)
        if picture.key:
            self._became_live()
            if picture.clock_offset_ns is not None:
                self.clock_offset_ns = picture.clock_offset_ns
                shop.board.post(self._health.clock_offset(picture.clock_offset_ns, picture.arrival_time))
            between = (picture.dropped_pictures, picture.dropped_bytes, picture.dropped_bytes_max)
            activity = self._activity.interval(between, len(picture.data), picture.digest, picture.event_time)
            shop.counters.count("pictures_received")
            shop.minutes.count(self.camera.id, shop.clock.monotonic_ns())
            self._promotion.set_suspect(self.camera.id, activity.suspicion is not Suspicion.NONE)
        header = FrameHeader(
            source_id=self.camera.id,
            sequence=0,
            event_time=picture.event_time,
            arrival_time=picture.arrival_time,
            codec=picture.codec,
            size=len(picture.data),
            key=picture.key,
            activity=activity.score,
            suspicion=activity.suspicion,
            discontinuity=picture.discontinuity,
            clock_offset_ns=picture.clock_offset_ns,
        )
        self._promotion.hand_on(header, picture.data)
        if picture.key:
            self._shown(activity.suspicion)

    def _became_live(self) -> None:
        if self._live_since_ns is None:
            shop, until = self._shop, self._promotion.until
            self._live_since_ns = shop.clock.monotonic_ns()
            self._turns.seen(self._live_since_ns)
            shop.storms.back(self.camera.id)
            shop.board.post(self._health.live(shop.clock.now()))
            if until is not None and self._visit is not None:
                self._visit.stay((until - self._live_since_ns) / SECOND)

    def _shown(self, suspicion: Suspicion) -> None:
        """A key picture was handed on: a visit may end now, that of a suspect when inference had time to ask."""
        visit = self._visit
        if visit is not None:
            if suspicion is not Suspicion.NONE and not visit.stays:
                visit.stay(self._shop.config.patrol_dwell_s)
            visit.seen()


def _is_rtsp(url: str) -> bool:
    return urlsplit(url).scheme == "rtsp"


def host_of(url: str | None) -> str:
    """The server that a URL names, as host:port (two devices behind one address differ by port); "" for a file."""
    parts = urlsplit(url or "")
    return parts.netloc.rpartition("@")[2].lower()
