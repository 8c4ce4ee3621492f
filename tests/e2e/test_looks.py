"""Looks from end to end."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from msgspec.structs import replace

from contracts import wire
from contracts.incident import Incident, Reason
from sim.scenes import SceneKind, make_scene
from tests.alerts.records import smoke
from tests.alerts.site_files import catalogue
from tests.e2e.one_loop import CLOCK, COVERED, GONE, GROUP, SQUARE, placed, running
from tests.inference.pictures import noisy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


async def test_cameras_answer_seen_blind_and_not_live_to_people_and_to_an_alarm(
    short_dir: Path,
) -> None:
    square, _ = make_scene(SceneKind.SQUARE_FILLING, 3).render(90.0)
    grey = np.full((192, 320, 3), 90, np.uint8)
    scenes = {
        SQUARE: [noisy(square, n % 10) for n in range(GROUP)],
        COVERED: [noisy(grey, n % 5) for n in range(GROUP)],
    }
    async with running(short_dir, scenes) as made:
        await made.until_live(SQUARE, COVERED)
        [seen] = (await made.look(SQUARE)).json()["cameras"]
        assert seen["outcome"]["code"] == "seen"
        assert {each["name"]["code"]: each["count"] for each in seen["counts"]}["person"] >= 10
        assert -10 < seen["age_s"] < 10
        [picture] = seen["evidence"]
        shown = await made.client.get(picture["url"])
        assert hashlib.sha256(shown.content).hexdigest() == picture["sha256"]
        drawn = cv2.imdecode(np.frombuffer(shown.content, np.uint8), cv2.IMREAD_COLOR)
        assert drawn is not None
        assert drawn.shape[1] == picture["width"] <= 640

        [blind] = (await made.look(COVERED)).json()["cameras"]
        assert (blind["outcome"]["code"], blind["reason"]["code"]) == ("blind", "covered")
        assert blind["evidence"] == []

        [gone] = (await made.look(GONE)).json()["cameras"]
        assert (gone["outcome"]["code"], gone["reason"]["code"]) == ("unanswered", "not_live")

        unknown = await made.look("15292101001321009999")
        assert (unknown.status_code, unknown.json()["reason"]) == (404, "source_not_found")

        place = placed([replace(catalogue().cameras[0], id=SQUARE)])[0].place
        await made.alerts.send(smoke(1, CLOCK.now(), place=place))
        await made.alerts.until("SELECT 1 FROM incidents WHERE instr(body, CAST('looked_at' AS BLOB))", 30)
        rows = made.alerts.rows("SELECT body FROM incidents")
        decisions = [each for row in rows for each in wire.decode(row["body"], Incident).decisions]
        assert [each.text for each in decisions if each.reason is Reason.LOOKED_AT] == [f"{SQUARE} 未见目标"]
