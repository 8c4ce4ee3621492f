from __future__ import annotations

import msgspec
import pytest

from bench.ingest_storm import Storm, StormResult, policy, slope

STORM = Storm(back_s=40.0, attempts=1_000, per_s_max=31, opening_max=4, rss_mb=100.0)


def result(*storms: Storm, opening_allowed: int | None = 48, slope_mb: float = 0.1) -> StormResult:
    return StormResult(
        streams=1_000,
        per_s_allowed=31,
        opening_allowed=opening_allowed,
        rss_before_mb=99.0,
        slope_mb_per_storm=slope_mb,
        storms=list(storms),
    )


def test_storms_within_all_bounds_are_good() -> None:
    assert result(STORM, STORM).good
    assert result(STORM, opening_allowed=None).good


@pytest.mark.parametrize("change", [{"back_s": None}, {"per_s_max": 32}, {"opening_max": 49}])
def test_one_storm_beyond_a_bound_is_not(change: dict[str, object]) -> None:
    assert not result(STORM, msgspec.structs.replace(STORM, **change)).good


def test_policy_is_that_of_the_configuration_and_what_goes_over_it() -> None:
    per_s, _ = policy({"connect_rate_per_s": 60})
    lower, _ = policy({"connect_rate_per_s": 20.5})
    assert per_s - lower == 39
    assert policy({"openings_max": 9, "host_openings_max": 7})[1] == 7


def test_memory_that_grows_is_not_flat() -> None:
    assert slope([100, 101, 102, 103]) == pytest.approx(1.0)
    assert slope([100]) == 0
    assert result(STORM).flat
    assert not result(STORM, slope_mb=0.6).flat
