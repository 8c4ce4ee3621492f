"""The FFmpeg way of one camera: read in a media child, its key pictures told like those of an RTSP session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from contracts.frame import Codec
from contracts.instant import Instant
from contracts.source import Camera, TransportPolicy
from ingest.activity import key_digest
from ingest.media.link import Open
from ingest.rtsp.received import ReceivedPicture
from ingest.rtsp.timing import RtpTimeline
from ingest.rtsp.totals import Reception

if TYPE_CHECKING:
    from ingest.media.taken import MediaFormat, MediaPicture
    from ingest.rtsp.credentials import Credentials
    from ingest.shop import CameraShop

_CLOCK_RATE: Final = 90_000


class MediaReceiver(Protocol):
    """Who takes what the child gives; called within the event loop, must not wait."""

    def opened(self) -> None:
        """FFmpeg opened the source; it is live with its first key picture, not before."""

    def picture(self, picture: ReceivedPicture) -> None:
        """A picture came; one that is no key picture only while they are collected."""


class CameraMedia:
    """One camera through FFmpeg, `run_once` for each life."""

    def __init__(self, camera: Camera, shop: CameraShop, receiver: MediaReceiver) -> None:
        self._clock_jumps = 0
        self._camera = camera
        self._shop = shop
        self._receiver = receiver
        self._timeline = RtpTimeline(_CLOCK_RATE)
        self._collecting = False

    def collect(self, every_picture: bool) -> None:
        """Hand on every picture from the next key picture on, or key pictures only again; over all lives."""
        if every_picture != self._collecting:
            self._collecting = every_picture
            self._shop.media.collect(self._camera.id, every_picture)

    def reception(self) -> Reception:
        """How well it arrives; FFmpeg does not tell of lost packets, nor of the camera's clock."""
        return Reception(0, 0, self._clock_jumps, None)

    async def run_once(self, url: str, credentials: Credentials | None) -> None:
        """Play `url` in a child until it ends. Raises the SourceError that ended it."""
        config = self._shop.config
        await self._shop.media.play(
            Open(
                url=url,
                udp=self._camera.transport is TransportPolicy.UDP,
                loop=config.file_loop,
                picture_bytes_max=config.picture_bytes_max,
                stall_s=config.stall_s,
                quiet_s=config.folder_quiet_s,
            ),
            source_id=self._camera.id,
            take=self._on_picture,
            playing=self._on_format,
            credentials=credentials,
        )

    def _on_format(self, _media: MediaFormat) -> None:
        if self._collecting:
            self._shop.media.collect(self._camera.id, True)
        self._receiver.opened()

    def _on_picture(self, codec: Codec, picture: MediaPicture, first: bool, wall_ns: int | None) -> None:
        """A picture of the child; recordings have their own clock, all else is anchored to arrival."""
        now = self._shop.clock.now()
        if first:
            # A file that begins anew, or pictures left out on the way: nothing of the time line before holds.
            self._timeline = RtpTimeline(_CLOCK_RATE)
        event_time, jumped = now, False
        if wall_ns is not None:
            event_time = Instant(wall_ns)
        elif picture.time_s is not None:
            steady_ns = self._shop.clock.monotonic_ns()
            event = self._timeline.event_time(round(picture.time_s * _CLOCK_RATE) & 0xFFFFFFFF, steady_ns)
            event_time, jumped = event.instant(now, steady_ns), event.jumped
            self._clock_jumps += jumped
        self._receiver.picture(
            ReceivedPicture(
                data=picture.data,
                codec=codec,
                key=picture.key,
                event_time=event_time,
                arrival_time=now,
                discontinuity=first or jumped,
                dropped_pictures=picture.dropped_pictures,
                dropped_bytes=picture.dropped_bytes,
                dropped_bytes_max=0,
                digest=key_digest(picture.data) if picture.key else 0,
                clock_offset_ns=None,
            )
        )
