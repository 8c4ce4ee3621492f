"""The live cameras as a whole: a render process, encoded scenes, streams, FFmpeg as the viewer."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import av
import msgspec
import numpy as np
import pytest

from contracts.instant import SECOND
from runtime.clock import SimClock, SystemClock
from sim.cameras import CameraFarm, plan_footage, plan_scenes
from sim.config import SimConfig
from sim.encode import Encoder
from sim.h264 import NAL_IDR, NAL_SPS, nal_type, split_annexb
from sim.render import LATE_MAX_S, PictureSource, pictures
from sim.rtp_stream import EncodedPicture, LiveStream
from sim.scenario import LivePart

CLOCK = SystemClock()
QUIET = LivePart(camera_id="a", kind="EMPTY", seed=3, night=False, onset_s=0.0, pictures_per_s=10.0)


class Recorder(LiveStream):
    """A stream that keeps what is published."""

    def __init__(self, name: str) -> None:
        super().__init__(name, CLOCK)
        self.pictures: list[EncodedPicture] = []

    def publish(self, picture: EncodedPicture) -> None:
        self.pictures.append(picture)


@asynccontextmanager
async def farming(
    tmp_path: Path, parts: list[LivePart]
) -> AsyncIterator[tuple[dict[str, Recorder], CameraFarm, asyncio.Event]]:
    streams = {part.camera_id: Recorder(part.camera_id) for part in parts}
    config = SimConfig(key_interval_s=0.5, truth=str(tmp_path / "truth.jsonl"))
    plan, players = plan_scenes(parts, dict(streams), config, CLOCK.monotonic_ns())
    farm = CameraFarm(plan, players, CLOCK)
    stop = asyncio.Event()
    running = asyncio.create_task(farm.run(stop))
    yield streams, farm, stop
    stop.set()
    await running


async def until_pictures(stream: Recorder, count: int) -> list[EncodedPicture]:
    while len(stream.pictures) < count:
        await CLOCK.asleep(0.05)
    return stream.pictures[:count]


async def test_cameras_with_the_same_scene_share_pictures_that_decode(tmp_path: Path) -> None:
    parts = [QUIET, msgspec.structs.replace(QUIET, camera_id="b")]
    parts.append(msgspec.structs.replace(QUIET, camera_id="c", seed=4))
    async with farming(tmp_path, parts) as (streams, _, _):
        seen = await until_pictures(streams["a"], 12)
        others = await until_pictures(streams["c"], 2)
        assert streams["b"].pictures[:12] == seen
        assert others[0].data != seen[0].data
    assert seen[0].key
    steps = [(later.taken_ns - earlier.taken_ns) / SECOND for earlier, later in itertools.pairwise(seen)]
    assert all(step >= 0.099 for step in steps)
    decoder = av.CodecContext.create("h264", "r")
    frames = [frame for picture in seen for frame in decoder.decode(av.Packet(picture.data))]
    assert {(frame.width, frame.height) for frame in frames} == {(640, 360)}


async def test_the_truth_goes_to_its_own_file_and_not_into_the_pictures(tmp_path: Path) -> None:
    async with farming(tmp_path, [QUIET]) as (streams, _, _):
        seen = await until_pictures(streams["a"], 5)
    lines = [msgspec.json.decode(line) for line in (tmp_path / "truth.jsonl").read_bytes().splitlines()]
    assert len(lines) >= 5
    assert lines[0]["scene"] == "EMPTY/3/day"
    assert (lines[0]["people"], lines[0]["fire"]) == (0, False)
    assert all(b"EMPTY" not in picture.data for picture in seen)


async def test_a_render_process_that_is_killed_comes_back_in_the_same_scene(tmp_path: Path) -> None:
    async with farming(tmp_path, [QUIET]) as (streams, farm, _):
        first = await until_pictures(streams["a"], 3)
        assert farm.process_id is not None
        os.kill(farm.process_id, signal.SIGKILL)
        count = len(streams["a"].pictures)
        later = (await until_pictures(streams["a"], count + 5))[count + 2 :]
        assert later[0].taken_ns > first[-1].taken_ns
        assert any(picture.key for picture in streams["a"].pictures[3:])


def test_files_are_dealt_out_to_cameras_in_turn() -> None:
    streams = {name: LiveStream(name, CLOCK) for name in ("a", "b", "c")}
    files = [Path("1.mp4"), Path("2.mp4")]
    plan, players = plan_footage(list(streams), files, streams, SimConfig(), 0)
    assert [stream.path for stream in plan.streams if hasattr(stream, "path")] == ["1.mp4", "2.mp4"]
    assert players == [[streams["a"], streams["c"]], [streams["b"]]]
    plan, players = plan_footage(["a"], files, streams, SimConfig(), 0)
    assert len(plan.streams) == len(players) == 1


def test_the_encoder_makes_key_pictures_on_time_with_parameter_sets_and_no_delay() -> None:
    encoder = Encoder(160, 120, 5.0, 2.0)
    keys = []
    for number in range(31):
        made = encoder.encode(np.full((120, 160, 3), number * 5, np.uint8), number * 0.2)
        assert made is not None
        kinds = [nal_type(unit) for unit in split_annexb(made[0])]
        assert made[1] == (NAL_IDR in kinds) == (NAL_SPS in kinds)
        if made[1]:
            keys.append(number)
    assert keys == [0, 10, 20, 30]


class Counting:
    """A source with a picture every `period_s`; drawing one takes `work_s`."""

    def __init__(self, clock: SimClock, period_s: float, work_s: float) -> None:
        self.due_s = 0.0
        self.taken = 0
        self._clock = clock
        self._period_s = period_s
        self._work_s = work_s

    def take(self) -> tuple[bytes, bool] | None:
        self._clock.advance(self._work_s)
        self.taken += 1
        self.due_s += self._period_s
        return b"x", True

    def catch_up(self, now_s: float) -> None:
        self.due_s += int((now_s - self.due_s) / self._period_s) * self._period_s


def test_pictures_come_when_they_are_due() -> None:
    clock = SimClock()
    sources: list[PictureSource] = [Counting(clock, 0.2, 0.001), Counting(clock, 0.5, 0.001)]
    made = pictures(sources, 0, clock)
    told = [next(made) for _ in range(20)]
    assert [taken_ns / SECOND for number, _, taken_ns, _ in told if number == 1] == pytest.approx(
        [0, 0.5, 1.0, 1.5, 2.0, 2.5]
    )
    assert [taken_ns for _, _, taken_ns, _ in told] == sorted(taken_ns for _, _, taken_ns, _ in told)
    assert clock.monotonic_ns() >= told[-1][2]


def test_a_machine_that_is_too_slow_starves_no_camera_and_stays_near_the_present() -> None:
    clock = SimClock()
    sources = [
        Counting(clock, 0.2, 0.1),
        Counting(clock, 0.2, 0.1),
        Counting(clock, 0.2, 0.1),
        Counting(clock, 0.5, 0.1),
    ]
    made = pictures([*sources], 0, clock)
    last = [0.0] * 4
    for _ in range(400):
        number, _, taken_ns, _ = next(made)
        now_ns = clock.monotonic_ns()
        assert now_ns - taken_ns <= (LATE_MAX_S + 0.6) * SECOND
        assert now_ns / SECOND - last[number] <= 1.2
        last[number] = now_ns / SECOND
    rates = [source.taken / (clock.monotonic_ns() / SECOND) for source in sources]
    assert min(rates[:3]) > 0.6 * max(rates[:3])
    assert rates[3] > 1.0
