from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.instant import DAY, Instant, from_rfc3339
from inference.config import InferenceConfig
from inference.freshness import PROFILES, WORDS, Freshness, FreshnessProfile, Hours

FRIDAY = "2026-11-27"
SATURDAY = "2026-11-28"


def at(day: str, time: str) -> Instant:
    return from_rfc3339(f"{day}T{time}:00+08:00")


@pytest.mark.parametrize(
    ("day", "time", "bound_s"),
    [
        (FRIDAY, "16:30", 1.0), (FRIDAY, "06:59", 15.0), (FRIDAY, "07:00", 1.0), (FRIDAY, "08:29", 1.0),
        (FRIDAY, "08:30", 15.0), (FRIDAY, "12:00", 2.0), (SATURDAY, "16:30", 15.0), (FRIDAY, "00:00", 15.0),
    ],
)  # fmt: skip
def test_school_gate_is_kept_fresh_when_school_begins_and_ends(day: str, time: str, bound_s: float) -> None:
    assert Freshness({}, 10.0).bound_s("school_gate", at(day, time)) == bound_s


def test_alley_is_looked_at_less_often_than_others_and_a_camera_without_profile_as_configured() -> None:
    freshness = Freshness({}, 12.0)
    now = at(FRIDAY, "16:30")
    assert (freshness.bound_s("alley", now), freshness.bound_s("", now)) == (30.0, 12.0)


@pytest.mark.parametrize("word", list(WORDS))
def test_words_of_a_chinese_catalogue_name_the_profiles_that_every_site_has(word: str) -> None:
    freshness = Freshness({}, 12.0)
    now = at(FRIDAY, "07:30")
    assert freshness.bound_s(word, now) == PROFILES[WORDS[word]].at(now)
    assert not freshness.unknown


def test_profile_of_the_site_replaces_one_of_the_same_name_or_adds_one() -> None:
    own = FreshnessProfile(bound_s=7.0, hours=(Hours(begin="22:00", end="24:00", days="6,7", bound_s=2.0),))
    freshness = Freshness({"alley": own, "夜市": own}, 12.0)
    for name in ("alley", "夜市", "巷道"):
        assert freshness.bound_s(name, at(SATURDAY, "23:59")) == 2.0
        assert freshness.bound_s(name, at(FRIDAY, "23:59")) == 7.0


def test_profile_that_nobody_wrote_down_counts_as_none_and_is_told() -> None:
    freshness = Freshness({}, 12.0)
    assert freshness.bound_s("莫名", at(FRIDAY, "12:00")) == 12.0
    assert freshness.unknown == {"莫名"}


@pytest.mark.parametrize(
    "text",
    [
        'begin = "7:00"\nend = "08:00"\nbound_s = 1', 'begin = "09:00"\nend = "08:00"\nbound_s = 1',
        'begin = "09:00"\nend = "24:30"\nbound_s = 1', 'begin = "09:00"\nend = "10:00"\ndays = "0-5"\nbound_s = 1',
        'begin = "09:00"\nend = "10:00"\ndays = "Mo"\nbound_s = 1', 'begin = "09:00"\nend = "10:00"\nbound_s = 0',
        'begin = "09:00"\nend = "10:00"', 'begin = "09:00"\nend = "10:00"\nbound_s = 1\ncolour = 1',
    ],
)  # fmt: skip
def test_hours_that_mean_nothing_stop_the_start(text: str) -> None:
    document = f"[profiles.gate]\nbound_s = 10\n[[profiles.gate.hours]]\n{text}\n"
    with pytest.raises(msgspec.ValidationError):
        msgspec.toml.decode(document, type=InferenceConfig)


def test_profiles_are_read_from_toml() -> None:
    document = (
        '[profiles.gate]\nbound_s = 20\n[[profiles.gate.hours]]\nbegin = "06:30"\nend = "07:30"\nbound_s = 1\n'
    )
    profiles = msgspec.toml.decode(document, type=InferenceConfig).profiles
    assert Freshness(profiles, 10.0).bound_s("gate", at(SATURDAY, "06:30")) == 1.0


@given(st.integers(0, 4_000_000_000), st.sampled_from(sorted(PROFILES)))
def test_bound_is_always_one_that_is_written_down_and_the_same_a_week_later(second: int, name: str) -> None:
    profile = PROFILES[name]
    now = Instant(second * 1_000_000_000)
    assert profile.at(now) in {profile.bound_s, *(each.bound_s for each in profile.hours)}
    assert profile.at(now) == profile.at(Instant(now + 7 * DAY))
