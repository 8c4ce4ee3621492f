"""The wall in a real browser, for the tests of the page."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.dashboard_api.running_api import RunningApi

CHROMIUM = Path("/usr/bin/chromium")
SHOTS = os.environ.get("GRIDWHISTLE_SCREENSHOTS")

IN_A_BROWSER = [
    pytest.mark.external,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed (apt install chromium)"),
]


@asynccontextmanager
async def browser_page(*, width: int = 1600, dark: bool = False, refused: str = "") -> AsyncIterator[Page]:
    """A page of a fresh browser; whatever it complains about, but for the status `refused`, fails the test."""
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        try:
            yield page
        finally:
            await browser.close()
    assert [text for text in complaints if not refused or f"status of {refused}" not in text] == []


@asynccontextmanager
async def open_wall(
    api: RunningApi, *, width: int = 1600, dark: bool = False, refused: str = ""
) -> AsyncIterator[Page]:
    """The wall, connected and drawn."""
    async with browser_page(width=width, dark=dark, refused=refused) as page:
        await page.goto(api.url)
        await expect(page.locator("#connection")).to_have_attribute("data-state", "connected", timeout=30_000)
        yield page


async def shoot(page: Page, name: str) -> None:
    """Keep a screenshot where GRIDWHISTLE_SCREENSHOTS says, if it says."""
    if SHOTS:
        await page.screenshot(path=f"{SHOTS}/{name}.png")


def card(incident_id: str) -> str:
    """Selects the card of an incident."""
    return f'.card[data-id="{incident_id}"]'


async def until_commands(api: RunningApi, count: int) -> None:
    async with asyncio.timeout(20):
        while len(api.alerts.commands) < count:
            await api.services.clock.asleep(0.02)
