from __future__ import annotations

import pytest

from bench.load.baselines import Baseline, with_ratios
from bench.load.growth import exponent, linear_or_better


def test_constant_cost_per_stream_is_linear() -> None:
    assert exponent([100, 500, 3_700], [0.2, 0.2, 0.2]) == pytest.approx(1.0)
    assert linear_or_better(1.0)


def test_streams_that_make_each_other_dearer_are_not_linear() -> None:
    assert exponent([100, 1_000], [0.2, 0.4]) == pytest.approx(1.301, abs=1e-3)
    assert not linear_or_better(1.301)


def test_fixed_cost_that_is_shared_is_better_than_linear() -> None:
    assert exponent([100, 1_000, 3_700], [0.9, 0.3, 0.25]) < 1


def test_one_point_shows_no_growth() -> None:
    with pytest.raises(ValueError, match="two"):
        exponent([100], [0.2])


def test_ratios_are_to_both_of_our_figures() -> None:
    other = Baseline(name="x", streams=40, playing=40, cpu_ms_per_stream_s=14.2, rss_mb_per_stream=54, left_out=0)
    (found,) = with_ratios([other], 0.71, 0.2)
    assert (found.ratio_same, found.ratio_all) == (20.0, 71.0)
