"""The coverage of the last minute and storms on the wall, in a real browser."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from playwright.async_api import expect

from contracts.instant import SECOND, Instant
from tests.dashboard_api.county_records import county
from tests.dashboard_api.coverage_records import live_ids, make_reports, make_storm
from tests.dashboard_api.running_api import running_api
from tests.dashboard_api.wall_browser import IN_A_BROWSER, open_wall, shoot

pytestmark = IN_A_BROWSER
POLLED_MS = 15_000
"""The wall asks every five seconds."""


async def test_number_always_stands_on_the_wall_and_its_list_opens_upon_a_click(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=12) as api, open_wall(api) as page:
        wanted = len(live_ids())
        minute = page.locator("#minute")
        await expect(minute).to_contain_text("近一分钟覆盖")
        await expect(minute.locator("[data-stage=received]")).to_contain_text(f"{wanted - 1} / {wanted}")
        await expect(minute.locator("[data-stage=received]")).to_contain_text("关键帧")
        await expect(minute.locator("[data-stage=analysed]")).to_contain_text(f"{wanted - 2} / {wanted}")
        await expect(minute).to_contain_text("轮巡 1 路, 最长一轮 1 分 22 秒")
        await expect(page.locator("#storms")).to_be_hidden()
        await shoot(page, "wall-coverage")
        lost, patrol, unanalysed, *_ = live_ids()
        names = {camera.id: camera.name for camera in county().cameras}
        await minute.click()
        rows = page.locator("#dialog tbody tr")
        await expect(rows).to_have_count(1)
        await expect(rows.first).to_contain_text(names[lost])
        await expect(rows.first).to_contain_text(lost)
        await expect(page.locator("#dialog [data-list=unreceived]")).to_have_attribute("aria-pressed", "true")
        await page.locator("#dialog [data-list=unanalysed]").click()
        await expect(rows).to_have_count(2)
        await expect(page.locator(f'#dialog tr[data-id="{unanalysed}"]')).to_contain_text("30 张")
        await expect(page.locator(f'#dialog tr[data-id="{unanalysed}"]')).to_contain_text("尚无画面")
        await shoot(page, "wall-coverage-list")
        await page.locator("#dialog [data-list=patrol]").click()
        await expect(page.locator(f'#dialog tr[data-id="{patrol}"]')).to_contain_text("轮巡, 每轮 1 分 22 秒")
        await page.locator("#dialog [data-list=idle]").click()
        await expect(rows.first).to_contain_text("未启用")
        await expect(rows.first).not_to_contain_text("不明")
        await expect(rows).to_have_count(100)
        await page.locator("#dialog .more").click()
        await expect(rows).to_have_count(min(200, len(county().cameras) - wanted - 3))


async def test_count_of_a_state_opens_the_sources_behind_it(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=12) as api, open_wall(api) as page:
        count = page.locator("#coverage .coverage-row").last.locator("[data-state=unreported]")
        number = int((await count.inner_text()).split()[-1])
        await count.click()
        await expect(page.locator("#dialog h2")).to_have_text("传感器 · 未上报")
        await expect(page.locator("#dialog tbody tr")).to_have_count(number)
        await page.locator("#dialog .dialog-acts button").last.click()
        await page.locator("#coverage .coverage-row").first.locator("[data-state=faulted]").click()
        await expect(page.locator("#dialog tbody tr").first).to_contain_text("RTSP 404")
        await shoot(page, "wall-sources-list")


async def test_silent_ingest_is_named_and_nothing_is_called_received(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=2) as api, open_wall(api, dark=True) as page:
        now = api.services.clock.now()
        received, _ = make_reports(Instant(now - 90 * SECOND))
        await asyncio.to_thread(api.store.put_report, received)
        wanted = len(live_ids())
        minute = page.locator("#minute")
        await expect(minute.locator(".minute-silent")).to_contain_text(
            "视频接入 ingest-0 无响应", timeout=POLLED_MS
        )
        await expect(minute.locator("[data-stage=received]")).to_contain_text(f"0 / {wanted}")
        await expect(minute.locator("[data-stage=received]")).to_contain_text(f"{wanted} 路不明")
        await shoot(page, "wall-coverage-silent")
        await page.click("#language")
        await expect(minute).to_contain_text(f"{wanted} unknown")
        await minute.click()
        await expect(page.locator("#dialog")).to_contain_text(f"Not received {wanted}")
        await expect(page.locator("#dialog tbody tr").first).to_contain_text("unknown")


@pytest.mark.parametrize("width", [1600, 760])
async def test_storm_stands_under_the_head_and_goes_away_when_it_is_over(short_dir: Path, width: int) -> None:
    async with running_api(short_dir, pairs=4) as api, open_wall(api, width=width) as page:
        storm = make_storm(api.services.clock.now())
        await asyncio.to_thread(api.store.put_storm, storm)
        banner = page.locator("#storms .storm")
        await expect(banner).to_contain_text("812 路摄像头同时断开", timeout=POLLED_MS)
        await expect(banner).to_contain_text("wvp-1 600, 10.1.2.3:554 200, 其他 12")
        await expect(banner).to_contain_text("已恢复 300 路, 未恢复 512 路")
        await shoot(page, f"wall-storm-{width}")
        more_back = msgspec.structs.replace(storm, away=12, at=api.services.clock.now())
        await asyncio.to_thread(api.store.put_storm, more_back)
        await expect(banner).to_contain_text("已恢复 800 路, 未恢复 12 路", timeout=POLLED_MS)
        await asyncio.to_thread(api.store.put_storm, msgspec.structs.replace(more_back, ended_at=more_back.at))
        await expect(page.locator("#storms")).to_be_hidden(timeout=POLLED_MS)
