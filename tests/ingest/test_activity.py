"""What the sizes of dropped pictures say: ranks, normals that are learnt, suspicions, and none of them at dusk."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.frame import Suspicion
from contracts.instant import SECOND
from ingest.activity import SCORE_MAX, Activity, ActivityMeter, key_digest

RATE = 25
GOP_S = 2


class Stream:
    """A camera drawn as sizes: `mean` bytes a picture with `spread` (a logarithm) from picture to picture."""

    def __init__(self, seed: int = 0, *, gop_s: float = GOP_S, spread: float = 0.2, key: float = 9000.0) -> None:
        self.rng = np.random.default_rng(seed)
        self.meter = ActivityMeter()
        self.gop_s, self.spread, self.key = gop_s, spread, key
        self.digest = 0

    def interval(self, mean: float, key: float | None = None, *, digest: int | None = None) -> Activity:
        """One interval whose pictures have this mean."""
        count = round(self.gop_s * RATE) - 1
        sizes = np.maximum(mean * np.exp(self.rng.normal(0.0, self.spread, count)), 10.0).astype(int)
        self.digest += 1
        return self.meter.interval(
            count,
            int(sizes.sum()),
            int(sizes.max()),
            round((key or self.key) * math.exp(self.rng.normal(0.0, 0.02))),
            self.digest if digest is None else digest,
            round(self.gop_s * SECOND),
        )

    def warm(self, mean: float, intervals: int = 40) -> Stream:
        """The same stream after a while of this."""
        for _ in range(intervals):
            self.interval(mean)
        return self


def test_nothing_changes_then_score_stays_near_one() -> None:
    scores = [Stream(seed).warm(800.0).interval(800.0).score for seed in range(100)]
    assert max(scores) < 4.5
    assert 0.9 < float(np.median(scores)) < 1.7


def test_score_grows_with_motion_and_falls_with_quiet() -> None:
    scores = [Stream(3).warm(800.0).interval(mean).score for mean in (100.0, 400.0, 800.0, 1600.0, 3200.0, 8000.0)]
    assert scores == sorted(scores)
    assert scores[0] < 0.2
    assert scores[-1] > 8.0


def test_first_intervals_are_normal_and_never_suspicious() -> None:
    stream = Stream(4)
    said = [stream.interval(mean) for mean in (20.0, 5000.0, 20.0, 5000.0, 20.0, 5000.0)]
    assert all(each == Activity(1.0, Suspicion.NONE) for each in said)


@pytest.mark.parametrize("factor", [4.0, 10.0])
def test_motion_begins_then_burst_in_the_interval_it_began(factor: float) -> None:
    assert Stream(5).warm(300.0).interval(300.0 * factor).suspicion is Suspicion.BURST


def test_quiet_night_of_tiny_pictures_trembles_then_nothing_is_said() -> None:
    stream = Stream(6).warm(20.0)
    said = [stream.interval(mean) for mean in (60.0, 20.0, 60.0, 25.0, 55.0)]
    assert {each.suspicion for each in said} == {Suspicion.NONE}
    assert said[-1].score < said[0].score, "and it is no news for long"


def test_lens_is_covered_then_size_collapse_until_it_is_the_new_normal() -> None:
    stream = Stream(7).warm(800.0)
    said = [stream.interval(80.0, 1500.0).suspicion for _ in range(60)]
    assert said[0] is Suspicion.SIZE_COLLAPSE
    assert 15 <= sum(each is Suspicion.SIZE_COLLAPSE for each in said) <= 35
    assert said[-20:] == [Suspicion.NONE] * 20


def test_bit_rate_is_changed_then_burst_for_a_minute_and_news_no_more() -> None:
    stream = Stream(8).warm(500.0)
    said = [stream.interval(4000.0, 40_000.0) for _ in range(60)]
    assert said[0].suspicion is Suspicion.BURST
    last = max(n for n, each in enumerate(said) if each.suspicion is not Suspicion.NONE)
    assert last * GOP_S <= 64
    assert max(each.score for each in said[-20:]) < 3.5
    assert stream.interval(20_000.0, 40_000.0).suspicion is Suspicion.BURST, "the new normal is a normal"


def test_key_pictures_repeat_then_frozen_bytes_and_one_repeat_is_none() -> None:
    stream = Stream(9).warm(800.0)
    said = [stream.interval(800.0, digest=digest).suspicion for digest in (7, 7, 8, 9, 9, 9, 9, 9)]
    assert said[:6] == [Suspicion.NONE] * 6
    assert said[-1] is Suspicion.FROZEN_BYTES


def test_repeated_pictures_alternate_their_id_then_frozen_all_the_same() -> None:
    stream = Stream(10).warm(800.0)
    said = [stream.interval(800.0, digest=1 + n % 2).suspicion for n in range(6)]
    assert said[-1] is Suspicion.FROZEN_BYTES


def test_only_skipped_blocks_come_then_frozen_from_ten_seconds_to_three_minutes() -> None:
    stream = Stream(11, spread=0.05).warm(900.0)
    said = [stream.interval(14.0).suspicion for _ in range(150)]
    frozen = [n * GOP_S for n, each in enumerate(said) if each is Suspicion.FROZEN_BYTES]
    assert 6 <= frozen[0] <= 10
    assert 170 <= frozen[-1] <= 180
    quiet = Stream(12, spread=0.05).warm(14.0)
    assert {quiet.interval(14.0).suspicion for _ in range(150)} == {Suspicion.NONE}, "it never was alive"


def peeks(stream: Stream, means: list[float]) -> list[Suspicion]:
    """Seconds of a long interval, and what a peek after each says."""
    pictures = size = 0
    said = []
    for second, mean in enumerate(means, start=1):
        pictures += RATE
        size += round(RATE * mean)
        said.append(stream.meter.peek(pictures, size, second * SECOND))
    return said


def test_motion_begins_early_in_a_long_interval_then_the_next_peek_says_burst() -> None:
    stream = Stream(13, gop_s=10.0)
    for _ in range(12):
        peeks(stream, [300.0] * 9)
        stream.interval(300.0)
    assert peeks(stream, [300.0, 300.0, 2000.0, 2000.0]) == [
        Suspicion.NONE,
        Suspicion.NONE,
        Suspicion.BURST,
        Suspicion.BURST,
    ]


def test_lens_is_covered_in_a_long_interval_then_collapse_after_three_seconds() -> None:
    stream = Stream(14, gop_s=10.0)
    for _ in range(12):
        peeks(stream, [800.0] * 9)
        stream.interval(800.0)
    said = peeks(stream, [800.0, 30.0, 30.0, 30.0, 30.0])
    assert said == [Suspicion.NONE] * 3 + [Suspicion.SIZE_COLLAPSE] * 2


def test_cars_pass_now_and_then_within_long_intervals_then_no_peek_suspects() -> None:
    stream = Stream(15, gop_s=10.0)
    said: list[Suspicion] = []
    for _ in range(60):
        cars = stream.rng.random(9) < 0.25
        means = [1500.0 if car else 300.0 for car in cars]
        now = peeks(stream, means)
        if stream.meter._size.seen > 12:
            said += now
        stream.interval(float(np.mean(means)))
    assert said.count(Suspicion.NONE) >= len(said) - 2


def test_bit_rate_is_constant_then_motion_shows_in_the_ratio() -> None:
    """Key pictures shrink, the others grow by little: their total is the same whatever happens."""
    stream = Stream(16, spread=0.1)
    total = 128_000.0
    for _ in range(60):
        key = 18_000.0 * math.exp(stream.rng.normal(0, 0.05))
        stream.interval((total - key) / 49, key)
    moved = stream.interval((total - 6000.0) / 49, 6000.0)
    assert moved.score > 5.0
    still = stream.interval((total - 18_000.0) / 49, 18_000.0)
    assert still.score < 3.0


def test_sizes_fall_behind_each_key_picture_then_each_second_has_a_normal_of_its_own() -> None:
    """The first second is always twice the second one: half as much again there is news, not in the first."""
    stream = Stream(20, spread=0.05)
    for _ in range(60):
        peeks(stream, [800.0])
        stream.interval(600.0)
    peeks(stream, [800.0])
    assert stream.meter.score < 3.0
    told = stream.interval(720.0)
    assert told.score > 5.0, "600 instead of 400 in the second second, less than the first one ever is"


def test_score_of_a_peek_lasts_for_two_of_them() -> None:
    stream = Stream(22, gop_s=10.0, spread=0.05)
    for _ in range(12):
        peeks(stream, [300.0] * 9)
        stream.interval(300.0)
    scores = []
    pictures = size = 0
    for second_, mean in enumerate((300, 300, 300, 450, 300, 300), start=1):
        pictures, size = pictures + RATE, size + RATE * mean
        stream.meter.peek(pictures, size, second_ * SECOND)
        scores.append(stream.meter.score)
    assert min(scores[3:5]) > 4.0
    assert max(scores[:3] + scores[5:]) < 3.0


def test_all_pictures_are_key_pictures_then_their_size_alone_is_measured() -> None:
    meter = ActivityMeter()
    said = [meter.interval(0, 0, 0, 20_000, n, SECOND) for n in range(30)]
    assert {each.suspicion for each in said} == {Suspicion.NONE}
    assert meter.interval(0, 0, 0, 2_000, 99, SECOND).suspicion is Suspicion.SIZE_COLLAPSE


SHAPES: dict[str, Callable[[float], float]] = {
    "dusk: gain noise grows eightfold within forty minutes": lambda s: (
        300.0 * math.exp(2.1 * min(max((s - 600.0) / 2400.0, 0.0), 1.0))
    ),
    "dawn: it falls again": lambda s: 2400.0 * math.exp(-2.1 * min(max((s - 600.0) / 2400.0, 0.0), 1.0)),
    "clouds: a third more or less every ten minutes": lambda s: (
        500.0 * math.exp(0.3 * math.sin(2 * math.pi * s / 600.0))
    ),
    "rain: five times more within three minutes": lambda s: (
        400.0 * math.exp(1.6 * min(max((s - 900.0) / 180.0, 0.0), 1.0))
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_light_and_weather_change_slowly_then_no_suspicion(shape: str) -> None:
    for seed in range(4):
        stream = Stream(seed)
        said = [stream.interval(SHAPES[shape](n * GOP_S)).suspicion for n in range(1800)]
        assert {each: said.count(each) for each in set(said)} == {Suspicion.NONE: 1800}


def test_infrared_light_is_switched_then_news_for_a_minute_at_most() -> None:
    stream = Stream(17).warm(700.0, 200)
    said = [stream.interval(2600.0, 5000.0) for _ in range(200)]
    late = said[62 // GOP_S :]
    assert {each.suspicion for each in late} == {Suspicion.NONE}
    assert max(each.score for each in late) < 4.0


def test_leaves_move_in_the_wind_then_scores_are_in_their_own_spread() -> None:
    calm, leaves = Stream(18).warm(600.0, 120), Stream(19)
    for _ in range(120):
        leaves.interval(600.0 * math.exp(leaves.rng.normal(0.0, 0.5)))
    assert leaves.interval(1500.0).score < 4.0 < calm.interval(1500.0).score


def test_digest_ignores_what_counts_at_the_front_and_sees_what_changes_in_the_picture() -> None:
    rng = np.random.default_rng(1)
    body = rng.bytes(6000)
    assert key_digest(b"\0\0\0\1\6counter 1" + body) == key_digest(b"\0\0\0\1\6counter 22" + body)
    assert key_digest(body) != key_digest(body[:-900] + bytes((body[-900] ^ 1,)) + body[-899:])
    assert key_digest(b"") == key_digest(b"")


INTERVALS = st.lists(
    st.tuples(
        st.integers(-1, 5000),
        st.integers(0, 10**8),
        st.integers(0, 10**7),
        st.integers(0, 10**7),
        st.integers(0, 3),
        st.integers(-(10**9), 10**13),
        st.integers(0, 10**7),
    ),
    max_size=60,
)


@given(INTERVALS)
def test_any_figures_at_all_give_a_finite_score_and_a_suspicion(
    intervals: list[tuple[int, int, int, int, int, int, int]],
) -> None:
    meter = ActivityMeter()
    for pictures, size, largest, key, digest, duration_ns, early in intervals:
        assert meter.peek(pictures // 2, min(early, size), duration_ns // 2) in Suspicion
        activity = meter.interval(pictures, size, largest, key, digest, duration_ns)
        assert 0.0 <= activity.score <= SCORE_MAX
        assert activity.suspicion in Suspicion


@given(st.integers(100, 20_000), st.floats(1.0, 40.0), st.integers(0, 50))
def test_more_bytes_never_score_less(mean: int, factor: float, seed: int) -> None:
    less = Stream(seed, spread=0.0).warm(mean, 20).interval(mean)
    more = Stream(seed, spread=0.0).warm(mean, 20).interval(mean * factor)
    assert more.score >= less.score - 1e-6
