"""Where does a staged change stand among 1,000 quiet streams two seconds after it began, by sizes alone?

The quiet time of the clips (bench/activity/clips.py), group by group in another order with its own noise and slow
light, makes 1,000 quiet streams; of a constant bit rate whole runs as they were, for there each group depends on
the one before. The same meters as in ingest see nothing but sizes. A stream stands where the best of its last two
seconds does.

    python -m bench.activity_rank [places] [quiet streams] [first place]

The thresholds of ingest/activity.py were chosen on places 0 to 5; the default begins at 100.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from bench.activity.clips import CHANGES, GOP, GOP_S, MODES, QUIET_S, RATE, Clip, Numbers, staged_clips
from contracts.frame import Suspicion
from contracts.instant import SECOND
from ingest.activity import ActivityMeter

WARM_S, WATCHED_S = 180.0, 30.0
DRIFT: Final = 0.15
"""Slow light: sizes swing by so much (a logarithm) within ten minutes."""
_SEAM_FREE: Final = 6
_SETTLED: Final = 3
"""Groups until an encoder has settled."""
WITHIN_S: Final = 2.0
Stands = tuple[bool, float]
"""Suspected, and how active: tuples that compare as streams rank."""


@dataclass(frozen=True)
class Standing:
    """One staged change: its rank after WITHIN_S (1 = first), and after how many seconds it was suspected."""

    clip: Clip
    rank: int
    score: float
    suspected_s: float | None


class Feed:
    """A stream's pictures as ingest hands them to a meter: once per key picture, and a peek every second."""

    def __init__(self, sizes: Numbers, phase: int) -> None:
        """`phase`: at which picture of a second the peeks are; a key picture comes first and every GOP."""
        self._bytes = np.concatenate(([0], np.cumsum(sizes)))
        self._sizes = sizes
        self._phase = phase % RATE
        self.meter = ActivityMeter()
        self.suspicion = Suspicion.NONE

    @property
    def rank_by(self) -> Stands:
        """Suspects first, then by score."""
        return self.suspicion is not Suspicion.NONE, self.meter.score

    def play(self) -> Sequence[tuple[int, Stands]]:
        """(picture, how the stream stands behind it) whenever that may have changed."""
        keys = range(GOP, len(self._sizes), GOP)
        peeks = {n for n in range(self._phase, len(self._sizes), RATE) if n % GOP}
        told = []
        for number in sorted(peeks.union(keys)):
            self._key(number) if number % GOP == 0 else self._peek(number)
            told.append((number, self.rank_by))
        return told

    def _since(self, number: int) -> tuple[int, int, int]:
        key = (number - 1) // GOP * GOP
        return number - key - 1, int(self._bytes[number] - self._bytes[key + 1]), (number - key) * SECOND // RATE

    def _peek(self, number: int) -> None:
        pictures, size, since_ns = self._since(number + 1)
        found = self.meter.peek(pictures, size, since_ns)
        self.suspicion = found or self.suspicion

    def _key(self, number: int) -> None:
        pictures, size, since_ns = self._since(number)
        largest = int(self._sizes[number - GOP + 1 : number].max())
        key = int(self._sizes[number])
        told = self.meter.interval(pictures, size, largest, key, number, since_ns)
        self.suspicion = told.suspicion


def quiet(clip: Clip, seconds: float, rng: np.random.Generator) -> Numbers:
    """So long of a stream's quiet time."""
    sizes = clip.sizes[_SETTLED * GOP : _quiet_groups(clip) * GOP].reshape(-1, GOP)
    count = math.ceil(seconds / GOP_S)
    if clip.constant:
        # The seam between the end and the begin of a run is no quiet: not within the seconds that are watched.
        chosen = (np.arange(count) - count - int(rng.integers(_SEAM_FREE))) % len(sizes)
        return sizes[chosen].reshape(-1)
    chosen = rng.integers(len(sizes), size=count)
    drift = np.exp(DRIFT * np.sin(2 * math.pi * (np.arange(count) * GOP_S / 600.0 + rng.random())))
    noise = np.exp(rng.normal(0.0, 0.05, (count, GOP))) * np.exp(rng.normal(0.0, 0.03, (count, 1)))
    varied = np.maximum(sizes[chosen] * noise * drift[:, None], 8)
    return np.asarray(varied.reshape(-1), np.int64)


def _quiet_groups(clip: Clip) -> int:
    """Whole groups before the change."""
    return int(min(clip.begun_s, QUIET_S) / GOP_S)


def county(clips: Sequence[Clip], streams: int) -> list[list[Stands]]:
    """How the quiet streams stand at every second of WATCHED_S, each by the best of its last two seconds."""
    moments: list[list[Stands]] = [[] for _ in range(round(WATCHED_S))]
    for number in range(streams):
        rng = np.random.default_rng([7, number])
        sizes = quiet(clips[number % len(clips)], WARM_S + WATCHED_S + GOP_S, rng)
        first = round(WARM_S * RATE) - number % GOP
        seconds: list[Stands] = [(False, 0.0)] * len(moments)
        for at, stands in Feed(sizes, number).play():
            for second in range((at - first) // RATE + 1, (at - first) // RATE + 1 + round(WITHIN_S)):
                if 0 <= second < len(seconds):
                    seconds[second] = max(seconds[second], stands)
        for moment, stands in zip(moments, seconds, strict=True):
            moment.append(stands)
    return moments


def stand(clip: Clip, moments: Sequence[Sequence[Stands]], seed: int) -> Standing:
    """Warm a meter with the quiet time of a clip, play the rest, and rank it among the others."""
    warm, first = quiet(clip, WARM_S, np.random.default_rng([11, seed])), _quiet_groups(clip) * GOP
    sizes = np.concatenate((warm, clip.sizes[first:]))
    begun = len(warm) + round(clip.begun_s * RATE) - first
    best, suspected_s = (False, 0.0), None
    for number, stands in Feed(sizes, seed).play():
        since_s = (number + 1 - begun) / RATE
        if since_s <= 0:
            continue
        if stands[0] and suspected_s is None:
            suspected_s = since_s
        if since_s <= WITHIN_S:
            best = max(best, stands)
    others = moments[seed % len(moments)]
    return Standing(clip, 1 + sum(other >= best for other in others), best[1], suspected_s)


def rank_all(clips: Sequence[Clip], streams: int) -> list[Standing]:
    """Each clip among quiet streams of the same mode."""
    moments = county(clips, streams)
    return [stand(clip, moments, seed) for seed, clip in enumerate(clips)]


def report(standings: dict[str, list[Standing]], streams: int) -> dict[str, object]:
    """Print a table; the figures by mode and change."""
    table = Table(title=f"Rank of a staged change among {streams} quiet streams after {WITHIN_S:g} s")
    for column in ("mode", "change", "n", "first", "in ten", "rank p50", "worst", "suspected", "after s p50"):
        table.add_column(column, justify="right")
    figures: dict[str, object] = {}
    for mode, all_of_mode in standings.items():
        for change in dict.fromkeys(each.clip.change for each in all_of_mode):
            some = [each for each in all_of_mode if each.clip.change == change]
            ranks = sorted(each.rank for each in some)
            times = sorted(each.suspected_s for each in some if each.suspected_s is not None)
            first, in_ten = sum(rank == 1 for rank in ranks), sum(rank <= 10 for rank in ranks)
            after = round(times[len(times) // 2], 2) if times else None
            table.add_row(
                mode, change, str(len(ranks)), str(first), str(in_ten), str(ranks[len(ranks) // 2]),
                str(ranks[-1]), str(len(times)), "-" if after is None else str(after),
            )  # fmt: skip
            figures[f"{mode}: {change}"] = {
                "n": len(ranks),
                "first": first,
                "in_ten": in_ten,
                "rank_p50": ranks[len(ranks) // 2],
                "ranks": ranks,
                "suspected": len(times),
                "suspected_after_s_p50": after,
            }
    Console(width=115).print(table)
    return figures


def main() -> None:
    """Measure and print; the last line is one JSON object."""
    cv2.setNumThreads(1)
    given = [int(each) for each in sys.argv[1:]]
    places, streams, first = (*given, *(6, 1000, 100)[len(given) :])
    console = Console(stderr=True)
    clips: list[Clip] = []
    for seed in range(first, first + places):
        for change in CHANGES:
            console.log(f"{change} in place {seed}")
            clips += staged_clips(change, seed)
    standings = {mode: rank_all([clip for clip in clips if clip.mode == mode], streams) for mode in MODES}
    figures = report(standings, streams)
    print(
        json.dumps({"streams": streams, "places": places, "first_place": first, "within_s": WITHIN_S, **figures})
    )


if __name__ == "__main__":
    main()
