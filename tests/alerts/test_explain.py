from __future__ import annotations

from pathlib import Path

import pytest

from alerts.explain import _with_names, explain
from contracts import wire
from contracts.command import CommandKind, MuteMatcher
from contracts.errors import CommandRefused, StoreError
from contracts.incident import Action, Incident, Reason
from contracts.instant import HOUR, after
from contracts.ticket import Ticket
from runtime.clock import SystemClock
from tests.alerts.county import command, county
from tests.alerts.delivery.receiver import receiver
from tests.alerts.records import smoke
from tests.alerts.site_files import write_site, write_webhook

CLOCK = SystemClock()


async def test_story_tells_every_decision_move_and_delivery_with_its_reason(short_dir: Path) -> None:
    site = write_site(short_dir)
    async with receiver((404, {})) as platform, county(site, webhook=write_webhook(site, platform.url)) as here:
        await here.send(smoke(1, CLOCK.now()))
        [row] = here.rows("SELECT body FROM incidents")
        id_ = wire.decode(row["body"], Incident).id
        answer = await here.ask(
            command(CommandKind.CONFIRM, CLOCK.now(), id="c-1", target_id=id_, reason="现场核实", note="看到明火")
        )
        assert answer.accepted, answer
        await platform.got(1)
        await here.until("SELECT 1 FROM deliveries WHERE state = 'dead'")
        [row] = here.rows("SELECT body FROM incidents")
        incident = wire.decode(row["body"], Incident)
        [row] = here.rows("SELECT body FROM tickets")
        ticket = wire.decode(row["body"], Ticket)

    story = explain(site.database_file, id_)
    assert story.startswith(f"告警 (incident) {id_}")
    assert incident.decisions
    for decision in incident.decisions:
        assert f"({decision.reason.value})" in story
        assert decision.text in story
    assert ticket.case_number in story
    assert "新建 → 10 待受理" in story
    assert "死信" in story
    assert "404" in story
    assert story == explain(site.database_file, ticket.id) == explain(site.database_file, ticket.case_number)


async def test_story_names_sources_and_tells_claim_mute_and_false_alarm_in_words(short_dir: Path) -> None:
    site = write_site(short_dir)
    async with county(site) as here:
        mute = command(
            CommandKind.MUTE,
            CLOCK.now(),
            id="m-1",
            reason="检修",
            until=after(CLOCK.now(), HOUR),
            matcher=MuteMatcher(type="fire.smoke_sensor", source_id="S-00001"),
        )
        assert (await here.ask(mute)).accepted
        await here.send(smoke(1, CLOCK.now()))
        [row] = here.rows("SELECT id FROM incidents")
        claim = command(CommandKind.ACKNOWLEDGE, CLOCK.now(), id="c-1", target_id=row["id"])
        assert (await here.ask(claim)).accepted
        wrong = command(CommandKind.FALSE_ALARM, CLOCK.now(), id="c-2", target_id=row["id"], reason="light")
        assert (await here.ask(wrong)).accepted

    story = explain(site.database_file, row["id"])
    assert "来源 烟感1 (S-00001); 观测 1 条" in story
    assert "来源 烟感1 报告, 报警" in story
    assert "检修" in story
    assert "张三 认领" in story
    assert "认领 u-1" in story
    assert "张三 判为误报: 灯光、反光或阴影" in story


def test_only_whole_ids_become_names() -> None:
    names = {"S-1": "东门", "S-10": "西门"}
    assert _with_names("来源 S-1, (S-10) 与 S-100 报警, S-1-2", names) == "来源 东门, (西门) 与 S-100 报警, S-1-2"
    assert _with_names("来源 S-1", {}) == "来源 S-1"


async def test_unknown_incident_is_refused_with_what_to_give_instead(short_dir: Path) -> None:
    site = write_site(short_dir)
    with pytest.raises(StoreError, match="no such database"):
        explain(site.database_file, "inc-1")
    async with county(site):
        pass
    with pytest.raises(CommandRefused, match="inc-1"):
        explain(site.database_file, "inc-1")


def test_every_action_has_a_word() -> None:
    from alerts.explain import _ACTIONS, _DELIVERIES, _STATES
    from contracts.delivery import DeliveryState
    from contracts.incident import IncidentState

    assert set(_ACTIONS) == set(Action)
    assert set(_STATES) == set(IncidentState)
    assert set(_DELIVERIES) == set(DeliveryState)
    assert Reason("muted") is Reason.MUTED
