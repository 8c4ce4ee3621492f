"""Where a camera's stream, or its recording, is to be had now: asked for at every connection, after every loss."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote

from contracts.errors import ConfigError, GridwhistleError, ProtocolViolation, SourceMissing
from contracts.instant import SECOND, Instant, to_rfc3339
from contracts.source import Camera, Catalogue, Platform, PlatformKind
from ingest.rtsp.credentials import Credentials, find_credentials

if TYPE_CHECKING:
    from ingest.platforms.wvp import WvpSession
    from runtime.clock import Clock

_RELEASE_S: Final = 3.0
"""Leaving a stream holds nothing up for longer than this."""
_LIVE_SCHEMES: Final = ("rtsp", "flv", "ts", "hls")
"""Fields of WVP's StreamContent, best first: RTSP is received without FFmpeg."""


@dataclass(frozen=True, slots=True)
class PlayUrl:
    """An address to play now. `stream`: the platform's name of it, for giving it back."""

    url: str
    stream: str = ""


@dataclass(frozen=True, slots=True)
class RecordingUrl:
    """Where a recording is played from. `ranged`: the time is asked for by `Range: clock=`; else the address
    begins at `begin` by itself."""

    url: str
    begin: Instant
    end: Instant
    ranged: bool
    stream: str = ""


class PlayUrls(Protocol):
    """One way to find streams."""

    async def resolve(self, camera: Camera) -> PlayUrl:
        """Where the camera plays now. Raises SourceError, ConfigError."""

    async def release(self, camera: Camera, play: PlayUrl) -> None:
        """We have left the stream. Never raises."""

    async def recording(self, camera: Camera, begin: Instant, end: Instant) -> RecordingUrl:
        """Where the camera's recording of this time plays. Raises SourceError, SourceMissing for none."""

    async def release_recording(self, camera: Camera, recording: RecordingUrl) -> None:
        """We have left the recording. Never raises."""

    async def close(self) -> None:
        """Give everything back."""


class FixedUrls:
    """Cameras whose address stands in the catalogue."""

    async def resolve(self, camera: Camera) -> PlayUrl:
        """The catalogue's address. Raises SourceMissing with reason `no_url`."""
        if not camera.url:
            raise SourceMissing(f"{camera.id}: 目录中没有地址 (no URL in the catalogue)", reason="no_url")
        return PlayUrl(camera.url)

    async def release(self, camera: Camera, play: PlayUrl) -> None:
        """Nothing to give back."""

    async def recording(self, camera: Camera, begin: Instant, end: Instant) -> RecordingUrl:
        """The catalogue's address of recordings. Raises SourceMissing with reason `no_recording`."""
        if not camera.recording_url:
            raise SourceMissing(
                f"{camera.id}: 没有可读的录像 (no recordings that we may read)", reason="no_recording"
            )
        return RecordingUrl(camera.recording_url, begin, end, ranged=True)

    async def release_recording(self, camera: Camera, recording: RecordingUrl) -> None:
        """Nothing to give back."""

    async def close(self) -> None:
        """Nothing is open."""


class WvpUrls:
    """Cameras behind a WVP-GB28181-pro: it invites the device and says where its media server plays the stream."""

    def __init__(self, session: WvpSession, *, stop_streams: bool = False) -> None:
        self._session = session
        self._stop_streams = stop_streams

    async def resolve(self, camera: Camera) -> PlayUrl:
        """Ask the platform to play. Raises as WvpSession.get, ConfigError for a camera without `channel`."""
        data = await self._session.get(f"/api/play/start/{_channel(camera)}")
        return PlayUrl(_address(camera, data), str(data.get("stream") or ""))

    async def release(self, camera: Camera, play: PlayUrl) -> None:  # noqa: ARG002 - WVP stops by channel
        """Let the platform end the stream if we are told to; it does so by itself once nobody reads it."""
        if self._stop_streams:
            await self._quietly(f"/api/play/stop/{_channel(camera)}")

    async def recording(self, camera: Camera, begin: Instant, end: Instant) -> RecordingUrl:
        """Ask the platform to play the recording from `begin`. Raises as `resolve`; ValueError for no time."""
        if begin >= end:
            raise ValueError("a recording ends after it begins")
        if camera.recording_url:
            return await FixedUrls().recording(camera, begin, end)
        # The platform counts whole seconds of Beijing time; what is asked for must lie inside.
        last = Instant(math.ceil(end / SECOND) * SECOND)
        data = await self._session.get(
            f"/api/playback/start/{_channel(camera)}", startTime=_local(begin), endTime=_local(last)
        )
        first = Instant(begin // SECOND * SECOND)
        return RecordingUrl(
            _address(camera, data), first, last, ranged=False, stream=str(data.get("stream") or "")
        )

    async def release_recording(self, camera: Camera, recording: RecordingUrl) -> None:
        """End the playback: it is ours alone."""
        if recording.stream:
            await self._quietly(f"/api/playback/stop/{_channel(camera)}/{quote(recording.stream, safe='')}")

    async def close(self) -> None:
        """Give the connections back."""
        await self._session.close()

    async def _quietly(self, path: str) -> None:
        try:
            async with asyncio.timeout(_RELEASE_S):
                await self._session.get(path)
        except (GridwhistleError, TimeoutError):
            return  # it ends by itself once nobody reads it


class PlatformUrls:
    """The ways of all platforms of a catalogue; what is not on a platform that resolves is FIXED."""

    def __init__(self, credentials: Mapping[str, Credentials], clock: Clock) -> None:
        self._credentials = dict(credentials)
        self._clock = clock
        self._fixed = FixedUrls()
        self._ways: dict[str, tuple[Platform, PlayUrls | ConfigError]] = {}

    async def use(self, catalogue: Catalogue) -> None:
        """Go by the platforms of this catalogue; one whose entry is as before keeps its login."""
        wanted = {each.id: each for each in catalogue.platforms if each.kind is PlatformKind.WVP}
        for platform_id in [key for key, (known, _) in self._ways.items() if wanted.get(key) != known]:
            _, way = self._ways.pop(platform_id)
            if not isinstance(way, ConfigError):
                await way.close()
        for platform_id, platform in wanted.items():
            if platform_id not in self._ways:
                self._ways[platform_id] = (platform, self._open(platform))

    def way(self, camera: Camera) -> PlayUrls:
        """How this camera is found. Raises ConfigError when its platform is not set up rightly."""
        if camera.platform not in self._ways or (camera.url and not camera.channel):
            return self._fixed
        way = self._ways[camera.platform][1]
        if isinstance(way, ConfigError):
            raise way
        return way

    async def close(self) -> None:
        """Give all connections back."""
        for _, way in self._ways.values():
            if not isinstance(way, ConfigError):
                await way.close()
        self._ways.clear()

    def _open(self, platform: Platform) -> PlayUrls | ConfigError:
        from ingest.platforms.wvp import WvpSession  # the HTTP client is only loaded where a platform needs it

        try:
            login = find_credentials(self._credentials, platform.credentials, platform.id)
        except ConfigError as error:
            return error
        session = WvpSession(platform.id, platform.base_url or "", login, self._clock)
        return WvpUrls(session, stop_streams=platform.stop_streams)


async def recording_url(urls: PlatformUrls, camera: Camera, begin: Instant, end: Instant) -> RecordingUrl:
    """Where the recording of `camera` from `begin` to `end` is played; give it back with `release_recording`.

    Raises SourceMissing with reason `no_recording` when its platform keeps none for us, SourceError otherwise.
    """
    return await urls.way(camera).recording(camera, begin, end)


def _channel(camera: Camera) -> str:
    """`deviceId/channelId`, fit for a path. Raises ConfigError with reason `no_channel`."""
    device, separator, channel = camera.channel.partition("/")
    if not separator or not device or not channel or "/" in channel:
        raise ConfigError(
            f"{camera.id}: channel {camera.channel[:60]!r} 应为 设备编号/通道编号 (deviceId/channelId)",
            reason="no_channel",
        )
    return f"{quote(device, safe='')}/{quote(channel, safe='')}"


def _address(camera: Camera, data: Any) -> str:
    if isinstance(data, dict):
        for field in _LIVE_SCHEMES:
            url = data.get(field)
            if isinstance(url, str) and "://" in url:
                return url
    raise ProtocolViolation(
        f"{camera.id}: 平台未给出可用的播放地址 (the platform gave no address that we can play)",
        reason="platform_protocol",
    )


def _local(instant: Instant) -> str:
    """`2026-11-22 16:04:12` in Beijing time, as WVP wants it."""
    return to_rfc3339(instant)[:19].replace("T", " ")
