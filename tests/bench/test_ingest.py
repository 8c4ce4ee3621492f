from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.ingest import settings
from bench.load.clips import ClipName
from bench.load.process import ROOT
from bench.load.rig import RigPlan, camera_id, cameras, load_server
from bench.load.trial import run_trial

SETTINGS = {"connect_rate_per_s": 100.0}


def test_settings_are_json_or_text() -> None:
    assert settings(["connect_rate_per_s=60", "secrets=a.toml", "file_loop=false"]) == {
        "connect_rate_per_s": 60,
        "secrets": "a.toml",
        "file_loop": False,
    }


def test_cameras_of_the_catalogue_have_their_ids_and_hosts() -> None:
    first, last = cameras([0, 3_699], "rtsp://{host}:8554/cam/{i}", 4_000)
    assert (first.url, last.url) == ("rtsp://127.0.1.1:8554/cam/0", "rtsp://127.0.15.200:8554/cam/3699")
    (shared,) = cameras([9], "rtsp://{host}:8554/cam/{i}", 3)
    assert shared.url == "rtsp://127.0.1.1:8554/cam/9"
    assert camera_id(3_699) == last.id
    assert len(last.id) == 20
    assert last.live


@pytest.mark.slow
async def test_worker_loses_no_key_picture_of_the_load_server(short_dir: Path) -> None:
    result = await run_trial(RigPlan(30, ingest=SETTINGS), short_dir, seconds=6, start_s=50)
    assert (result.live, result.lost_key_pictures, result.reconnects) == (30, 0, 0)
    assert result.cold_start_s is not None
    assert result.due_key_pictures is not None
    assert result.due_key_pictures >= 30 * 4
    assert result.handover_p99_ms is not None
    assert result.cpu_ms_per_stream_s > 0
    assert result.rss_mb > 0
    assert result.notes == [note for note in result.notes if "too busy" in note]


@pytest.mark.slow
async def test_other_server_without_its_own_list_is_measured_by_gaps_and_says_so(short_dir: Path) -> None:
    async with load_server(ClipName.NORMAL, 10) as (_, ready):
        plan = RigPlan(10, url_template=f"rtsp://127.0.0.1:{ready.port}/cam/{{i}}", ingest=SETTINGS)
        result = await run_trial(plan, short_dir, seconds=4, start_s=50)
    assert (result.clip, result.live, result.lost_key_pictures) == ("external", 10, 0)
    assert result.due_key_pictures is None
    assert result.sent_mb is None
    assert any("gaps" in note for note in result.notes)
    assert any("not sent" in note for note in result.notes)


@pytest.mark.slow
def test_program_ends_with_one_json_object() -> None:
    arguments = ["--streams", "5", "--seconds", "3", "--json", "--ingest", "connect_rate_per_s=100"]
    done = subprocess.run(
        [sys.executable, "-m", "bench.ingest", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = msgspec.json.decode(done.stdout.splitlines()[-1])
    wanted = {
        "streams",
        "live",
        "key_pictures_per_s",
        "lost_key_pictures",
        "cpu_ms_per_stream_s",
        "rss_mb",
        "kernel_tcp_mb",
        "reconnects",
        "handover_p50_ms",
        "handover_p99_ms",
    }
    assert wanted <= found.keys()
    assert "接入" in done.stderr or "测量" in done.stderr
