"""The wall as a new operator meets it, in a real browser."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace
from playwright.async_api import Page, expect

from contracts.command import CommandKind
from contracts.incident import Action, Decision, Incident, IncidentState, Reason
from contracts.observation import IncidentType
from contracts.ticket import TicketEvent, TicketState
from tests.dashboard_api.county_records import make_pair
from tests.dashboard_api.running_api import RunningApi, running_api
from tests.dashboard_api.wall_browser import IN_A_BROWSER, card, open_wall, shoot, until_commands

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
            await expect(page.locator("#dialog")).to_be_visible()
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


async def mute_on_the_page(page: Page, incident: Incident, reason: str) -> None:
    await page.locator(card(incident.id)).get_by_role("button", name="静音").click()
    await page.fill("#mute-reason", reason)
    await page.locator("#dialog .act-confirm").click()


async def test_mute_leaves_its_trace_on_the_cards_it_covers_until_it_is_ended(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=12) as api, open_wall(api) as page:
        now = api.services.clock.now()
        covered, other = make_pair(3, now)[0], make_pair(9, now)[0]
        await mute_on_the_page(page, covered, "设备检修")
        badge = page.locator(card(covered.id)).get_by_text("已静音至")
        await expect(badge).to_be_visible()
        await expect(page.locator(card(covered.id)).get_by_role("button", name="静音")).to_be_disabled()
        await expect(page.locator(card(other.id)).get_by_text("已静音至")).to_be_hidden()
        # The seeded one and this one.
        await expect(page.locator("#mutes")).to_have_text("静音中 2")
        await page.reload()
        await expect(badge).to_be_visible()
        await page.click("#mutes")
        row = page.locator("#dialog .mute").filter(has_text="感烟报警")
        await expect(row).to_contain_text("设备检修 · 本机值班员")
        await shoot(page, "wall-mutes")
        await row.get_by_role("button", name="取消静音").click()
        await until_commands(api, 2)
        assert api.alerts.commands[1].kind == CommandKind.UNMUTE
        await expect(page.locator("#dialog .mute")).to_have_count(1)
        await page.keyboard.press("Escape")
        await expect(badge).to_be_hidden()
        await expect(page.locator("#mutes")).to_have_text("静音中 1")


async def test_false_alarm_asks_for_a_reason_and_stays_told_while_the_list_is_held(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=6) as api, open_wall(api) as page:
        incident = make_pair(3, api.services.clock.now())[0]
        judged = page.locator(card(incident.id))
        await judged.get_by_role("button", name="误报").click()
        act = page.locator("#dialog .act-confirm")
        await expect(act).to_be_disabled()
        assert await page.locator("#dialog input:checked").count() == 0
        await page.get_by_label("设备测试").check()
        await judged.evaluate("node => node.dispatchEvent(new PointerEvent('pointerdown', { bubbles: true }))")
        await page.locator("#alerts").dispatch_event("pointerenter", {"pointerType": "mouse"})
        await act.click()
        await expect(judged).to_contain_text("已判误报")
        await expect(judged.locator(".suspicion")).to_be_hidden()
        await expect(judged.locator(".review")).to_have_text("")
        for name in ("属实", "误报", "认领", "静音"):
            await expect(judged.get_by_role("button", name=name)).to_be_hidden()
        await expect(judged.get_by_role("button", name="详情")).to_be_enabled()
        await shoot(page, "wall-judged")


def born_as_smoke(api: RunningApi) -> Incident:
    return make_pair(3, api.services.clock.now())[0]


async def test_card_takes_the_name_that_its_ticket_has(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=6) as api, open_wall(api) as page:
        born = born_as_smoke(api)
        await expect(page.locator(card(born.id)).locator(".type")).to_have_text("感烟报警")
        await api.alerts.commit([replace(born, code="23003", state=IncidentState.CONFIRMED, suspected=False)])
        await expect(page.locator(card(born.id)).locator(".type")).to_have_text("火灾(已确认)")


async def test_fail_safe_is_told_as_passed_on_and_still_suspected(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=6) as api, open_wall(api) as page:
        born = born_as_smoke(api)
        decision = Decision(at=born.opened_at, action=Action.CONFIRM, reason=Reason.REVIEW_TIMEOUT_FAIL_SAFE)
        await api.alerts.commit(
            [replace(born, state=IncidentState.CONFIRMED, unreviewed=True, decisions=(decision,))]
        )
        await expect(page.locator(card(born.id)).locator(".badge-warn").first).to_have_text(
            "超时自动转派, 仍为疑似"
        )
        await expect(page.locator(card(born.id)).locator(".reason")).to_have_text("超时自动转派, 仍为疑似")
        await expect(page.locator(card(born.id)).get_by_role("button", name="属实")).to_be_enabled()


async def test_moves_of_a_ticket_are_told_in_words(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=6) as api, open_wall(api) as page:
        ticket = make_pair(3, api.services.clock.now())[1]
        moves = (
            ("T01", "", TicketState.REPORTED, "system", ""),
            ("T03", TicketState.REPORTED, TicketState.ACCEPTED, "local-operator", ""),
            ("LEVEL", TicketState.ACCEPTED, TicketState.ACCEPTED, "system", "ORANGE/P2 -> RED/P1"),
        )
        api.store.put_events(
            [
                TicketEvent(
                    ticket_id=ticket.id,
                    seq=seq,
                    prev_hash="",
                    hash=str(seq),
                    actor=actor,
                    role="system",
                    transition=transition,
                    from_state=before,
                    to_state=after,
                    at=ticket.opened_at,
                    reason=reason,
                )
                for seq, (transition, before, after, actor, reason) in enumerate(moves, 1)
            ]
        )
        await page.locator(f'.ticket[data-id="{ticket.id}"]').click()
        dialog = page.locator("#dialog")
        await expect(dialog.locator("li").nth(0)).to_contain_text("T01 上报 · 待受理系统")
        await expect(dialog.locator("li").nth(1)).to_contain_text("T03 受理 · 待受理 → 待立案本机值班员")
        await expect(dialog.locator("li").nth(2)).to_contain_text("系统 · 内部告警等级 橙/P2 → 红/P1")
        await shoot(page, "wall-moves")
        await page.keyboard.press("Escape")
        await page.click("#language")
        await page.locator(f'.ticket[data-id="{ticket.id}"]').click()
        await expect(dialog).to_contain_text("Internal alert level orange/P2 → red/P1")
        await expect(dialog).to_contain_text("T03 accepted · reported → accepted")


async def test_owner_is_named_and_the_buttons_stay_in_one_line(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=6) as api, open_wall(api, width=1366) as page:
        taken = page.locator(card(born_as_smoke(api).id))
        await taken.get_by_role("button", name="认领").click()
        await expect(taken.locator(".facts")).to_contain_text("认领人本机值班员")
        await expect(taken).not_to_contain_text("local-operator")
        await expect(taken.get_by_role("button", name="已认领")).to_be_disabled()
        tops = {
            round(box["y"])
            for each in await taken.locator(".acts .act").all()
            if (box := await each.bounding_box())
        }
        assert len(tops) == 1


async def test_measured_values_are_told_as_people_say_them(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=12) as api, open_wall(api) as page:
        now = api.services.clock.now()
        smoke, crowd = make_pair(3, now)[0], api.store.incident(make_pair(0, now)[0].id)
        assert crowd is not None
        heat = replace(make_pair(9, now)[0], type=IncidentType.HEAT, value=71.0, unit="Cel")
        falling = replace(crowd, count=40, density=1.5, peak_count=80, peak_density=3.1)
        await api.alerts.commit([replace(smoke, value=1.0), heat, falling])
        facts = page.locator(card(smoke.id)).locator(".facts")
        await expect(facts).to_contain_text("实测报警")
        await expect(page.locator(card(heat.id)).locator(".facts")).to_contain_text("实测71 °C")
        await expect(page.locator(card(crowd.id)).locator(".facts")).to_contain_text(
            "40 ± 4 人 · 1.5 人/m² (峰值 80 人 · 3.1 人/m²)"
        )
        await api.alerts.commit([replace(falling, count=80, density=3.1)])
        await expect(page.locator(card(crowd.id)).locator(".facts")).not_to_contain_text("峰值")


async def test_sources_that_were_not_heard_of_yet_leave_the_bar_grey(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=1) as api, open_wall(api) as page:
        sensors = page.locator("#coverage .coverage-row").nth(1)
        await expect(sensors).to_contain_text("10 个尚未上报")
        share = "((bar) => bar.querySelector('.state-unreported').offsetWidth / bar.offsetWidth)"
        bar = "document.querySelectorAll('#coverage .bar')[1]"
        assert 0.06 < await page.evaluate(f"{share}({bar})") < 0.11
        names = page.locator("#health-services .service")
        # The health line is asked for apart from the sources, so it may come after them.
        await expect(names).to_have_count(4)
        assert [text.strip() for text in await names.all_text_contents()] == [
            "告警",
            "推理",
            "视频接入",
            "传感接入",
        ]
        await page.click("#language")
        await expect(names.nth(2)).to_have_text("video intake")


async def test_details_tell_facts_and_decisions_before_pictures(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=6) as api, open_wall(api) as page:
        seen = make_pair(4, api.services.clock.now())[0]
        await page.locator(card(seen.id)).locator(".frame").click()
        await expect(page.locator("#dialog .thumb time")).to_have_count(1)
        tops = []
        for part in (".facts-wide", ".steps", ".strip"):
            box = await page.locator(f"#dialog {part}").bounding_box()
            assert box is not None
            tops.append(box["y"])
        assert tops == sorted(tops)
        await expect(page.locator("#dialog .big-picture")).to_be_hidden()
        await page.wait_for_function("document.querySelector('#dialog .thumb img').naturalWidth === 640")
        await shoot(page, "wall-details")
        await page.locator("#dialog .thumb").click()
        await expect(page.locator("#dialog .big-picture")).to_be_visible()


async def test_tally_counts_what_is_real_and_the_banner_its_drill(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=6) as api, open_wall(api) as page:
        red = page.locator('.tally-chip[class*="level-4"] b')
        await expect(red).to_have_text("1")
        drill = [make_pair(number, api.services.clock.now(), exercise=True)[0] for number in (10, 16)]
        await api.alerts.commit(drill)
        await expect(page.locator("#drill-tally")).to_have_text("演练告警 红 2")
        await expect(red).to_have_text("1")
        await page.reload()
        await expect(page.locator("#drill-tally")).to_have_text("演练告警 红 2")
        await expect(red).to_have_text("1")
