"""Where does a staged change stand among 1,000 quiet streams two seconds after it began, by sizes alone?

Places of the simulated county, empty, by day and night, are encoded as cameras do (640x360, 25 pictures a second,
key picture every 2 s), with constant quality and with a constant bit rate. Their sizes, cut at key pictures,
repeated in another order and jittered, make 1,000 quiet streams. Into each place somebody walks, a car drives, or
a fire begins, at a moment that no key picture waits for; the same meters as in ingest see nothing but sizes. The
change counts as begun with the first picture that shows it: 24 pixels of height, or flames.

    python bench/activity_rank.py [places] [quiet streams]
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext
from rich.console import Console
from rich.table import Table

from contracts.frame import Suspicion
from contracts.instant import SECOND
from ingest.activity import ActivityMeter
from sim.scenes.cast import Cast, Driven
from sim.scenes.people import make_look
from sim.scenes.square import Passer, square_setting
from sim.scenes.stage import StagedScene
from sim.scenes.truth import SceneKind
from sim.scenes.vehicle_models import make_car
from sim.scenes.yard import fire_script, yard_setting

Sizes = npt.NDArray[np.int64]

WIDTH, HEIGHT, RATE, GOP_S = 640, 360, 25, 2
GOP: Final = RATE * GOP_S
QUIET_S, LONG_S = 20.0, 34.0
WARM_S, WATCHED_S = 180.0, 60.0
SEEN_PX = 24.0
DRIFT = 0.15
"""Slow light: sizes swing by so much (a logarithm) within ten minutes."""
WITHIN_S = 2.0
CHANGES: Final = ("person", "vehicle", "fire")
X264: Final = {"preset": "veryfast", "tune": "zerolatency"}
MODES: Final[dict[str, tuple[dict[str, str], int]]] = {
    "constant quality": ({**X264, "crf": "26", "x264-params": "scenecut=0"}, 0),
    "constant bit rate": (
        {**X264, "x264-params": "scenecut=0:vbv-maxrate=512:vbv-bufsize=512:nal-hrd=cbr"},
        512_000,
    ),
}


@dataclass(frozen=True)
class Clip:
    """Sizes of a stream's pictures, a key picture first and every GOP; `begun_s` is when the change was there,
    `drift` how much slow light moves its sizes."""

    sizes: Sizes
    begun_s: float
    drift: float


@dataclass(frozen=True)
class Standing:
    """One staged change: its rank after WITHIN_S (1 = first), and after how many seconds it was suspected."""

    change: str
    night: bool
    rank: int
    suspected_s: float | None


def staged(change: str, seed: int, night: bool) -> tuple[StagedScene, float]:
    """An empty place into which something comes, some seconds after QUIET_S."""
    rng = np.random.default_rng([seed, CHANGES.index(change), night])
    onset_s = QUIET_S + float(rng.uniform(0.0, GOP_S))
    if change == "person":
        setting, ground = square_setting(rng, night, WIDTH, HEIGHT)
        y, side = float(ground[:, 1].mean()) + float(rng.uniform(-1.0, 1.5)), float(rng.choice([-1, 1]))
        walker = Passer(make_look(rng), (side * 9, y), (-side * 9, y), 1.3, 1000.0, 1000.0 - onset_s)

        def script(t_s: float) -> Cast:
            at = walker.at(1, t_s)
            return Cast(walkers=(at,) if at is not None else ())
    elif change == "vehicle":
        setting, spot = yard_setting(rng, night, WIDTH, HEIGHT)
        car, side = make_car(rng), float(rng.choice([-1, 1]))
        y = spot[1] + float(rng.uniform(2.0, 4.0))

        def script(t_s: float) -> Cast:
            x = -side * (18.0 - 6.0 * (t_s - onset_s))
            heading = 0.0 if side > 0 else math.pi
            here = t_s >= onset_s and abs(x) <= 18.0
            return Cast(vehicles=(Driven(1, car, x, y, heading, False, False),) if here else ())
    else:
        setting, spot = yard_setting(rng, night, WIDTH, HEIGHT)
        burning = fire_script(rng, spot, onset_s)

        def script(t_s: float) -> Cast:
            return Cast(blazes=burning(t_s).blazes)

    return StagedScene(SceneKind.EMPTY, seed, setting, script), onset_s


def encode(scene: StagedScene, mode: str, begins_s: float) -> Clip:
    """LONG_S of a scene through the encoder."""
    options, bit_rate = MODES[mode]
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    context.time_base, context.framerate = Fraction(1, RATE), Fraction(RATE)
    context.gop_size, context.max_b_frames, context.thread_count = GOP, 0, 1
    if bit_rate:
        context.bit_rate = bit_rate
    context.options = options
    sizes: list[int] = []
    begun_s = math.inf
    for number in range(round(LONG_S * RATE)):
        at_s = number / RATE
        picture, truth = scene.render(at_s)
        there = truth.fire or any(box.y2 - box.y1 >= SEEN_PX and box.visible >= 0.5 for box in truth.boxes)
        if at_s >= begins_s and there:
            begun_s = min(begun_s, at_s)
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
        frame.pts = number
        sizes += [packet.size for packet in context.encode(frame)]
    sizes += [packet.size for packet in context.encode(None)]
    return Clip(np.array(sizes, np.int64), begun_s, 0.0 if bit_rate else DRIFT)


class Feed:
    """One meter fed with pictures as ingest feeds it: once per key picture, and a peek every second."""

    def __init__(self, peek_phase: int) -> None:
        self.meter = ActivityMeter()
        self.suspicion = Suspicion.NONE
        self._peek_phase = peek_phase % RATE
        self._number = self._pictures = self._bytes = self._largest = self._keys = 0

    def picture(self, size: int, *, key: bool) -> None:
        """The next picture."""
        self._number += 1
        since_ns = (self._pictures + 1) * SECOND // RATE
        if key:
            self._keys += 1
            told = self.meter.interval(self._pictures, self._bytes, self._largest, size, self._keys, since_ns)
            self.suspicion = told.suspicion
            self._pictures = self._bytes = self._largest = 0
            return
        self._pictures += 1
        self._bytes += size
        self._largest = max(self._largest, size)
        if self._number % RATE == self._peek_phase:
            told_now = self.meter.peek(self._pictures, self._bytes, since_ns)
            self.suspicion = told_now or self.suspicion

    @property
    def rank_by(self) -> tuple[bool, float]:
        """Suspects first, then by score."""
        return self.suspicion is not Suspicion.NONE, self.meter.score


def quiet_sizes(clip: Clip, seconds: float, rng: np.random.Generator) -> Sizes:
    """So long of a stream's quiet time, group by group in any order, each with its own noise and a slow light
    (which a constant bit rate does not show)."""
    whole = clip.sizes[5 * GOP : round(QUIET_S / GOP_S) * GOP].reshape(-1, GOP)
    chosen = whole[rng.integers(len(whole), size=math.ceil(seconds / GOP_S))]
    drift = np.exp(clip.drift * np.sin(2 * math.pi * (np.arange(len(chosen)) * GOP_S / 600.0 + rng.random())))
    noise = np.exp(rng.normal(0.0, 0.05, chosen.shape)) * np.exp(rng.normal(0.0, 0.03, (len(chosen), 1)))
    return np.asarray(np.maximum(chosen * noise * drift[:, None], 8).reshape(-1), np.int64)


def county(clips: list[Clip], streams: int) -> list[list[tuple[bool, float]]]:
    """What the quiet streams say, at every second of WATCHED_S: a list of `rank_by` per second."""
    moments: list[list[tuple[bool, float]]] = [[] for _ in range(round(WATCHED_S))]
    for number in range(streams):
        rng = np.random.default_rng([7, number])
        sizes = quiet_sizes(clips[number % len(clips)], WARM_S + WATCHED_S + GOP_S, rng)
        feed, shift = Feed(number), number % GOP
        for place, size in enumerate(sizes[: round((WARM_S + WATCHED_S) * RATE)].tolist()):
            feed.picture(size, key=place % GOP == 0)
            second, rest = divmod(place + shift - round(WARM_S * RATE), RATE)
            if rest == 0 and 0 <= second < len(moments):
                moments[second].append(feed.rank_by)
    return moments


def stand(clip: Clip, change: str, night: bool, moments: list[list[tuple[bool, float]]], seed: int) -> Standing:
    """Warm a meter with the quiet time of a clip, play the rest, and rank it among the others."""
    rng = np.random.default_rng([11, seed])
    feed = Feed(seed)
    for place, size in enumerate(quiet_sizes(clip, WARM_S, rng).tolist()):
        feed.picture(size, key=place % GOP == 0)
    best, suspected_s = feed.rank_by, None
    first = round(QUIET_S / GOP_S) * GOP
    for place, size in enumerate(clip.sizes[first:].tolist()):
        feed.picture(size, key=place % GOP == 0)
        since_s = (first + place + 1) / RATE - clip.begun_s
        if since_s <= 0:
            continue
        if feed.suspicion is not Suspicion.NONE and suspected_s is None:
            suspected_s = since_s
        if since_s <= WITHIN_S:
            best = feed.rank_by
    others = moments[seed % len(moments)]
    return Standing(change, night, 1 + sum(other >= best for other in others), suspected_s)


def measure(places: int, streams: int, progress: Callable[[str], None]) -> dict[str, list[Standing]]:
    """All standings by mode."""
    standings: dict[str, list[Standing]] = {}
    for mode in MODES:
        clips: list[tuple[str, bool, Clip]] = []
        for seed in range(places):
            for change in CHANGES:
                night = bool(seed % 2)
                progress(f"{mode}: {change} in place {seed}")
                scene, begins_s = staged(change, seed, night)
                clip = encode(scene, mode, begins_s)
                if clip.begun_s + WITHIN_S < LONG_S:
                    clips.append((change, night, clip))
        progress(f"{mode}: {streams} quiet streams")
        moments = county([clip for _, _, clip in clips], streams)
        standings[mode] = [
            stand(clip, change, night, moments, seed) for seed, (change, night, clip) in enumerate(clips)
        ]
    return standings


def report(standings: dict[str, list[Standing]], streams: int) -> dict[str, object]:
    """Print a table; the figures by mode and change."""
    table = Table(title=f"Rank of a staged change among {streams} quiet streams after {WITHIN_S:g} s")
    for column in ("mode", "change", "n", "first", "rank p50", "worst", "suspected", "after s p50"):
        table.add_column(column, justify="right")
    figures: dict[str, object] = {}
    for mode, all_of_mode in standings.items():
        for change in CHANGES:
            some = [each for each in all_of_mode if each.change == change]
            ranks = sorted(each.rank for each in some)
            times = sorted(each.suspected_s for each in some if each.suspected_s is not None)
            if not ranks:
                continue
            first = sum(rank == 1 for rank in ranks) / len(ranks)
            after = round(times[len(times) // 2], 2) if times else None
            table.add_row(
                mode, change, str(len(ranks)), f"{first:.0%}", str(ranks[len(ranks) // 2]), str(ranks[-1]),
                f"{len(times) / len(ranks):.0%}", "-" if after is None else str(after),
            )  # fmt: skip
            figures[f"{mode}: {change}"] = {
                "n": len(ranks),
                "first": round(first, 3),
                "rank_p50": ranks[len(ranks) // 2],
                "rank_worst": ranks[-1],
                "suspected": round(len(times) / len(ranks), 3),
                "suspected_after_s_p50": after,
            }
    Console(width=115).print(table)
    return figures


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    cv2.setNumThreads(1)
    places = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    streams = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    console = Console(stderr=True)
    standings = measure(places, streams, console.log)
    figures = report(standings, streams)
    print(json.dumps({"streams": streams, "places": places, "within_s": WITHIN_S, **figures}))


if __name__ == "__main__":
    main()
