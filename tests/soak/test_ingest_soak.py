"""The camera worker with bad cameras, storms and a catalogue that never rests; short unless asked for more.

GRIDWHISTLE_SOAK_S: seconds of the soak with bad cameras, 120 by default.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.ingest_churn import run_churn
from bench.ingest_soak import SoakPlan, run_soak
from bench.ingest_storm import run_storms
from bench.load.rig import RigPlan

SECONDS = float(os.environ.get("GRIDWHISTLE_SOAK_S", "120"))
pytestmark = [pytest.mark.soak, pytest.mark.timeout(900 + 2 * SECONDS)]


async def test_bad_cameras_have_their_reasons_and_the_others_lose_nothing(short_dir: Path) -> None:
    result = await run_soak(SoakPlan(100, SECONDS, bad_share=0.1), short_dir)
    assert result.lost_of_others == 0
    assert result.wrong == []
    assert result.due_of_others > 90 * (SECONDS / 2 - 4)
    assert set(result.heard) == {"flap", "stall", "garbage", "wrong_rtcp", "clock_jump"}


async def test_storms_end_with_all_live_and_never_knock_harder_than_the_policy(short_dir: Path) -> None:
    result = await run_storms(RigPlan(100), short_dir, storms=3, refuse_s=3.0)
    assert len(result.storms) == 3
    assert all(storm.per_s_max <= result.per_s_allowed for storm in result.storms)
    assert all(storm.attempts >= 100 for storm in result.storms)
    assert result.good


async def test_changes_of_the_catalogue_disturb_no_other_camera_and_leave_nothing_behind(short_dir: Path) -> None:
    result = await run_churn(short_dir, kept=20, changes=1_000, per_version=50)
    assert result.changes >= 900
    assert result.lost_of_kept == 0
