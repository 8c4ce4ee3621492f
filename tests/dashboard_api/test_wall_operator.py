"""The wall as a new operator meets it, in a real browser."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import expect

from tests.dashboard_api.county_records import make_pair
from tests.dashboard_api.running_api import running_api
from tests.dashboard_api.wall_browser import IN_A_BROWSER, card, open_wall, shoot

pytestmark = IN_A_BROWSER


async def test_phone_shows_alerts_first_and_cuts_nothing(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=12) as api, open_wall(api, width=390) as page:
        wide = "document.scrollingElement.scrollWidth"
        assert await page.evaluate(wide) == 390
        await shoot(page, "wall-phone")
        order = []
        for panel in (".alerts-panel", ".tickets-panel", ".map-panel", ".sources-panel"):
            box = await page.locator(panel).bounding_box()
            assert box is not None
            order.append(box["y"])
        assert order == sorted(order)
        inner = "getComputedStyle(document.getElementById('alerts')).overflowY"
        assert await page.evaluate(inner) == "visible"
        buttons = "[...document.querySelectorAll('button')].filter((b) => b.offsetParent)"
        cut = f"{buttons}.map((b) => b.getBoundingClientRect()).filter((b) => b.right > 390 || b.left < 0)"
        assert await page.evaluate(f"{cut}.length") == 0
        target = card(make_pair(3, api.services.clock.now())[0].id)
        for name in ("误报", "静音", "详情"):
            await page.locator(target).get_by_role("button", name=name).click()
            await shoot(page, f"wall-phone-{name}")
            assert await page.evaluate(wide) == 390
            for button in await page.locator("#dialog button").all():
                box = await button.bounding_box()
                assert box is not None
                assert (box["x"] >= 0, box["x"] + box["width"] <= 390) == (True, True)
            await page.keyboard.press("Escape")
            await expect(page.locator("#dialog")).to_be_hidden()
        await page.locator("#language").click()
        assert await page.evaluate(wide) == 390
