"""The live cameras: pictures from the render process, published to the streams of the RTSP server."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from contracts.errors import GridwhistleError, SourceUnreachable
from runtime.log import get_log
from runtime.supervise import Backoff, supervise
from sim.render import HEADER, FootageStream, RenderPlan, SceneStream
from sim.rtp_stream import EncodedPicture, LiveStream
from sim.scenario import HEIGHT, WIDTH, LivePart

if TYPE_CHECKING:
    from runtime.clock import Clock
    from sim.config import SimConfig

PICTURE_MAX = 8 << 20
"""Bytes; a longer access unit means that the pipe is out of step."""


class CameraFarm:
    """Keeps one render process running and hands its pictures on: those of stream i go to all of `players[i]`.

    `pictures` counts them; `process_id` is that of the render process, None while there is none.
    Cameras that play the same scene (or file) share one encoder and get the same pictures.
    """

    def __init__(self, plan: RenderPlan, players: Sequence[Sequence[LiveStream]], clock: Clock) -> None:
        self.pictures = 0
        self.process_id: int | None = None
        self._plan = plan
        self._players = players
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; a render process that ends is started again and goes on in the same scene."""
        if self._plan.streams:
            running = asyncio.create_task(
                supervise(self._run_once, Backoff(0.5, 10.0, "render"), self._clock, stop, _say)
            )
            await stop.wait()
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def _run_once(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sim.render"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": _python_path()},
            limit=1 << 20,
            start_new_session=True,  # Ctrl-C is ours to answer: the child ends when its pipe does
        )
        self.process_id = process.pid
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(msgspec.json.encode(self._plan) + b"\n")
            await process.stdin.drain()
            while True:
                await self._take_one(process.stdout)
        except (asyncio.IncompleteReadError, ConnectionError):
            code = await process.wait()
            raise SourceUnreachable(f"the render process ended with code {code}; it is started again") from None
        finally:
            self.process_id = None
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _take_one(self, pipe: asyncio.StreamReader) -> None:
        length, number, key, taken_ns = HEADER.unpack(await pipe.readexactly(HEADER.size))
        if length > PICTURE_MAX or number >= len(self._players):
            raise SourceUnreachable("the render process sent something that is no picture; it is started again")
        data = await pipe.readexactly(length)
        self.pictures += 1
        picture = EncodedPicture(data, bool(key), taken_ns)
        for stream in self._players[number]:
            stream.publish(picture)


def _python_path() -> str:
    """So that the child finds this package wherever it was started from."""
    root = str(Path(__file__).resolve().parents[1])
    return os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))


def _say(error: GridwhistleError, delay_s: float) -> None:
    get_log().warning("The render process ended", error=str(error), again_in_s=round(delay_s, 1))


def plan_scenes(
    parts: Sequence[LivePart], streams: dict[str, LiveStream], config: SimConfig, start_monotonic_ns: int
) -> tuple[RenderPlan, list[list[LiveStream]]]:
    """What to render, and which cameras' streams each rendered stream feeds; equal parts share one."""
    shared: dict[SceneStream, list[LiveStream]] = {}
    for part in parts:
        scene = SceneStream(
            kind=part.kind,
            seed=part.seed,
            night=part.night,
            onset_s=part.onset_s,
            pictures_per_s=part.pictures_per_s,
            width=WIDTH,
            height=HEIGHT,
        )
        shared.setdefault(scene, []).append(streams[part.camera_id])
    plan = RenderPlan(
        streams=tuple(shared),
        start_monotonic_ns=start_monotonic_ns,
        key_interval_s=config.key_interval_s,
        truth=config.truth,
    )
    return plan, list(shared.values())


def plan_footage(
    camera_ids: Sequence[str],
    files: Sequence[Path],
    streams: dict[str, LiveStream],
    config: SimConfig,
    start_monotonic_ns: int,
) -> tuple[RenderPlan, list[list[LiveStream]]]:
    """Files dealt out to cameras in turn; cameras with the same file share it."""
    players: list[list[LiveStream]] = [[] for _ in files[: len(camera_ids)]]
    for i, camera_id in enumerate(camera_ids):
        players[i % len(players)].append(streams[camera_id])
    plan = RenderPlan(
        streams=tuple(FootageStream(path=str(path)) for path in files[: len(players)]),
        start_monotonic_ns=start_monotonic_ns,
        key_interval_s=config.key_interval_s,
    )
    return plan, players
