"""The real camera worker on patrol: an RTSP server that allows few sessions, and counts them itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest

from contracts import topics, wire
from contracts.control import Promote, PromoteAnswer
from contracts.coverage import CameraMinute
from contracts.frame import Frame
from contracts.instant import SECOND, Instant
from contracts.source import Camera, Platform, SourceState
from runtime.clock import SystemClock
from runtime.site import Site
from runtime.zmq_latest import ZmqLatestPuller
from runtime.zmq_request import ZmqRequestClient
from sim.encode import Encoder
from sim.rtp_stream import EncodedPicture, LiveStream, Viewer
from sim.rtsp_message import Request, response
from sim.rtsp_server import Mount, RtspServer
from sim.wvp_platform import WvpPlatform, serving
from tests.ingest.alerts_end import AlertsEnd, alerts_end, site_in
from tests.ingest.test_platform_worker import channel, with_secrets, wvp
from tests.ingest.test_probe import recording
from tests.ingest.test_worker import camera, state, working

CLOCK = SystemClock()
FAST = {"patrol_period_s": 0.3, "connect_rate_per_s": 100.0}


class Recorder:
    """A recorder of `names` that allows `allowed` sessions and answers 453 to more. `most`: sessions at once,
    `refused`, `played`, `torn_down`: how often, by camera. `mute`: cameras that send nothing; `dead`: 503."""

    def __init__(self, names: list[str], allowed: int) -> None:
        self.allowed = allowed
        self.most = 0
        self.refused = 0
        self.played: Counter[str] = Counter()
        self.torn_down: Counter[str] = Counter()
        self.mute: set[str] = set()
        self.dead: set[str] = set()
        self._inside: set[tuple[str, int]] = set()
        self.streams = {name: _CountedStream(name, self) for name in names}
        mounts = {f"/{name}": Mount(stream, answer=self._answer(name)) for name, stream in self.streams.items()}
        self._server = RtspServer("127.0.0.1", 0, CLOCK, mounts)

    def url(self, name: str) -> str:
        return f"rtsp://127.0.0.1:{self._server.port}/{name}"

    @property
    def inside(self) -> set[str]:
        return {name for name, _ in self._inside}

    @property
    def connections(self) -> int:
        return len(self._server.connections)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Recorder]:
        await self._server.start()
        feeding = asyncio.create_task(self._feed())
        try:
            yield self
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
            await self._server.close()

    def came(self, name: str, viewer: Viewer) -> None:
        self.played[name] += 1
        self._inside.add((name, id(viewer)))
        self.most = max(self.most, len(self._inside))

    def went(self, name: str, viewer: Viewer) -> None:
        self._inside.discard((name, id(viewer)))

    def _answer(self, name: str) -> Callable[[Request], bytes | None]:
        def answer(request: Request) -> bytes | None:
            cseq = request.headers.get("cseq", "0")
            self.torn_down[name] += request.method == "TEARDOWN"
            if name in self.dead:
                return response(503, cseq)
            if request.method == "SETUP" and len(self._inside) >= self.allowed:
                self.refused += 1
                return response(453, cseq)
            return None

        return answer

    async def _feed(self) -> None:
        """Noise, so that no two pictures are alike: a key picture every 0.2 s."""
        encoder = Encoder(160, 96, 50.0, 0.2)
        random = np.random.default_rng(1)
        begun_ns = CLOCK.monotonic_ns()
        for number in range(100_000):
            picture = random.integers(0, 90, (96, 160, 3), dtype=np.uint8)
            made = encoder.encode(picture, number * 0.04)
            assert made is not None
            for name, stream in self.streams.items():
                if name not in self.mute or stream.parameter_sets is None:
                    stream.publish(EncodedPicture(made[0], made[1], begun_ns + number * 40_000_000))
            await CLOCK.asleep(0.04)


class _CountedStream(LiveStream):
    def __init__(self, name: str, recorder: Recorder) -> None:
        super().__init__(name, CLOCK)
        self._recorder = recorder

    def add(self, viewer: Viewer) -> None:
        self._recorder.came(self.name, viewer)
        super().add(viewer)

    def remove(self, viewer: Viewer) -> None:
        self._recorder.went(self.name, viewer)
        super().remove(viewer)


async def key_pictures(puller: ZmqLatestPuller, wanted: Counter[str], seconds: float = 40.0) -> list[Frame]:
    """Pictures until each of these cameras has so many key pictures."""
    frames: list[Frame] = []
    found: Counter[str] = Counter()
    async with asyncio.timeout(seconds):
        while any(found[name] < count for name, count in wanted.items()):
            headers = await puller.headers(limit=100, wait_s=1.0)
            for frame in await puller.pull([(each.source_id, each.sequence) for each in headers]):
                found[frame.header.source_id] += frame.header.key
                frames.append(frame)
    return frames


def gauge(end: AlertsEnd, name: str) -> float:
    report = end.newest("ingest-cameras")
    return -1.0 if report is None else dict(report.gauges).get(name, -1.0)


def cameras_of(recorder: Recorder, names: list[str]) -> tuple[Camera, ...]:
    return tuple(camera(name, recorder.url(name), platform="p", nvr="nvr-1") for name in names)


NAMES = [f"c{number}" for number in range(7)]


@pytest.mark.slow
@pytest.mark.timeout(90)
async def test_cameras_on_patrol_tell_their_round_with_what_was_received_of_them(short_dir: Path) -> None:
    site = site_in(short_dir)
    async with Recorder([*NAMES, "standing"], 3).serving() as recorder, alerts_end(site) as end:
        limited = cameras_of(recorder, NAMES)
        alone = camera("standing", recorder.url("standing"))
        end.catalogue = msgspec.structs.replace(
            end.catalogue,
            cameras=(*limited, alone, camera("off", alone.url, live=False)),
            platforms=(Platform(id="p", nvr_sessions_max=2),),
        )
        async with working(site, **FAST):

            def told() -> dict[str, CameraMinute]:
                return {each.camera_id: each for each in end.coverage[-1].cameras} if end.coverage else {}

            await end.until(
                lambda: bool(told()) and all(told()[name].round_s for name in NAMES if name in told()), 60.0
            )
            assert told().keys() == {*NAMES, "standing"}, "those that are received, no others"
            assert all(told()[name].pictures >= 1 for name in NAMES)
            rounds = {name: told()[name].round_s for name in NAMES}
            assert all(round_s is not None and 1 <= round_s < 20 for round_s in rounds.values()), rounds
            assert told()["standing"].round_s is None
            assert told()["standing"].pictures > max(told()[name].pictures for name in NAMES)
            assert end.coverage[-1].service == "ingest-cameras"


async def test_seven_cameras_over_two_sessions_all_deliver_and_every_visit_is_torn_down(short_dir: Path) -> None:
    site = site_in(short_dir)
    async with Recorder(NAMES, 2).serving() as recorder:
        platform = Platform(id="p", nvr_sessions_max=2)
        async with alerts_end(site) as end:
            end.catalogue = msgspec.structs.replace(
                end.catalogue, cameras=cameras_of(recorder, NAMES), platforms=(platform,)
            )
            async with working(site, **FAST) as puller:
                frames = await key_pictures(puller, Counter(dict.fromkeys(NAMES, 4)))
                for name in NAMES:
                    await end.until(state(end, name, SourceState.LIVE, "patrol"))
                await end.until(lambda: gauge(end, "cameras_on_patrol") == 7)
                await end.until(lambda: end.counter("ingest-cameras", "patrol_visits") >= 21)
                await end.until(lambda: 0 < gauge(end, "patrol_period_s") < 20)
                assert end.counter("ingest-cameras", "sessions_failed") == 0
                assert not [each for each in end.changes if each.state is SourceState.FAULTED]
                told = Counter(each.source_id for each in end.changes)
                assert max(told.values()) <= 3, "connecting, live, on patrol; visits are no news"
        assert (recorder.most, recorder.refused) == (2, 0)
        assert min(recorder.played[name] for name in NAMES) >= 3
        assert recorder.torn_down == recorder.played
        assert {frame.header.source_id for frame in frames} == set(NAMES)
        first = [frame.header.discontinuity for frame in frames if frame.header.source_id == "c0"]
        assert first.count(True) >= 2, "each visit begins a chain of its own"


async def test_failing_cameras_do_not_hold_up_the_patrol_of_the_others(short_dir: Path) -> None:
    site = site_in(short_dir)
    async with Recorder(NAMES, 2).serving() as recorder:
        recorder.dead = {"c1"}
        recorder.mute = {"c2"}
        platform = Platform(id="p", nvr_sessions_max=2, patrol_dwell_s=1.0)
        async with alerts_end(site) as end:
            end.catalogue = msgspec.structs.replace(
                end.catalogue, cameras=cameras_of(recorder, NAMES), platforms=(platform,)
            )
            good = [name for name in NAMES if name not in ("c1", "c2")]
            async with working(site, backoff_first_s=1.0, backoff_max_s=2.0, **FAST) as puller:
                await key_pictures(puller, Counter(dict.fromkeys(good, 3)))
                await end.until(state(end, "c1", SourceState.FAULTED, "status_503"))
                await end.until(state(end, "c2", SourceState.STALE, "no_key_picture"))
                # The one that was mute speaks: its next turn makes it live.
                recorder.mute = set()
                await key_pictures(puller, Counter(["c2", *good]))
                await end.until(state(end, "c2", SourceState.LIVE, "patrol"))
        assert (recorder.most, recorder.refused) == (2, 0)
        assert recorder.torn_down == recorder.played


async def promote(site: Site, name: str, seconds: float) -> PromoteAnswer:
    client = ZmqRequestClient(site.endpoint(f"{topics.CONTROL_INGEST}-0"), CLOCK)
    try:
        wish = Promote(source_id=name, until=Instant(CLOCK.now() + round(seconds * SECOND)), reason="test")
        body = await client.request(topics.REQUEST_PROMOTE, wire.encode(wish), timeout_s=5)
    finally:
        await client.close()
    return wire.decode(body, PromoteAnswer)


async def test_promoted_camera_keeps_its_session_while_the_others_are_visited_in_turn(short_dir: Path) -> None:
    site = site_in(short_dir)
    async with Recorder(NAMES, 2).serving() as recorder:
        platform = Platform(id="p", nvr_sessions_max=2)
        async with alerts_end(site) as end:
            end.catalogue = msgspec.structs.replace(
                end.catalogue, cameras=cameras_of(recorder, NAMES), platforms=(platform,)
            )
            async with working(site, **FAST) as puller:
                await key_pictures(puller, Counter(dict.fromkeys(NAMES, 2)))
                # Between two visits or in one: its session is the next, or the present one, and stays.
                assert (await promote(site, "c3", 30.0)).accepted
                others = [name for name in NAMES if name != "c3"]
                frames = await key_pictures(puller, Counter({"c3": 3}))
                played = recorder.played["c3"]
                frames += await key_pictures(puller, Counter(dict.fromkeys(others, 2)))
                assert recorder.played["c3"] <= played + 1
                mine = [frame.header for frame in frames if frame.header.source_id == "c3"]
                assert [each for each in mine if each.promoted and not each.key], "every picture of it"
        assert (recorder.most, recorder.refused) == (2, 0)


async def test_camera_between_two_visits_is_looked_at_at_once_and_its_session_stays(short_dir: Path) -> None:
    """Under the default period, which would have it wait 20 s."""
    site = site_in(short_dir)
    names = NAMES[:3]
    async with Recorder(names, 2).serving() as recorder:
        platform = Platform(id="p", nvr_sessions_max=2)
        async with alerts_end(site) as end:
            end.catalogue = msgspec.structs.replace(
                end.catalogue, cameras=cameras_of(recorder, names), platforms=(platform,)
            )
            async with working(site) as puller:
                await key_pictures(puller, Counter(names))
                await end.until(lambda: end.counter("ingest-cameras", "patrol_visits") >= 1)
                [away] = set(names) - recorder.inside
                asked = CLOCK.now()
                assert (await promote(site, away, 30.0)).accepted
                async with asyncio.timeout(10):
                    while not any(
                        frame.header.promoted and frame.header.arrival_time > asked
                        for frame in await key_pictures(puller, Counter([away]))
                    ):
                        pass
                # One of two may stay: another one that has a session is refused, and told why.
                [other] = recorder.inside - {away}
                refused = await promote(site, other, 30.0)
                assert (refused.accepted, refused.reason) == (False, "limit")
        assert (recorder.most, recorder.refused) == (2, 0)


async def test_sources_through_ffmpeg_are_visited_in_turn_too(short_dir: Path) -> None:
    site = site_in(short_dir)
    names = ["f1", "f2", "f3"]
    files = {name: str(recording(short_dir / f"{name}.mp4")) for name in names}
    cameras = tuple(camera(name, url, platform="p") for name, url in files.items())
    async with (
        alerts_end(site, cameras=cameras) as end,
        working(site, platform_sessions={"p": 1}, **FAST) as puller,
    ):
        await key_pictures(puller, Counter(dict.fromkeys(names, 2)))
        for name in names:
            await end.until(state(end, name, SourceState.LIVE, "patrol"))
        await end.until(lambda: end.counter("ingest-cameras", "patrol_visits") >= 5)
        assert not [each for each in end.changes if each.state is SourceState.FAULTED]


async def test_patrol_ends_with_the_limit_and_no_session_is_ended_for_it(short_dir: Path) -> None:
    site = site_in(short_dir)
    async with Recorder(NAMES, 7).serving() as recorder:
        platform = Platform(id="p", nvr_sessions_max=2)
        async with alerts_end(site) as end:
            end.catalogue = msgspec.structs.replace(
                end.catalogue, cameras=cameras_of(recorder, NAMES), platforms=(platform,)
            )
            async with working(site, **FAST) as puller:
                await key_pictures(puller, Counter(dict.fromkeys(NAMES, 2)))
                assert recorder.most == 2
                wider = msgspec.structs.replace(platform, nvr_sessions_max=7)
                end.catalogue = msgspec.structs.replace(end.catalogue, version=2, platforms=(wider,))
                async with asyncio.timeout(30):
                    while recorder.most < 7:
                        await CLOCK.asleep(0.05)
                played = recorder.played.copy()
                await key_pictures(puller, Counter(dict.fromkeys(NAMES, 5)))
                assert recorder.played == played
        assert recorder.torn_down == recorder.played


@pytest.mark.parametrize("stop_streams", [True, False])
async def test_platform_with_a_session_limit_is_patrolled_over_its_interface(
    short_dir: Path, stop_streams: bool
) -> None:
    site = with_secrets(short_dir)
    cameras = tuple(channel(serial) for serial in range(1, 6))
    names = [each.id for each in cameras]
    async with serving(WvpPlatform()) as platform, Recorder(names, 2).serving() as recorder:
        platform.stream_url = recorder.url("{channel}")
        async with alerts_end(site, cameras=cameras) as end:
            limited = wvp(platform, sessions_max=2, stop_streams=stop_streams)
            end.catalogue = msgspec.structs.replace(end.catalogue, platforms=(limited,))
            async with working(site, secrets="secrets.toml", **FAST) as puller:
                await key_pictures(puller, Counter(dict.fromkeys(names, 3)))
                await end.until(state(end, names[0], SourceState.LIVE, "patrol"))
                assert end.counter("ingest-cameras", "sessions_failed") == 0
        assert (recorder.most, recorder.refused) == (2, 0)
        assert recorder.torn_down == recorder.played
        starts, stops = platform.count("/api/play/start/"), platform.count("/api/play/stop/")
        assert starts >= recorder.played.total() >= 10, "an address for each visit"
        assert stops >= recorder.played.total() if stop_streams else stops == 0
        assert platform.logins == 1
