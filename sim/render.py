"""The process that makes the pictures of the live cameras: `python -m sim.render`.

It reads a RenderPlan (one line of JSON) from standard input and writes access units to standard output, each as
`>IHBxQ` (length, stream number, 1 = key picture, monotonic ns when it was taken) and the bytes. Scenes are drawn
in real time by one thread: when the machine is too slow all streams lose pictures alike, and none is delayed for
long. When the reader goes away the next write ends the process.
"""

from __future__ import annotations

import heapq
import math
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

import cv2
import msgspec

from contracts.instant import SECOND
from runtime.clock import Clock, SystemClock
from sim.encode import Encoder
from sim.footage import FootageReader
from sim.scenes import Scene, SceneKind, SceneTruth, make_scene

HEADER = struct.Struct(">IHBxQ")
LATE_MAX_S = 0.25
"""A source that is later than this leaves out what is overdue."""


class SceneStream(msgspec.Struct, frozen=True, kw_only=True, tag="scene"):
    """A stream of a rendered scene."""

    kind: str
    seed: int
    night: bool
    onset_s: float
    pictures_per_s: float
    width: int
    height: int


class FootageStream(msgspec.Struct, frozen=True, kw_only=True, tag="footage"):
    """A stream that plays an H.264 file again and again."""

    path: str


class RenderPlan(msgspec.Struct, frozen=True, kw_only=True):
    """All streams of the process; a stream's number is its place in `streams`."""

    streams: tuple[SceneStream | FootageStream, ...]
    start_monotonic_ns: int
    key_interval_s: float
    truth: str = ""
    """File for the truth of the scenes, a JSON line per picture; empty = none."""


class PictureSource(Protocol):
    """Something that has a picture from time to time."""

    @property
    def due_s(self) -> float:
        """When the next picture is due, seconds since the start; grows."""

    def take(self) -> tuple[bytes, bool] | None:
        """The picture that is due and whether it is a key picture; None when there is none this time."""

    def catch_up(self, now_s: float) -> None:
        """Leave out what is overdue: the next picture is the latest that was due by `now_s`, or a later one."""


class SceneSource:
    """Draws and encodes one scene at a steady rate; the first picture builds it, which takes about a second."""

    def __init__(self, stream: SceneStream, key_interval_s: float, first_s: float, truth: BinaryIO | None) -> None:
        self._stream = stream
        self._scene: Scene | None = None
        self._name = f"{stream.kind}/{stream.seed}/{'night' if stream.night else 'day'}"
        self._encoder = Encoder(stream.width, stream.height, stream.pictures_per_s, key_interval_s)
        self._period_s = 1.0 / stream.pictures_per_s
        self._truth = truth
        self.due_s = first_s

    def take(self) -> tuple[bytes, bool] | None:
        """See PictureSource."""
        at_s = self.due_s
        self.due_s += self._period_s
        if self._scene is None:
            self._scene = open_scene(self._stream)
        picture, truth = self._scene.render(at_s)
        if self._truth is not None:
            self._truth.write(_truth_line(self._name, at_s, truth))
        return self._encoder.encode(picture, at_s)

    def catch_up(self, now_s: float) -> None:
        """See PictureSource."""
        self.due_s += max(math.floor((now_s - self.due_s) / self._period_s), 0) * self._period_s


def open_scene(stream: SceneStream) -> Scene:
    """The scene of a stream."""
    return make_scene(
        SceneKind[stream.kind],
        stream.seed,
        night=stream.night,
        width=stream.width,
        height=stream.height,
        onset_s=stream.onset_s,
    )


def _truth_line(name: str, at_s: float, truth: SceneTruth) -> bytes:
    fields = {
        "scene": name,
        "at_s": round(at_s, 3),
        "people": truth.people,
        "stopped_vehicles": truth.stopped_vehicles,
        "fire": truth.fire,
        "density_per_m2": truth.density_per_m2,
    }
    return msgspec.json.encode(fields) + b"\n"


def pictures(
    sources: list[PictureSource], start_monotonic_ns: int, clock: Clock
) -> Iterator[tuple[int, bool, int, bytes]]:
    """All pictures of all sources: (source, key, taken ns, bytes), for ever.

    The source that waited longest is served next, so a slow machine takes pictures from all alike.
    """
    heap = [(source.due_s, number) for number, source in enumerate(sources)]
    heapq.heapify(heap)
    while heap:
        due_s, number = heapq.heappop(heap)
        source = sources[number]
        now_s = (clock.monotonic_ns() - start_monotonic_ns) / SECOND
        if due_s > now_s:
            clock.sleep(due_s - now_s)
        elif now_s - due_s > LATE_MAX_S:
            source.catch_up(now_s)
        if source.due_s <= max(now_s, due_s):
            taken_ns = start_monotonic_ns + round(source.due_s * SECOND)
            made = source.take()
            if made is not None:
                yield number, made[1], taken_ns, made[0]
        heapq.heappush(heap, (source.due_s, number))


def open_sources(plan: RenderPlan, clock: Clock, truth: BinaryIO | None) -> list[PictureSource]:
    """The sources of a plan, from now on, their pictures spread over the time between two."""
    sources: list[PictureSource] = []
    for number, stream in enumerate(plan.streams):
        spread_s = number / max(len(plan.streams), 1)
        now_s = (clock.monotonic_ns() - plan.start_monotonic_ns) / SECOND
        if isinstance(stream, SceneStream):
            first_s = now_s + spread_s / stream.pictures_per_s
            sources.append(SceneSource(stream, plan.key_interval_s, first_s, truth))
        else:
            sources.append(FootageReader(Path(stream.path), first_s=now_s + spread_s))
    return sources


def main() -> None:
    """Read the plan, make pictures until the reader goes away."""
    cv2.setNumThreads(1)
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=RenderPlan)
    clock = SystemClock()
    truth = Path(plan.truth).open("ab", buffering=0) if plan.truth else None  # noqa: SIM115 - open until the end
    out = sys.stdout.buffer
    try:
        for number, key, taken_ns, data in pictures(
            open_sources(plan, clock, truth), plan.start_monotonic_ns, clock
        ):
            out.write(HEADER.pack(len(data), number, key, taken_ns))
            out.write(data)
            out.flush()
    except (BrokenPipeError, KeyboardInterrupt):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
