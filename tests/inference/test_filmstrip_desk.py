"""Filmstrips over real links: ingest's own control desk and ring, inference's service, alerts' log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from contracts import topics, wire
from contracts.control import FilmstripAnswer, FilmstripRequest
from contracts.errors import GridwhistleError
from contracts.filmstrip import Filmstrip, FilmstripOrigin, FilmstripState, filmstrip_id
from contracts.frame import Codec, Frame, FrameHeader
from contracts.instant import SECOND, Instant
from contracts.source import Camera
from inference.config import EvidenceConfig, FilmstripConfig, InferenceConfig
from ingest.control import ControlDesk, Past, Recordings
from ingest.guest.gate import Gate
from ingest.guest.limits import GuestLimits
from ingest.platforms.play import PlatformUrls
from ingest.recordings import PlatformRecordings
from ingest.ring import PictureRing
from runtime.metrics import StageCounters
from runtime.zmq_request import ZmqRequestClient, ZmqRequestServer
from tests.inference.county import CLOCK, CONFIG, County, county, until
from tests.inference.pictures import camera, catalogue, encode, noisy, textured
from tests.ingest.recording_server import Habits, RecordingServer, read_stamp, recording_server

CAMERA = camera(camera_id="15292100001320000001")
PICTURES = [encode(noisy(textured(), seed)) for seed in range(3)]


class Recorder:
    """A platform that recorded everything, a key picture every two seconds."""

    async def pictures(
        self, camera: Camera, begin: Instant, end: Instant, pictures_max: int, clock_offset_ns: int = 0
    ) -> Past:
        times = range(begin, end, 2 * SECOND)[:pictures_max]
        return Past([_frame(Instant(at), camera.id) for at in times])


class NoRecorder:
    async def pictures(
        self, camera: Camera, begin: Instant, end: Instant, pictures_max: int, clock_offset_ns: int = 0
    ) -> Past:
        raise GridwhistleError("nothing", reason="recording_empty")


class Receiver:
    """As much of a receiver as the desk asks for."""

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.promoted = False
        self.clock_offset_ns = 0


def _frame(at: Instant, source_id: str = CAMERA.id) -> Frame:
    data = PICTURES[at // SECOND % 3]
    header = FrameHeader(
        source_id=source_id, sequence=1, event_time=at, arrival_time=at, codec=Codec.H264, size=len(data)
    )
    return Frame(header=header, data=data)


class Asker:
    """Alerts' side: asks over the control link, hears of strips over the log link."""

    def __init__(self, made: County, ring: PictureRing, client: ZmqRequestClient) -> None:
        self.made, self.ring, self.client = made, ring, client

    async def ask(self, wish: FilmstripRequest) -> FilmstripAnswer:
        body = await self.client.request(topics.REQUEST_FILMSTRIP, wire.encode(wish), timeout_s=10)
        return wire.decode(body, FilmstripAnswer)

    async def strip(self, state: FilmstripState, id_: str = "") -> Filmstrip:
        def there() -> bool:
            return any(each.state is state and each.id == (id_ or each.id) for each in self.made.strips)

        await until(self.made, there)
        return [each for each in self.made.strips if each.state is state and each.id == (id_ or each.id)][-1]


@asynccontextmanager
async def asking(
    folder: Path,
    *,
    recorder: Recordings | None = None,
    recording_url: str | None = None,
    config: InferenceConfig = CONFIG,
) -> AsyncIterator[Asker]:
    here = msgspec.structs.replace(CAMERA, recording_url=recording_url)
    async with county(folder, catalogue(here), config) as made:
        ring = PictureRing(8 << 20, 60 * SECOND)
        desk = ControlDesk(
            {here.id: Receiver(here)},  # type: ignore[dict-item]
            ring,
            StageCounters("ingest-cameras"),
            CLOCK,
            promoted_max=1,
            promote_max_s=10.0,
            recordings=recorder,
        )
        server = ZmqRequestServer(made.site.endpoint(f"{topics.CONTROL_INGEST}-0"), CLOCK)
        serving = asyncio.create_task(server.serve(desk.answer))
        client = ZmqRequestClient(made.site.endpoint(topics.CONTROL_INFERENCE), CLOCK)
        try:
            await until(made, lambda: made.asked_catalogue)
            yield Asker(made, ring, client)
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await client.close()


def wish(before_s: float, after_s: float, *, source_id: str = CAMERA.id, pictures: int = 21) -> FilmstripRequest:
    now = CLOCK.now()
    return FilmstripRequest(
        id=filmstrip_id(f"inc-{now}", source_id),
        incident_id=f"inc-{now}",
        source_id=source_id,
        begin=Instant(now - round(before_s * SECOND)),
        at=now,
        end=Instant(now + round(after_s * SECOND)),
        pictures=pictures,
    )


async def accepted(asker: Asker, asked: FilmstripRequest) -> None:
    """Asked until the catalogue has reached the pipeline."""
    answer = await asker.ask(asked)
    while answer.reason == "unknown_source":
        await CLOCK.asleep(0.1)
        answer = await asker.ask(asked)
    assert answer == FilmstripAnswer(id=asked.id, accepted=True)


async def test_ring_has_the_past_and_live_pictures_the_rest(short_dir: Path) -> None:
    async with asking(short_dir) as asker:
        asked = wish(30, 3)
        for second in range(30, 0, -2):
            asker.ring.keep(_frame(Instant(asked.at - second * SECOND)))
        await accepted(asker, asked)
        first = await asker.strip(FilmstripState.GATHERING)
        assert {each.origin for each in first.pictures} == {FilmstripOrigin.RING}
        assert len(first.pictures) >= 14
        assert first.gaps == ()
        turn = iter(range(10_000))

        def live() -> None:
            asker.made.offer(PICTURES[next(turn) % 3])

        await until(
            asker.made, lambda: any(each.state is FilmstripState.COMPLETE for each in asker.made.strips), live
        )
        told = await asker.strip(FilmstripState.COMPLETE)
        assert told.gaps == ()
        assert [each.origin for each in told.pictures][-1] is FilmstripOrigin.LIVE
        folder = asker.made.site.evidence_dir
        shown = [cv2.imread(str(folder / each.evidence.path)) for each in told.pictures]
        assert all(each is not None and each.shape[1] <= 416 for each in shown)


async def test_platform_recorded_then_the_past_comes_from_there(short_dir: Path) -> None:
    async with asking(short_dir, recorder=Recorder(), recording_url="rtsp://recorder/1") as asker:
        asked = wish(30, 0)
        await accepted(asker, asked)
        told = await asker.strip(FilmstripState.COMPLETE)
        assert {each.origin for each in told.pictures} == {FilmstripOrigin.RECORDING}
        assert len(told.pictures) >= 14
        assert told.gaps == ()


@pytest.mark.parametrize("gap", [range(0), range(80, 92)])
async def test_recorder_plays_the_past_then_each_picture_shows_its_own_time_and_the_hole_is_missing(
    short_dir: Path, gap: range
) -> None:
    """A real recorder over RTSP, decoded, detected and written as evidence; the time is written in the picture."""
    began = datetime.fromtimestamp(CLOCK.now() // SECOND - 100, UTC)
    async with recording_server(RecordingServer(Habits(gap=gap), began)) as server:
        gate = Gate(CLOCK, GuestLimits())
        recordings = PlatformRecordings(PlatformUrls({}, CLOCK), {}, CLOCK, gate, runs_max=1)
        async with asking(short_dir, recorder=recordings, recording_url=server.url) as asker:
            asked = wish(30, 0)
            await accepted(asker, asked)
            told = await asker.strip(FilmstripState.COMPLETE)
            folder = asker.made.site.evidence_dir
            shown = [cv2.imread(str(folder / each.evidence.path)) for each in told.pictures]
    assert {each.origin for each in told.pictures} == {FilmstripOrigin.RECORDING}
    seconds = [each.evidence.event_time / SECOND for each in told.pictures]
    steps = [later - earlier for earlier, later in pairwise([asked.at / SECOND - 30, *seconds, asked.at / SECOND])]
    # How many there are depends on where the seconds of the recording lie; the hole is twelve seconds wide.
    assert sorted(steps)[-2] <= 4.0, "evenly over the whole time, but for the hole"
    assert (max(steps) >= 11.0) is bool(gap)
    stamps = [read_stamp(np.asarray(each, np.uint8)) for each in shown if each is not None]
    assert stamps == [each.evidence.event_time // SECOND for each in told.pictures]
    assert [each.reason for each in told.gaps] == (["recording_empty"] if gap else [])
    if gap:
        hole = Instant(round(began.timestamp()) * SECOND)
        assert told.gaps[0].begin <= hole + 80 * SECOND
        assert told.gaps[0].end >= hole + 92 * SECOND


async def test_ring_that_begins_with_the_suspicion_leaves_the_time_before_to_the_recording(
    short_dir: Path,
) -> None:
    async with asking(short_dir, recorder=Recorder(), recording_url="rtsp://recorder/1") as asker:
        asked = wish(30, 0)
        for second in (4, 2):
            asker.ring.keep(_frame(Instant(asked.at - second * SECOND)))
        await accepted(asker, asked)
        told = await asker.strip(FilmstripState.COMPLETE)
        origins = [each.origin for each in told.pictures]
        assert origins == [FilmstripOrigin.RECORDING] * (len(origins) - 2) + [FilmstripOrigin.RING] * 2
        assert len(origins) >= 13
        assert told.gaps == ()


async def test_nobody_has_the_past_then_it_is_missing_with_the_reason(short_dir: Path) -> None:
    async with asking(short_dir, recorder=NoRecorder(), recording_url="rtsp://recorder/1") as asker:
        asked = wish(30, 0)
        await accepted(asker, asked)
        told = await asker.strip(FilmstripState.COMPLETE)
        assert told.pictures == ()
        assert [gap.reason for gap in told.gaps] == ["recording_empty"]
        assert (told.gaps[0].begin, told.gaps[0].end) == (asked.begin, asked.end)


async def test_asked_again_then_not_done_again_and_told_again(short_dir: Path) -> None:
    async with asking(short_dir) as asker:
        asked = wish(30, 0)
        await accepted(asker, asked)
        told = await asker.strip(FilmstripState.COMPLETE)
        asker.ring.keep(_frame(Instant(asked.at - 5 * SECOND)))
        assert (await asker.ask(asked)).accepted
        await until(asker.made, lambda: len(asker.made.strips) >= 2)
        assert asker.made.strips == [told, told]


async def test_too_many_at_once_then_busy_and_strangers_are_refused(short_dir: Path) -> None:
    config = msgspec.structs.replace(CONFIG, filmstrip=FilmstripConfig(at_once=1))
    async with asking(short_dir, config=config) as asker:
        await accepted(asker, wish(30, 20))
        assert (await asker.ask(wish(30, 20))).reason == "busy"
        assert (await asker.ask(wish(30, 0, source_id="nobody"))).reason == "unknown_source"
        asked = wish(30, 0)
        assert (await asker.ask(msgspec.structs.replace(asked, begin=asked.end, end=asked.begin))).reason == (
            "bad_span"
        )


async def test_no_evidence_is_kept_here_then_no_strip(short_dir: Path) -> None:
    config = msgspec.structs.replace(CONFIG, evidence=EvidenceConfig(budget_mb=0))
    async with asking(short_dir, config=config) as asker:
        assert (await asker.ask(wish(30, 0))).reason == "evidence_off"


async def test_picture_does_not_decode_then_the_others_are_shown(short_dir: Path) -> None:
    async with asking(short_dir) as asker:
        asked = wish(30, 0)
        for second in range(30, 0, -2):
            frame = _frame(Instant(asked.at - second * SECOND))
            if 10 <= second <= 20:
                frame = msgspec.structs.replace(frame, data=b"\0\0\0\1\x65" + bytes(300))
            asker.ring.keep(frame)
        await accepted(asker, asked)
        told = await asker.strip(FilmstripState.COMPLETE)
        assert [gap.reason for gap in told.gaps] == ["undecodable"]
        assert len(told.pictures) >= 8


@pytest.mark.parametrize("kind", ["nonsense", topics.REQUEST_FILMSTRIP])
async def test_nonsense_is_refused_and_the_service_lives(short_dir: Path, kind: str) -> None:
    async with asking(short_dir) as asker:
        with pytest.raises(GridwhistleError):
            await asker.client.request(kind, b"\1nonsense", timeout_s=5)
        await accepted(asker, wish(30, 0))
