"""The past of a camera out of its platform's recording, as frames: where it plays, and what is taken of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from contracts.errors import CommandRefused
from contracts.frame import Frame, FrameHeader
from ingest.camera import host_of
from ingest.control import Past
from ingest.guest.place import Visitor
from ingest.platforms.play import recording_url
from ingest.rtsp.credentials import Credentials, find_credentials
from ingest.rtsp.playback import PlaybackLimits, play_back
from ingest.rtsp.quirks import Quirk, QuirkPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contracts.instant import Instant
    from contracts.source import Camera
    from ingest.guest.gate import Gate, Visit
    from ingest.platforms.play import PlatformUrls
    from ingest.rtsp.playback import RecordedPicture
    from runtime.clock import Clock

_RUN_S: Final = 40.0
"""A run ends so long after its beginning with what it has: half a minute from a recorder that plays no faster than
it happened, and some time to get going."""
_SPEED: Final = 4.0
"""Asked for, so that half a minute comes soon."""
_TURN_S: Final = 3.0
"""Longest wait for a session; recorders that are full of live sessions have none to give, and the wall waits."""


class PlatformRecordings:
    """Plays recordings back, at most `runs_max` at once: platforms have few playback sessions to give.

    Each goes through `gate` as a session of its host, platform and recorder like any live one; it goes first,
    since somebody waits for it. `policies` by camera id or platform key, as for the live session.
    """

    def __init__(
        self,
        urls: PlatformUrls,
        credentials: dict[str, Credentials],
        clock: Clock,
        gate: Gate,
        *,
        runs_max: int,
        policies: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._gate = gate
        self._policies = policies or {}
        self._urls = urls
        self._credentials = credentials
        self._clock = clock
        self._runs_max = runs_max
        self._runs = 0

    async def pictures(self, camera: Camera, begin: Instant, end: Instant, pictures_max: int) -> Past:
        """See ingest.control.Recordings.

        Raises CommandRefused with reason `busy` over the bound and `no_session` when its host, platform or
        recorder has no session to give in time, else the error of the playback.
        """
        if self._runs >= self._runs_max:
            raise CommandRefused("同时回放的录像已达上限 (too many recordings are played back)", reason="busy")
        self._runs += 1
        try:
            return await self._in_turn(camera, begin, end, pictures_max)
        finally:
            self._runs -= 1

    async def _in_turn(self, camera: Camera, begin: Instant, end: Instant, pictures_max: int) -> Past:
        visitor = Visitor(
            f"playback {camera.id}",
            host_of(camera.recording_url) or camera.platform,
            camera.platform,
            camera.nvr,
            lost_ns=self._clock.monotonic_ns(),
        )
        # The wait alone is bounded: `timeout` is switched off as soon as it is our turn.
        bound = asyncio.timeout(_TURN_S)
        try:
            async with bound, self._gate.visit(visitor) as visit:
                bound.reschedule(None)
                return await self._play(camera, begin, end, pictures_max, visit)
        except TimeoutError:
            raise CommandRefused(
                f"{camera.id}: 平台或录像机的会话已满, 无法回放 (no session is free for a playback); "
                "请提高会话上限或留出余量 (raise its limit, or leave some room)",
                reason="no_session",
            ) from None

    async def _play(self, camera: Camera, begin: Instant, end: Instant, pictures_max: int, visit: Visit) -> Past:
        place = await recording_url(self._urls, camera, begin, end)
        policies = (*self._policies.get(camera.platform, ()), *self._policies.get(camera.id, ()))
        try:
            taken = await play_back(
                place.url,
                begin,
                end,
                clock=self._clock,
                credentials=find_credentials(self._credentials, camera.credentials, camera.id),
                speed=_SPEED,
                ranged=place.ranged,
                origin=None if place.ranged else place.begin,
                limits=PlaybackLimits(pictures_max=pictures_max, seconds_max=_RUN_S),
                # Without its Range a playback would show another time than the one that was asked for.
                policy=QuirkPolicy((*policies, f"-{Quirk.RANGE_REFUSED}")),
                playing=visit.opened,
            )
        finally:
            await asyncio.shield(self._urls.way(camera).release_recording(camera, place))
        return Past([_frame(camera, number, each) for number, each in enumerate(taken.pictures, 1)], taken.ended)


def _frame(camera: Camera, number: int, taken: RecordedPicture) -> Frame:
    header = FrameHeader(
        source_id=camera.id,
        sequence=number,
        event_time=taken.event_time,
        arrival_time=taken.event_time,
        codec=taken.codec,
        size=len(taken.data),
    )
    return Frame(header=header, data=taken.data)
