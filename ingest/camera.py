"""One camera of the catalogue: its session, kept alive, and its key pictures on their way to inference."""

from __future__ import annotations

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from contracts.errors import CommandRefused, ConfigError, GridwhistleError, SourceMissing, SourceRefused
from contracts.frame import Codec, FrameHeader, Suspicion
from contracts.instant import SECOND, Instant
from contracts.source import Camera, SourceKind, SourceState, TransportPolicy
from ingest.activity import Activity, ActivityMeter, key_digest
from ingest.health import ChangeBoard, SourceHealth
from ingest.media.player import MediaPlayer
from ingest.promotion import Promotion
from ingest.rtsp.credentials import Credentials, find_credentials
from ingest.rtsp.session import RtspSession, SessionLimits
from runtime.log import CountedLog
from runtime.supervise import Backoff, supervise

if TYPE_CHECKING:
    from contracts.instant import Instant
    from ingest.config import IngestConfig
    from ingest.media.demux import MediaFormat, MediaPicture
    from ingest.ring import PictureRing
    from ingest.rtsp.pace import ConnectPace
    from ingest.rtsp.receive import ReceivePool
    from ingest.rtsp.session import ReceivedPicture, StreamInfo
    from runtime.clock import Clock
    from runtime.latest import LatestPublisher
    from runtime.metrics import StageCounters

_HEALTHY_NS: Final = 30 * SECOND


@dataclass(frozen=True, slots=True)
class CameraShop:
    """What all cameras of a worker share."""

    site: str
    config: IngestConfig
    clock: Clock
    pool: ReceivePool
    pace: ConnectPace
    publisher: LatestPublisher
    ring: PictureRing
    board: ChangeBoard
    counters: StageCounters
    credentials: dict[str, Credentials]
    threads: ThreadPoolExecutor
    log: CountedLog


class PatientBackoff(Backoff):
    """Back-off that waits long after a refusal: asking again and again may lock an account."""

    def __init__(self, first_s: float, max_s: float, seed: str, refused_s: float) -> None:
        super().__init__(first_s, max_s, seed)
        self._refused_s = refused_s
        self.refused = False

    def failed(self) -> float:
        """Seconds to wait before the next attempt."""
        delay_s = super().failed()
        return self._refused_s * (0.75 + 0.5 * (delay_s / (delay_s + 1.0))) if self.refused else delay_s


class CameraReceiver:
    """Receives one camera until stopped; failures are states of the camera and never leave `run`."""

    def __init__(self, camera: Camera, shop: CameraShop) -> None:
        self.camera = camera
        self._shop = shop
        self._health = SourceHealth(camera.id, SourceKind.CAMERA, shop.site, exercise=camera.exercise)
        self._activity = ActivityMeter()
        self._key_at: Instant | None = None
        self._promotion = Promotion(shop.publisher, shop.ring, self._collect, keep_ring=camera.keep_ring)
        self._live_since_ns: int | None = None
        self._through_ffmpeg = camera.transport is TransportPolicy.UDP or not _is_rtsp(camera.url)
        self._session: RtspSession | None = None
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

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the camera playing until `stop`."""
        await supervise(
            self._attempt,
            self._backoff,
            self._shop.clock,
            stop,
            self._on_failure,
            healthy_s=math.inf,
        )

    def retire(self, reason: str, detail: str) -> None:
        """The camera is not asked for any more."""
        now = self._shop.clock.now()
        self._shop.board.post(self._health.become(SourceState.OFF, reason, detail, now))
        self._shop.publisher.forget(self.camera.id)
        self._shop.ring.forget(self.camera.id)

    async def _attempt(self) -> None:
        """One session, in its turn."""
        shop = self._shop
        self._live_since_ns = None
        try:
            credentials = find_credentials(shop.credentials, self.camera.credentials, self.camera.id)
            async with shop.pace.session(self.camera.platform):
                await shop.pace.turn()
                shop.board.post(self._health.connecting(shop.clock.now()))
                shop.counters.count("sessions_begun")
                await self._play(credentials)
        except GridwhistleError as error:
            self._backoff.refused = isinstance(error, SourceRefused | SourceMissing | ConfigError)
            raise
        finally:
            self._promotion.broken()
            live = self._live_since_ns
            if live is not None and shop.clock.monotonic_ns() - live >= _HEALTHY_NS:
                self._backoff.succeeded()

    async def _play(self, credentials: Credentials | None) -> None:
        if not self._through_ffmpeg:
            try:
                await self._rtsp(credentials).run_once()
            except GridwhistleError as error:
                if error.reason != "unsupported_codec":
                    raise
                self._through_ffmpeg = True
        if self._through_ffmpeg:
            await self._media(credentials).run_once()

    def _rtsp(self, credentials: Credentials | None) -> RtspSession:
        if self._session is None:
            config = self._shop.config
            self._session = RtspSession(
                self.camera.url or "",
                source_id=self.camera.id,
                clock=self._shop.clock,
                pool=self._shop.pool,
                receiver=self,
                credentials=credentials,
                limits=SessionLimits(
                    connect_s=config.connect_s,
                    reply_s=config.reply_s,
                    stall_s=config.stall_s,
                    key_stall_s=config.key_stall_s,
                    picture_bytes_max=config.picture_bytes_max,
                    key_pictures=config.key_pictures,
                ),
            )
        return self._session

    def _media(self, credentials: Credentials | None) -> MediaPlayer:
        config = self._shop.config
        return MediaPlayer(
            self.camera.url or "",
            clock=self._shop.clock,
            threads=self._shop.threads,
            take=self._on_media_picture,
            playing=self._on_media_format,
            credentials=credentials,
            udp=self.camera.transport is TransportPolicy.UDP,
            loop_file=config.file_loop,
            picture_bytes_max=config.picture_bytes_max,
            stall_s=config.stall_s,
        )

    def _on_failure(self, error: GridwhistleError, delay_s: float) -> None:
        shop = self._shop
        shop.counters.count("sessions_failed", error.reason)
        shop.board.post(self._health.failed(error, shop.clock.now()))
        shop.log.warning(
            error.reason,
            "A camera's session ended",
            source_id=self.camera.id,
            error=str(error),
            retry_s=round(delay_s, 1),
        )

    def playing(self, info: StreamInfo) -> None:
        """The server accepted PLAY; the camera is live with its first key picture, not before."""

    def promote(self, until: Instant, *, from_last_key: bool) -> bool:
        """Hand on every picture until `until`; True when that begins with the group of pictures that is open.

        Raises CommandRefused when the camera is not live, or comes through FFmpeg, which gives key pictures only.
        """
        if self._through_ffmpeg:
            raise CommandRefused(
                f"摄像机 {self.camera.id} 经 FFmpeg 接入, 只有关键帧 (it gives key pictures only)", reason="codec"
            )
        if self._live_since_ns is None:
            raise CommandRefused(f"摄像机 {self.camera.id} 不在线 (the camera is not live)", reason="not_live")
        return self._promotion.promote(self.camera.id, until, from_last_key=from_last_key)

    @property
    def promoted(self) -> bool:
        """Whether every picture is handed on, or will be from the next key picture on."""
        return self._promotion.promoted

    def expire(self, now: Instant) -> bool:
        """End a promotion whose time is over; True when it ended now."""
        return self._promotion.expire(now)

    def _collect(self, every_picture: bool) -> None:
        if self._session is not None:
            self._session.collect(every_picture)

    def picture(self, picture: ReceivedPicture) -> None:
        """A picture of the RTSP session."""
        shop = self._shop
        activity = Activity(1.0, Suspicion.NONE)
        if picture.key:
            self._became_live()
            if picture.clock_offset_ns is not None:
                shop.board.post(self._health.clock_offset(picture.clock_offset_ns, picture.arrival_time))
            activity = self._measure(picture, picture.event_time, picture.dropped_bytes_max, picture.digest)
            shop.counters.count("pictures_received")
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

    def _on_media_format(self, media: MediaFormat) -> None:
        """FFmpeg opened the source; the camera is live with its first key picture, not before."""

    def _on_media_picture(self, codec: Codec, picture: MediaPicture, first: bool) -> None:
        now = self._shop.clock.now()
        self._became_live()
        activity = self._measure(picture, now, 0, key_digest(picture.data))
        header = FrameHeader(
            source_id=self.camera.id,
            sequence=0,
            event_time=now,
            arrival_time=now,
            codec=codec,
            size=len(picture.data),
            activity=activity.score,
            suspicion=activity.suspicion,
            discontinuity=first,
        )
        self._shop.counters.count("pictures_received")
        self._promotion.hand_on(header, picture.data)

    def _measure(
        self, picture: ReceivedPicture | MediaPicture, at: Instant, dropped_bytes_max: int, digest: int
    ) -> Activity:
        """The activity of the interval that this key picture ends."""
        before, self._key_at = self._key_at, at
        return self._activity.interval(
            picture.dropped_pictures,
            picture.dropped_bytes,
            dropped_bytes_max,
            len(picture.data),
            digest,
            at - before if before is not None else 0,
        )

    def _became_live(self) -> None:
        if self._live_since_ns is None:
            self._live_since_ns = self._shop.clock.monotonic_ns()
            self._shop.board.post(self._health.live(self._shop.clock.now()))


def _is_rtsp(url: str | None) -> bool:
    return url is not None and urlsplit(url).scheme == "rtsp"
