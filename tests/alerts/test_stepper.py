from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from alerts.core.batch import Batch
from alerts.core.effects import Effect
from alerts.core.engine import Engine
from alerts.service import run
from contracts.command import CommandKind
from contracts.instant import Instant
from runtime.clock import SystemClock
from tests.alerts.county import CONFIG, command, county, external_ids_behind_tickets, open_links
from tests.alerts.records import smoke
from tests.alerts.site_files import write_site

CLOCK = SystemClock()
POISON = "S-66666"


@pytest.fixture
def defect(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect of the rules: they fail, half done, on everything that one sensor says and on one command."""
    step = Engine.step

    def faulty(self: Engine, batch: Batch, now: Instant) -> list[Effect]:
        effects = step(self, batch, now)
        if any(observation.source_id == POISON for observation in batch.observations):
            raise ZeroDivisionError("a defect")
        if any(each.target_id == POISON for each in batch.commands):
            raise KeyError("another defect")
        return effects

    monkeypatch.setattr(Engine, "step", faulty)


@pytest.mark.usefixtures("defect")
async def test_message_on_which_the_rules_fail_is_refused_and_its_neighbours_live(short_dir: Path) -> None:
    async with county(write_site(short_dir)) as here:
        await here.send(smoke(1, CLOCK.now()))
        await here.send(smoke(2, CLOCK.now()), smoke(9, CLOCK.now(), source=POISON), smoke(3, CLOCK.now()))
        await here.send(smoke(4, CLOCK.now()))
        assert external_ids_behind_tickets(here.site.database_file) == [f"alarm-{n}" for n in (1, 2, 3, 4)]
        [refusal] = here.rows("SELECT * FROM refusals")
        assert (refusal["reason"], refusal["source_id"], refusal["total"]) == ("bug", POISON, 1)
        assert "ZeroDivisionError" in refusal["last_text"]


@pytest.mark.usefixtures("defect")
async def test_command_on_which_the_rules_fail_is_answered_so(short_dir: Path) -> None:
    async with county(write_site(short_dir)) as here:
        bad = command(CommandKind.CONFIRM, CLOCK.now(), id="c-1", target_id=POISON)
        answer, _ = await asyncio.gather(here.ask(bad), here.send(smoke(1, CLOCK.now())))
        assert (answer.accepted, answer.reason) == (False, "bug")
        assert external_ids_behind_tickets(here.site.database_file) == ["alarm-1"]


@pytest.mark.usefixtures("defect")
async def test_command_and_message_that_wait_together_are_told_apart(short_dir: Path) -> None:
    async with county(write_site(short_dir)) as here:
        for number in range(1, 6):
            bad = command(CommandKind.CONFIRM, CLOCK.now(), id=f"c-{number}", target_id=POISON)
            asked = asyncio.create_task(here.ask(bad))
            await asyncio.gather(*(here.send(smoke(number * 10 + each, CLOCK.now())) for each in range(9)))
            answer = await asked
            assert (answer.accepted, answer.reason) == (False, "bug")
        assert len(external_ids_behind_tickets(here.site.database_file)) == 45


async def test_defect_in_what_is_due_refuses_no_alarm(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, stop = write_site(short_dir), asyncio.Event()
    step = Engine.step

    def faulty(self: Engine, batch: Batch, now: Instant) -> list[Effect]:
        step(self, batch, now)
        raise ZeroDivisionError("a timer")

    monkeypatch.setattr(Engine, "step", faulty)
    here = open_links(site, CLOCK)
    async with AsyncExitStack() as at_end:
        at_end.push_async_callback(here.close)
        failing = asyncio.create_task(run(site, CONFIG, CLOCK, stop))
        sent = asyncio.create_task(here.send(smoke(1, CLOCK.now()), timeout_s=50))
        with pytest.raises(ZeroDivisionError):
            await failing
        assert not sent.done()
        monkeypatch.setattr(Engine, "step", step)
        running = asyncio.create_task(run(site, CONFIG, CLOCK, stop))
        await sent
        assert external_ids_behind_tickets(site.database_file) == ["alarm-1"]
        assert here.rows("SELECT * FROM refusals") == []
        stop.set()
        await running
