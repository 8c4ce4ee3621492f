"""An alarm's filmstrip, end to end: the time before it from the recorder, or missing where nobody recorded."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from alerts.config import FilmstripConfig
from contracts.instant import SECOND
from tests.alerts.county import CONFIG
from tests.alerts.records import smoke
from tests.alerts.site_files import catalogue
from tests.e2e.one_loop import CLOCK, COVERED, GROUP, SQUARE, Running, placed, running
from tests.inference.pictures import noisy, textured
from tests.ingest.recording_server import Habits, RecordingServer, recording_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
BEFORE_S, AFTER_S = 15.0, 4.0


async def strip_of(made: Running, source_id: str) -> dict[str, Any]:
    """The complete strip of the alarm that this camera is the nearest to."""
    async with asyncio.timeout(60):
        while True:
            for incident in (await made.client.get("/api/v1/incidents")).json()["items"]:
                answer = await made.client.get(f"/api/v1/incidents/{incident['id']}/filmstrips")
                for strip in answer.json()["items"]:
                    if strip["source"]["id"] == source_id and strip["state"]["code"] == "complete":
                        found: dict[str, Any] = strip
                        return found
            await CLOCK.asleep(0.5)


async def test_alarm_shows_what_the_recorder_kept_and_says_where_nobody_recorded(short_dir: Path) -> None:
    scenes = {each: [noisy(textured(seed=5), n) for n in range(GROUP)] for each in (SQUARE, COVERED)}
    strips = FilmstripConfig(before_s=BEFORE_S, after_s=AFTER_S, near_m=80.0)
    config = msgspec.structs.replace(CONFIG, filmstrip=strips)
    began = datetime.fromtimestamp(CLOCK.now() // SECOND - 100, UTC)
    recorder = RecordingServer(Habits(), began)
    async with (
        recording_server(recorder) as server,
        running(short_dir, scenes, recordings={SQUARE: server.url}, alerts_config=config) as made,
    ):
        await made.until_live(SQUARE, COVERED)
        places = [each.place for each in placed([replace(catalogue().cameras[0], id=id_) for id_ in scenes])]
        await made.alerts.send(*(smoke(n, CLOCK.now(), place=place) for n, place in enumerate(places, 1)))
        recorded, unrecorded = await strip_of(made, SQUARE), await strip_of(made, COVERED)

        past = [each for each in recorded["pictures"] if each["origin"]["code"] == "recording"]
        assert len(past) >= 3
        assert min(each["offset_s"] for each in past) < 2 - BEFORE_S
        assert max(each["offset_s"] for each in past) < 2, "up to the moment at which it was asked for"
        assert "live" in {each["origin"]["code"] for each in recorded["pictures"] if each["offset_s"] > 0}
        for each in past:
            shown = await made.client.get(each["evidence"]["url"])
            assert (shown.status_code, shown.headers["content-type"]) == (200, "image/jpeg")
        assert any("clock=" in headers.get("Range", "") for _, headers in recorder.requests)

        assert {each["origin"]["code"] for each in unrecorded["pictures"]} == {"live"}
        assert [each["reason"]["code"] for each in unrecorded["gaps"]][:1] == ["no_recording"]
