"""Looks (看一眼) on the wall, in a real browser."""

from __future__ import annotations

from pathlib import Path
from random import Random

from msgspec.structs import replace
from playwright.async_api import expect

from contracts.control import LookAnswer, LookOutcome
from contracts.instant import Instant
from dashboard_api.config import ApiConfig
from dashboard_api.look_views import cameras_near
from dashboard_api.names import LOOK_REASONS
from tests.dashboard_api.county_records import draw_evidence, make_pair, shown_cameras
from tests.dashboard_api.running_api import RunningApi, running_api
from tests.dashboard_api.wall_browser import IN_A_BROWSER, card, open_wall, shoot

pytestmark = IN_A_BROWSER


def crowd(api: RunningApi, source_id: str) -> LookAnswer:
    at = Instant(api.services.clock.now() - 400_000_000)
    return LookAnswer(
        id="",
        source_id=source_id,
        outcome=LookOutcome.SEEN,
        counts=(("person", 37), ("car", 4), ("smoke", 1)),
        confidence=(("person", 0.93), ("car", 0.88), ("smoke", 0.71)),
        event_time=at,
        evidence=(draw_evidence(api.site.evidence_dir, Random(11), at, source_id),),
    )


async def test_alert_with_a_camera_shows_what_it_sees_now_with_numbers_age_and_picture(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=12, live=True) as api, open_wall(api) as page:
        sources = api.services.snapshots.directory.sources
        pairs = [make_pair(number, api.services.clock.now())[0] for number in range(12)]
        incident = next(each for each in pairs if sources[each.source_ids[0]].kind == "camera")
        camera = incident.source_ids[0]
        api.inference.says(crowd(api, camera))
        await page.locator(card(incident.id)).get_by_role("button", name="详情").click()
        dialog = page.locator("#dialog")
        button = dialog.get_by_role("button", name="看一眼")
        await expect(button).to_contain_text(sources[camera].name)
        api.inference.pause()
        await button.click()
        await expect(dialog.locator(".looks")).to_contain_text("正在查看")
        await expect(button).to_be_disabled()
        api.inference.resume()
        told = dialog.locator(".look[data-outcome=seen]")
        await expect(told).to_contain_text("看到目标: 人 37 · 小型车 4 · 烟雾 1 (71 %)")
        await expect(told).to_contain_text("前 (")
        await told.locator("img").evaluate("image => image.decode()")
        await expect(button).to_be_enabled()
        await told.scroll_into_view_if_needed()
        await shoot(page, "wall-look")
        assert api.inference.asked[0].source_id == camera


async def test_alert_of_a_sensor_asks_the_cameras_near_it_and_a_ticket_those_near_its_place(
    short_dir: Path,
) -> None:
    async with running_api(short_dir, pairs=24, live=True) as api, open_wall(api) as page:
        directory = api.services.snapshots.directory
        pairs = [make_pair(number, api.services.clock.now()) for number in range(24)]
        incident, ticket = next(
            pair for pair in pairs if directory.sources[pair[0].source_ids[0]].kind == "sensor"
        )
        camera = shown_cameras()[0]
        # The sensor hangs where a camera of the county stands.
        await api.alerts.commit(
            [
                replace(incident, place=camera.place, version=incident.version + 1),
                replace(ticket, place=camera.place, version=ticket.version + 1),
            ]
        )
        nearest = cameras_near(directory, camera.place, 150.0)[0]
        api.inference.says(
            LookAnswer(id="", source_id=nearest.id, outcome=LookOutcome.UNANSWERED, reason="not_live")
        )
        dialog = page.locator("#dialog")
        near = dialog.get_by_role("button", name="看一眼附近摄像头")
        first = dialog.locator(".look").first
        await page.locator(card(incident.id)).get_by_role("button", name="详情").click()
        await near.click()
        await expect(first).to_contain_text(nearest.name)
        await expect(first).to_contain_text(f"未能查看: {LOOK_REASONS['not_live'][0]}")
        await shoot(page, "wall-look-near")
        await dialog.get_by_role("button", name="工单").click()
        await expect(dialog.locator("h2")).to_contain_text(ticket.case_number)
        await expect(dialog.locator(".look")).to_have_count(0)
        await near.click()
        await expect(first).to_contain_text(nearest.name)


async def test_blind_camera_of_the_list_answers_blind_in_place_and_too_many_looks_say_when_to_ask_again(
    short_dir: Path,
) -> None:
    config = ApiConfig(port=0, looks_per_minute=1)
    async with (
        running_api(short_dir, config, pairs=6, live=True) as api,
        open_wall(api, refused="429") as page,
    ):
        row = page.locator("#unseeing .look-act").first
        await row.click()
        dialog = page.locator("#dialog")
        source_id = (await dialog.locator("dd").last.text_content()) or ""
        api.inference.says(LookAnswer(id="", source_id=source_id, outcome=LookOutcome.BLIND, reason="covered"))
        await dialog.get_by_role("button", name="看一眼").click()
        told = dialog.locator(".look[data-outcome=blind]")
        await expect(told).to_contain_text(f"看不清: {LOOK_REASONS['covered'][0]}")
        await expect(told).to_contain_text("没有新画面")
        await shoot(page, "wall-look-blind")
        await api.services.clock.asleep(2.1)
        await dialog.get_by_role("button", name="看一眼").click()
        await expect(dialog.locator(".problem")).to_contain_text("查看过于频繁")
