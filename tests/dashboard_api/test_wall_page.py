"""The plain page in a real browser, over a real server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
from playwright.async_api import async_playwright, expect

from contracts.command import CommandKind
from contracts.incident import Incident, IncidentState, Level
from contracts.place import Place
from dashboard_api.config import ApiConfig
from tests.dashboard_api.county_records import make_pair
from tests.dashboard_api.running_api import running_api
from tests.dashboard_api.wall_browser import (
    CHROMIUM,
    IN_A_BROWSER,
    browser_page,
    card,
    open_wall,
    shoot,
    until_commands,
)

pytestmark = IN_A_BROWSER


async def test_wall_shows_alerts_tickets_sources_and_health(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=24) as api, open_wall(api) as page:
        await expect(page.locator("#alerts .card")).to_have_count(24)
        await expect(page.locator("#tickets .ticket")).to_have_count(24)
        await expect(page.locator("#coverage")).to_contain_text("在线 44 / 应看 48")
        await expect(page.locator("#health-status")).to_have_text("运行正常")
        await expect(page.locator("#refused")).to_have_text("拒收 4")
        await expect(page.locator("#unseeing")).to_contain_text("画面被遮挡")
        await expect(page.locator("#unseeing li").last).to_contain_text("可疑")
        await expect(page.locator("#unseeing li").last).to_contain_text("10 分钟内断开 4 次以上")
        await expect(page.locator("#map .area")).to_have_count(147)
        assert await page.locator("#map .symbol").count() > 3
        first = page.locator("#alerts .card").first
        await expect(first).to_contain_text("内部告警等级 红")
        await expect(first).to_contain_text("已确认")
        await expect(first).to_contain_text("2 个来源相互印证")
        await expect(page.locator("#alerts")).to_contain_text("± 4 人")
        await expect(page.locator("#alerts")).to_contain_text("密度未标定")
        loaded = "() => [...document.querySelectorAll('.picture')].some((p) => p.naturalWidth === 640)"
        await page.wait_for_function(loaded)
        for level in await page.locator(".level").all_text_contents():
            assert level.startswith("内部告警等级")
        await shoot(page, "wall-zh-light")
        await first.locator(".frame").click()
        await expect(page.locator("#dialog")).to_contain_text("判定经过")
        await shoot(page, "wall-zh-details")


async def test_wall_switches_to_english_and_remembers(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=6) as api, open_wall(api, dark=True) as page:
        await page.click("#language")
        await expect(page.locator("#alerts-title")).to_have_text("Alerts")
        await expect(page.locator("#alerts .card").first).to_contain_text("Internal alert level red")
        await expect(page.locator("#tickets .ticket").first).to_contain_text("Lead")
        assert await page.locator("html").get_attribute("lang") == "en"
        await page.reload()
        await expect(page.locator("#alerts-title")).to_have_text("Alerts")
        await expect(page.locator("#alerts .card")).to_have_count(6)
        await shoot(page, "wall-en-dark")


async def test_operator_confirms_and_marks_false_alarm(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=6) as api, open_wall(api) as page:
        now = api.services.clock.now()
        real, wrong = make_pair(3, now)[0].id, make_pair(2, now)[0].id
        await expect(page.locator(card(real))).to_contain_text("疑似")
        await page.locator(card(real)).get_by_role("button", name="属实").click()
        await until_commands(api, 1)
        assert (api.alerts.commands[0].kind, api.alerts.commands[0].target_id) == (CommandKind.CONFIRM, real)
        await expect(page.locator(card(real))).to_contain_text("已确认")
        await expect(page.locator("#toasts")).to_contain_text("已研判属实")
        await page.locator(card(wrong)).get_by_role("button", name="误报").click()
        await page.get_by_label("水汽、炊烟或扬尘").check()
        await page.fill("#note", "食堂排烟")
        await shoot(page, "wall-zh-false-alarm")
        await page.locator("#dialog .act-confirm").click()
        await until_commands(api, 2)
        command = api.alerts.commands[1]
        assert (command.kind, command.target_id, command.reason, command.note) == (
            CommandKind.FALSE_ALARM,
            wrong,
            "steam",
            "食堂排烟",
        )


async def test_operator_mutes_with_reason_and_end(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=6) as api, open_wall(api) as page:
        incident = make_pair(3, api.services.clock.now())[0]
        await page.locator(card(incident.id)).get_by_role("button", name="静音").click()
        await page.locator("#dialog .act-confirm").click()
        await expect(page.locator("#dialog .problem")).to_have_text("请填写原因")
        await page.fill("#mute-reason", "设备检修")
        await page.locator("#dialog .act-confirm").click()
        await until_commands(api, 1)
        command = api.alerts.commands[0]
        assert command.matcher is not None
        assert (command.matcher.type, command.matcher.source_id) == (incident.type, incident.source_ids[0])
        assert command.reason == "设备检修"
        assert command.until is not None
        assert command.until > command.at


async def test_alerts_are_worked_by_keyboard_alone(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=6) as api, open_wall(api) as page:
        target = make_pair(3, api.services.clock.now())[0].id
        await page.locator("#alerts .card").first.focus()
        for _ in range(6):
            if await page.evaluate("document.activeElement.dataset.id") == target:
                break
            await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Enter")
        await expect(page.locator("#dialog")).to_contain_text(target)
        await page.keyboard.press("Escape")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await until_commands(api, 1)
        assert api.alerts.commands[0].target_id == target


async def test_refused_command_is_told_in_words(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=2) as api, browser_page(refused="409") as page:
        ghost = make_pair(3, api.services.clock.now())[0]
        await page.goto(api.url)
        await api.alerts.commit([ghost])
        await expect(page.locator(card(ghost.id))).to_be_visible()
        api.store.forget_incident(ghost.id)
        async with page.expect_response("**/api/v1/commands") as answer:
            await page.locator(card(ghost.id)).get_by_role("button", name="属实").click()
        assert (await answer.value).status == 409
        await expect(page.locator("#toasts")).to_contain_text("没有这条告警")


async def test_two_thousand_live_changes_leave_the_wall_correct(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=4) as api, open_wall(api) as page:
        await expect(page.locator("#alerts .card")).to_have_count(4)
        now = api.services.clock.now()
        for first in range(100, 1_100, 100):
            made = [make_pair(number, now) for number in range(first, first + 100)]
            await api.alerts.commit([record for pair in made for record in pair])
        gone = [
            msgspec.structs.replace(make_pair(n, now)[0], state=IncidentState.CLEARED) for n in range(100, 400)
        ]
        await api.alerts.commit(gone)
        await expect(page.locator("#alerts-caption")).to_contain_text("704", timeout=60_000)
        await expect(page.locator("#tickets-caption")).to_contain_text("1,004")
        answer = await page.request.get(f"{api.url}/api/v1/incidents?state=open&level=4&limit=500")
        reds = {item["id"] for item in (await answer.json())["items"]}
        await expect(page.locator('.tally-chip[class*="level-4"] b')).to_have_text(str(len(reds)))
        for shown_then in (100, 150, 200, 250, 300):
            await page.locator("#alerts .more").click()
            await expect(page.locator("#alerts .card")).to_have_count(shown_then)
        await expect(page.locator("#alerts .more")).to_be_hidden()
        shown = await page.evaluate(
            "[...document.querySelectorAll('#alerts .card')].map((c) => [c.dataset.id, +c.dataset.level])"
        )
        levels = [level for _, level in shown]
        assert levels == sorted(levels, reverse=True)
        assert {id_ for id_, level in shown if level == Level.RED} == reds
        await shoot(page, "wall-zh-storm")


async def test_nothing_moves_under_the_cursor_during_a_storm(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=4) as api, open_wall(api) as page:
        target = make_pair(3, api.services.clock.now())[0].id
        button = page.locator(card(target)).get_by_role("button", name="属实")
        before = await button.bounding_box()
        assert before is not None
        await page.mouse.move(before["x"] + 10, before["y"] + 10)
        now = api.services.clock.now()
        reds = [make_pair(number, now)[0] for number in range(100, 1_300) if number % 6 == 4]
        for first in range(0, len(reds), 20):
            await api.alerts.commit(reds[first : first + 20])
        await expect(page.locator("#fresh")).to_have_class("fresh has-some")
        await expect(page.locator("#fresh")).to_contain_text(f"{len(reds)} 条新告警")
        assert await button.bounding_box() == before
        await page.mouse.down()
        await page.mouse.up()
        await until_commands(api, 1)
        assert api.alerts.commands[0].target_id == target
        await shoot(page, "wall-zh-held")
        await page.click("#fresh")
        await expect(page.locator("#alerts .card").first).to_have_attribute("data-level", "4")
        await expect(page.locator("#alerts .card").first).not_to_have_attribute("data-id", target)


async def test_wall_reconnects_and_misses_nothing(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=4) as api, open_wall(api) as page:
        feed = api.services.feed
        feed.close()
        await expect(page.locator("#connection")).to_have_attribute("data-state", "disconnected")
        await expect(page.locator("#notice")).to_contain_text("连接中断")
        await api.alerts.commit([make_pair(number, api.services.clock.now())[0] for number in range(50, 60)])
        feed.closing = False
        await expect(page.locator("#connection")).to_have_attribute("data-state", "connected", timeout=20_000)
        await expect(page.locator("#notice")).to_be_hidden()
        await expect(page.locator("#alerts .card")).to_have_count(14)


async def test_markup_in_names_and_reasons_stays_text(short_dir: Path) -> None:
    evil = '<img src=x onerror="window.owned=1"><script>window.owned=1</script>\'"--'
    async with running_api(short_dir, pairs=1) as api, open_wall(api) as page:
        incident: Incident = make_pair(3, api.services.clock.now())[0]
        decision = msgspec.structs.replace(incident.decisions[-1], text=evil)
        incident = msgspec.structs.replace(
            incident,
            title=evil,
            place=Place(105.7, 38.8, None, None, None, evil),
            decisions=(decision,),
            source_ids=(evil,),
            owner=evil,
        )
        await api.alerts.commit([incident])
        await expect(page.locator(card(incident.id))).to_contain_text("<script>window.owned=1</script>")
        await expect(page.locator(card(incident.id))).to_contain_text("待定位")
        await page.locator(card(incident.id)).get_by_role("button", name="详情").click()
        await expect(page.locator("#dialog")).to_contain_text("onerror")
        assert await page.evaluate("window.owned === undefined")
        assert await page.locator("#alerts script, #dialog script, #alerts img[src='x']").count() == 0


async def test_grid_on_the_map_filters_alerts_and_tickets(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=24) as api, open_wall(api) as page:
        await expect(page.locator("#map .area")).to_have_count(147)
        code = make_pair(0, api.services.clock.now())[0].place.grid_code
        await page.evaluate(
            """(code) => { const area = document.querySelector(`.area[data-code="${code}"]`);
            for (const type of ['pointerdown', 'pointerup'])
              area.dispatchEvent(new PointerEvent(type, { bubbles: true, pointerId: 1 })); }""",
            code,
        )
        await expect(page.locator("#grid-filter")).to_be_visible()
        shown = await page.locator("#alerts .card").count()
        assert 1 <= shown < 24
        await page.keyboard.press("Escape")
        await expect(page.locator("#alerts .card")).to_have_count(24)


async def test_drill_cannot_be_taken_for_real(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=6, exercise=True) as api, open_wall(api) as page:
        await expect(page.locator("#drill")).to_be_visible()
        await expect(page.locator("#drill")).to_contain_text("演练")
        await expect(page.locator("#alerts .card .badge-drill:visible")).to_have_count(6)
        await shoot(page, "wall-zh-drill")


async def test_wall_says_that_it_waits_for_alerts(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=3) as api:
        aside = api.site.database_file.with_suffix(".aside")
        await asyncio.to_thread(api.site.database_file.rename, aside)
        async with browser_page(refused="503") as page:
            await page.goto(api.url)
            await expect(page.locator("#connection")).to_have_text("等待告警服务")
            await expect(page.locator("#notice")).to_contain_text("等待告警服务")
            await asyncio.to_thread(aside.rename, api.site.database_file)
            await expect(page.locator("#alerts .card")).to_have_count(3, timeout=20_000)
            await expect(page.locator("#notice")).to_be_hidden()


async def test_browser_from_another_machine_gives_the_token_first(short_dir: Path) -> None:
    token = "correct-horse-battery-staple-0123456789"
    (short_dir / "state").mkdir()
    (short_dir / "state" / "api-token").write_text(token)
    (short_dir / "state" / "api-token").chmod(0o600)
    config = ApiConfig(port=0, token_file="api-token", require_token=True)
    async with running_api(short_dir, config, pairs=3) as api, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page()
        await page.goto(api.url)
        await page.fill("#token", "wrong")
        await page.keyboard.press("Enter")
        await expect(page.locator("#dialog .problem")).to_have_text("令牌不正确")
        await page.fill("#token", token)
        await page.keyboard.press("Enter")
        await expect(page.locator("#alerts .card")).to_have_count(3, timeout=20_000)
        await browser.close()
