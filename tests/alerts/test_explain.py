from __future__ import annotations

from pathlib import Path

import pytest

from alerts.explain import explain
from contracts import wire
from contracts.command import CommandKind
from contracts.errors import CommandRefused, StoreError
from contracts.incident import Action, Incident, Reason
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
