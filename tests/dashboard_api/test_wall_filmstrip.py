"""Filmstrips on the wall, in a real browser."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace
from playwright.async_api import expect

from contracts.filmstrip import FilmstripGap
from dashboard_api import names
from tests.dashboard_api.county_records import make_pair
from tests.dashboard_api.filmstrip_records import make_filmstrip
from tests.dashboard_api.running_api import running_api
from tests.dashboard_api.wall_browser import IN_A_BROWSER, card, open_wall, shoot

pytestmark = IN_A_BROWSER


async def test_wall_shows_the_strip_with_its_moment_and_what_is_missing(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=12) as api, open_wall(api) as page:
        incident = make_pair(3, api.services.clock.now())[0]
        folder = api.site.evidence_dir
        await page.locator(card(incident.id)).get_by_role("button", name="详情").click()
        films = page.locator("#dialog .films")
        await expect(films).to_contain_text("附近没有可用的摄像头")
        # News of the strip comes while the details are open: first the past, then all of it.
        source = api.services.snapshots.directory.sources
        camera = next(id_ for id_, entry in source.items() if entry.kind == "camera")
        await api.alerts.commit([make_filmstrip(incident, folder, source_id=camera, complete=False)])
        await expect(films).to_contain_text("采集中")
        pictures_before = await films.locator(".film-picture").count()
        await api.alerts.commit([make_filmstrip(incident, folder, source_id=camera)])
        await expect(films.locator(".film[data-state=complete]")).to_be_visible()
        assert await films.locator(".film-picture").count() > pictures_before
        hole = films.locator(".film-gap")
        await expect(hole).to_contain_text("缺失")
        await expect(hole).to_contain_text(names.REASONS["no_recording"][0])
        await expect(hole).to_contain_text("-21 s … -9 s")
        await expect(films.locator(".film-moment")).to_have_text("事发")
        order = await films.locator(".film-strip > *").evaluate_all("nodes => nodes.map((n) => n.className)")
        moment = order.index("film-moment")
        assert all("film-live" not in name for name in order[:moment])
        assert all("film-ring" not in name for name in order[moment + 2 :])
        await films.locator("img").first.evaluate("image => image.decode()")
        await films.scroll_into_view_if_needed()
        await shoot(page, "wall-filmstrip")
        await films.locator(".film-picture").nth(5).click()
        await expect(films.locator(".big-picture")).to_be_visible()
        await shoot(page, "wall-filmstrip-large")


async def test_wall_shows_a_strip_that_is_missing_as_missing_on_both_sides(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=12) as api, open_wall(api) as page:
        incident = make_pair(3, api.services.clock.now())[0]
        strip = make_filmstrip(incident, api.site.evidence_dir)
        gap = FilmstripGap(begin=strip.begin, end=strip.end, reason="busy")
        await api.alerts.commit([replace(strip, pictures=(), gaps=(gap,))])
        await page.locator(card(incident.id)).get_by_role("button", name="详情").click()
        films = page.locator("#dialog .films")
        await expect(films.locator(".film-gap")).to_have_count(2)
        order = await films.locator(".film-strip > *").evaluate_all("nodes => nodes.map((n) => n.className)")
        assert order == ["film-gap", "film-moment", "film-gap"]
        await expect(films.locator(".film-gap").first).to_contain_text("同时告警过多")
        await shoot(page, "wall-filmstrip-missing")
