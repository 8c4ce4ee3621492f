"""The past of a camera out of its platform's recording, as frames: where it plays, and what is taken of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from contracts.errors import CommandRefused
from contracts.frame import Frame, FrameHeader
from ingest.platforms.play import recording_url
from ingest.rtsp.credentials import Credentials, find_credentials
from ingest.rtsp.playback import PlaybackLimits, play_back

if TYPE_CHECKING:
    from contracts.instant import Instant
    from contracts.source import Camera
    from ingest.platforms.play import PlatformUrls
    from runtime.clock import Clock

_RUN_S: Final = 12.0
"""A run ends so long after its beginning with what it has: whoever asks does not wait longer."""
_SCALE: Final = 4.0
"""Asked for, so that half a minute comes in time; a server that keeps to real time gives the beginning of it."""


class PlatformRecordings:
    """Plays recordings back, at most `runs_max` at once: platforms have few playback sessions to give."""

    def __init__(
        self, urls: PlatformUrls, credentials: dict[str, Credentials], clock: Clock, *, runs_max: int
    ) -> None:
        self._urls = urls
        self._credentials = credentials
        self._clock = clock
        self._runs_max = runs_max
        self._runs = 0

    async def pictures(self, camera: Camera, begin: Instant, end: Instant, pictures_max: int) -> list[Frame]:
        """See ingest.control.Recordings. Raises CommandRefused with reason `busy` over the bound."""
        if self._runs >= self._runs_max:
            raise CommandRefused("同时回放的录像已达上限 (too many recordings are played back)", reason="busy")
        self._runs += 1
        try:
            return await self._play(camera, begin, end, pictures_max)
        finally:
            self._runs -= 1

    async def _play(self, camera: Camera, begin: Instant, end: Instant, pictures_max: int) -> list[Frame]:
        place = await recording_url(self._urls, camera, begin, end)
        try:
            taken = await play_back(
                place.url,
                begin,
                end,
                clock=self._clock,
                credentials=find_credentials(self._credentials, camera.credentials, camera.id),
                scale=_SCALE,
                ranged=place.ranged,
                limits=PlaybackLimits(pictures_max=pictures_max, seconds_max=_RUN_S),
            )
        finally:
            await asyncio.shield(self._urls.way(camera).release_recording(camera, place))
        return [
            Frame(
                header=FrameHeader(
                    source_id=camera.id,
                    sequence=number,
                    event_time=each.event_time,
                    arrival_time=each.event_time,
                    codec=each.codec,
                    size=len(each.data),
                ),
                data=each.data,
            )
            for number, each in enumerate(taken, 1)
        ]
