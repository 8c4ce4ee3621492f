"""Real encoded streams: what comes into an empty place stands first among a thousand that are quiet."""

from __future__ import annotations

import pytest

from bench.activity_rank import WITHIN_S, county, encode, staged, stand

MODE = "constant quality"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_person_or_car_comes_by_day_then_first_of_a_thousand_quiet_streams_within_two_seconds() -> None:
    clips = []
    for seed in (0, 2):
        for change in ("person", "vehicle"):
            scene, begins_s = staged(change, seed, night=False)
            clips.append((change, encode(scene, MODE, begins_s)))
    assert all(begins_s <= clip.begun_s < begins_s + 12.0 for (_, clip) in clips for begins_s in (20.0,))
    moments = county([clip for _, clip in clips], 1000)
    suspects = [sum(suspected for suspected, _ in moment) for moment in moments]
    assert max(suspects) <= 1, "nobody cries wolf"
    standings = [stand(clip, change, False, moments, seed) for seed, (change, clip) in enumerate(clips)]
    assert [(each.change, each.rank) for each in standings] == [(change, 1) for change, _ in clips]
    assert all(each.suspected_s is not None and each.suspected_s <= 2 * WITHIN_S for each in standings)
