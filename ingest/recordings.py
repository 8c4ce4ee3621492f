"""The past of a camera out of its platform's recording, as frames: where it plays, and what is taken of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from contracts.errors import CommandRefused, GridwhistleError
from contracts.frame import Frame, FrameHeader
from contracts.instant import SECOND, Instant
from ingest.camera import host_of
from ingest.control import Past
from ingest.guest.place import Visitor
from ingest.health import SKEW_NEWS_NS
from ingest.platforms.play import recording_url
from ingest.ring import thinned_out
from ingest.rtsp.credentials import Credentials, find_credentials
from ingest.rtsp.playback import PlaybackLimits, play_back
from ingest.rtsp.quirks import QuirkPolicies
from ingest.rtsp.recorder import read_policies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contracts.source import Camera
    from ingest.guest.gate import Gate, Visit
    from ingest.platforms.play import PlatformUrls, RecordingUrl
    from ingest.rtsp.playback import Playback, RecordedPicture
    from runtime.clock import Clock

_RUN_S: Final = 40.0
"""A run ends so long after its beginning with what it has: half a minute from a recorder that plays no faster than
it happened, and some time to get going."""
_SPEED: Final = 4.0
"""Asked for, so that half a minute comes soon."""
_SPEED_REFUSED: Final = frozenset(f"status_{status}" for status in (400, 406, 451, 456, 501, 551))
"""Answers of servers that do not know the header Speed (RFC 2326, 11.3 and 12.35): asked again without."""
_TURN_S: Final = 3.0
"""Longest wait for a session; recorders that are full of live sessions have none to give, and the wall waits."""


class PlatformRecordings:
    """Plays recordings back, at most `runs_max` at once: platforms have few playback sessions to give.

    Each goes through `gate` as a session of its host, platform and recorder like any live one; it goes first,
    since somebody waits for it. `policies` as for the live session, and `recorders` (ingest.rtsp.recorder), by
    camera id or platform key; `turn_s`: how long a session is waited for.
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
        recorders: Mapping[str, tuple[str, ...]] | None = None,
        turn_s: float = _TURN_S,
    ) -> None:
        self._gate = gate
        self._policies = policies or {}
        self._recorders = recorders or {}
        self._turn_s = turn_s
        self._urls = urls
        self._credentials = credentials
        self._clock = clock
        self._runs_max = runs_max
        self._runs = 0

    async def pictures(
        self, camera: Camera, begin: Instant, end: Instant, pictures_max: int, clock_offset_ns: int = 0
    ) -> Past:
        """See ingest.control.Recordings.

        Raises CommandRefused with reason `busy` over the bound and `no_session` when its host, platform or
        recorder has no session to give in time, else the error of the playback.
        """
        if self._runs >= self._runs_max:
            raise CommandRefused("同时回放的录像已达上限 (too many recordings are played back)", reason="busy")
        self._runs += 1
        try:
            # Of the device that plays live and recorded its clock is known; what it recorded has its times.
            same = _name(host_of(camera.url)) == _name(host_of(camera.recording_url)) != ""
            offset_ns = clock_offset_ns if same and abs(clock_offset_ns) > SKEW_NEWS_NS else 0
            wanted = Instant(begin + offset_ns), Instant(end + offset_ns), pictures_max
            taken = await self._in_turn(camera, *wanted)
            frames = [_frame(camera, number, each, offset_ns) for number, each in enumerate(taken.pictures, 1)]
            return Past(thinned_out(frames, pictures_max), taken.ended)
        finally:
            self._runs -= 1

    async def _in_turn(self, camera: Camera, begin: Instant, end: Instant, pictures_max: int) -> Playback:
        visitor = Visitor(
            f"playback {camera.id}",
            host_of(camera.recording_url) or camera.platform,
            camera.platform,
            camera.nvr,
            lost_ns=self._clock.monotonic_ns(),
        )
        # The wait alone is bounded: `timeout` is switched off as soon as it is our turn.
        bound = asyncio.timeout(self._turn_s)
        try:
            async with bound, self._gate.visit(visitor) as visit:
                bound.reschedule(None)
                return await self._play(camera, begin, end, pictures_max, visit)
            # Swallowed by the visit: it was called back in the middle, for those that wait.
            raise CommandRefused(
                f"{camera.id}: 回放让位给等待的摄像机 (the playback gave its session back to cameras that wait)",
                reason="no_session",
            )
        except TimeoutError:
            raise CommandRefused(
                f"{camera.id}: 平台或录像机的会话已满, 无法回放 (no session is free for a playback); "
                "请提高会话上限或留出余量 (raise its limit, or leave some room)",
                reason="no_session",
            ) from None

    async def _play(
        self, camera: Camera, begin: Instant, end: Instant, pictures_max: int, visit: Visit
    ) -> Playback:
        place = await recording_url(self._urls, camera, begin, end)
        # Twice as many, so that they can be thinned out evenly; recorders often have a key picture a second.
        limits = PlaybackLimits(
            pictures_max=2 * pictures_max + 2,
            seconds_max=_RUN_S,
            every_s=(end - begin) / SECOND / (2 * pictures_max),
        )
        try:
            try:
                return await self._run(camera, place, begin, end, limits, visit, _SPEED)
            except GridwhistleError as error:
                if error.reason not in _SPEED_REFUSED:
                    raise
                return await self._run(camera, place, begin, end, limits, visit, None)
        finally:
            await asyncio.shield(self._urls.way(camera).release_recording(camera, place))

    async def _run(
        self,
        camera: Camera,
        place: RecordingUrl,
        begin: Instant,
        end: Instant,
        limits: PlaybackLimits,
        visit: Visit,
        speed: float | None,
    ) -> Playback:
        policies = (*self._policies.get(camera.platform, ()), *self._policies.get(camera.id, ()))
        recorder = (*self._recorders.get(camera.platform, ()), *self._recorders.get(camera.id, ()))
        return await play_back(
            place.url,
            begin,
            end,
            clock=self._clock,
            credentials=find_credentials(self._credentials, camera.credentials, camera.id),
            speed=speed,
            ranged=place.ranged,
            origin=None if place.ranged else place.begin,
            limits=limits,
            quirks=QuirkPolicies(policies),
            recorder=read_policies(recorder),
            playing=visit.opened,
        )


def _name(host: str) -> str:
    """A host without its port: live and recorded pictures of one device may have two."""
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host


def _frame(camera: Camera, number: int, taken: RecordedPicture, offset_ns: int) -> Frame:
    at = Instant(taken.event_time - offset_ns)
    header = FrameHeader(
        source_id=camera.id,
        sequence=number,
        event_time=at,
        arrival_time=at,
        codec=taken.codec,
        size=len(taken.data),
    )
    return Frame(header=header, data=taken.data)
