"""Real encoded streams: what comes into an empty place stands first among a thousand that are quiet.

The traces are sizes of pictures of our own staged scenes, written by `bench.activity.clips.Clip.write`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from bench.activity.clips import GOP, LONG_S, QUIET_S, RATE, Bgr, Clip, encode, read_clip, staged_clips
from bench.activity_rank import WITHIN_S, Standing, county, quiet, rank_all, stand

TRACES = Path(__file__).parent / "traces"


def traces(mode: str) -> list[Clip]:
    clips = [read_clip(file) for file in sorted(TRACES.glob("*.txt"))]
    return [clip for clip in clips if clip.mode == mode]


def told(standings: list[Standing]) -> list[tuple[str, str, int]]:
    return [(each.clip.change, each.clip.name, each.rank) for each in standings]


def first(standings: list[Standing]) -> list[tuple[str, str, int]]:
    return [(change, name, 1) for change, name, _ in told(standings)]


def test_person_car_or_new_fire_at_constant_quality_then_first_of_a_thousand_within_two_seconds() -> None:
    clips = traces("constant quality")
    assert [clip.change for clip in clips] == ["fire"] * 3 + ["person"] * 3 + ["vehicle"] * 3
    standings = rank_all(clips, 1000)
    assert told(standings) == first(standings)


def test_person_at_a_low_constant_bit_rate_then_among_the_first_ten_of_a_thousand() -> None:
    standings = rank_all(traces("constant 256 kb/s"), 1000)
    assert len(standings) == 3
    assert all(each.rank <= 10 for each in standings), told(standings)


def test_county_is_quiet_then_nobody_is_suspected_and_few_are_worth_a_notice() -> None:
    moments = county(traces("constant quality"), 300)
    assert sum(suspected for moment in moments for suspected, _ in moment) == 0
    scores = np.array([[score for _, score in moment] for moment in moments])
    assert (scores >= 5.0).mean() < 0.001


def test_trace_is_written_then_it_reads_back(tmp_path: Path) -> None:
    clip = traces("constant quality")[0]
    clip.write(tmp_path / "a.txt", 4.0, 20.0)
    again = read_clip(tmp_path / "a.txt")
    assert (again.name, again.change, again.mode) == (clip.name, clip.change, clip.mode)
    assert again.begun_s == pytest.approx(clip.begun_s - 4.0)
    assert again.sizes.tolist() == clip.sizes[4 * RATE : 24 * RATE].tolist()
    assert len(quiet(again, 10.0, np.random.default_rng(1))) == 5 * GOP


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_person_or_car_comes_into_a_place_that_nothing_was_tuned_on_then_first_of_a_thousand() -> None:
    clips = [
        clip
        for change, seed in (("person", 200), ("vehicle", 202))
        for clip in staged_clips(change, seed, ["constant quality"])
    ]
    assert all(QUIET_S <= clip.begun_s < LONG_S - WITHIN_S for clip in clips)
    standings = rank_all(clips, 1000)
    assert told(standings) == first(standings)


def lot(file: Path) -> Iterator[tuple[Bgr, bool]]:
    """A real car park, empty from its eighth to its fourteenth second (to and fro for a minute), then a car."""
    with av.open(str(file)) as media:
        stream = media.streams.video[0]
        rate = float(stream.average_rate or 12.5)
        pictures = [
            frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False) for frame in media.decode(stream)
        ]
    empty = pictures[round(8.0 * rate) : round(14.0 * rate)]
    there_and_back = [*empty, *reversed(empty)]
    for number in range(round(QUIET_S * RATE)):
        yield there_and_back[number % len(there_and_back)], False
    # It drives into the picture from here on, by eye.
    for number, picture in enumerate(pictures[round(14.0 * rate) : round(19.0 * rate)]):
        yield picture, number >= round(0.5 * rate)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_real_car_drives_into_a_real_car_park_then_among_the_first_ten_of_a_thousand(data_dir: Path) -> None:
    clips = list(encode("lot", "vehicle", lot(data_dir / "videos/traffic_free/intel_car_detection.mp4")))
    by_mode = {clip.mode: clip for clip in clips}
    moments = county(traces("constant quality"), 1000)
    for mode in ("constant quality", "capped at 512 kb/s"):
        assert stand(by_mode[mode], moments, 5).rank <= 10, mode
