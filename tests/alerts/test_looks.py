"""An alarm of sensors alone asks the cameras that see the place, and their answers stand in the incident."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from alerts.config import AlertsConfig, FilmstripConfig, LookConfig
from alerts.core.effects import IncidentChanged
from alerts.looks import LookDesk
from alerts.witnesses import Witnesses
from contracts import topics, wire
from contracts.command import Command, CommandAnswer, CommandKind
from contracts.control import LookAnswer, LookOutcome, LookRequest
from contracts.errors import CommandRefused
from contracts.incident import Action, Incident, Reason
from contracts.observation import IncidentType
from contracts.source import Camera
from runtime.clock import SimClock, SystemClock
from runtime.metrics import StageCounters
from runtime.site import Site
from runtime.zmq_request import ZmqRequestServer
from tests.alerts.county import CONFIG, County, command, county
from tests.alerts.records import SITE, incident
from tests.alerts.site_files import CAMERA_ID
from tests.alerts.test_filmstrips import alarm, camera, north, site_with_camera

CLOCK = SystemClock()


class Inference:
    """The asked side: every camera answers as told."""

    def __init__(self, site: Site) -> None:
        self.asked: list[LookRequest] = []
        self.answer: dict[str, Any] = {"outcome": LookOutcome.NOTHING}
        self._server = ZmqRequestServer(site.endpoint(topics.CONTROL_INFERENCE), CLOCK)
        self._task = asyncio.create_task(self._server.serve(self._answer))

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _answer(self, kind: str, body: bytes) -> bytes:
        if kind != topics.REQUEST_LOOK:
            raise CommandRefused("no strips here", reason="evidence_off")
        wish = wire.decode(body, LookRequest)
        self.asked.append(wish)
        return wire.encode(LookAnswer(id=wish.id, source_id=wish.source_id, **self.answer))


@asynccontextmanager
async def inference(site: Site) -> AsyncIterator[Inference]:
    made = Inference(site)
    try:
        yield made
    finally:
        await made.close()


def config(**changes: Any) -> AlertsConfig:
    return replace(CONFIG, look=replace(LookConfig(), **changes), filmstrip=FilmstripConfig(cameras_max=0))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await CLOCK.asleep(0.02)


def notes(here: County) -> list[tuple[str, str]]:
    """(action, text) of what was noted, of all incidents."""
    rows = here.rows("SELECT body FROM incidents")
    decisions = [each for row in rows for each in wire.decode(row["body"], Incident).decisions]
    return [(each.action, each.text) for each in decisions if each.reason is Reason.LOOKED_AT]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            {
                "outcome": LookOutcome.SEEN,
                "counts": (("fire", 1), ("smoke", 2)),
                "confidence": (("fire", 0.834), ("smoke", 0.6)),
            },
            "广场东 看到目标: 明火 1 (置信度 0.83), 烟雾 2 (置信度 0.60)",
        ),
        ({"outcome": LookOutcome.NOTHING}, "广场东 未见目标"),
        ({"outcome": LookOutcome.BLIND, "reason": "covered"}, "广场东 看不清: 画面被遮挡"),
        ({"outcome": LookOutcome.UNANSWERED, "reason": "late"}, "广场东 未能查看: 限时内没有新画面"),
        ({"outcome": LookOutcome.UNANSWERED, "reason": "new_code"}, "广场东 未能查看: new_code"),
    ],
)
async def test_smoke_alarm_beside_a_camera_then_what_it_sees_stands_in_the_incident_and_decides_nothing(
    short_dir: Path, answer: dict[str, Any], said: str
) -> None:
    site = site_with_camera(short_dir)
    async with inference(site) as asked, county(site, config()) as here:
        asked.answer = answer
        await here.send(alarm(1))
        [before] = [wire.decode(row["body"], Incident) for row in here.rows("SELECT body FROM incidents")]
        await until(lambda: bool(notes(here)))
        await here.send(alarm(1))
        [after] = [wire.decode(row["body"], Incident) for row in here.rows("SELECT body FROM incidents")]
        assert notes(here) == [(Action.NONE, said)]
    [wish] = asked.asked
    assert (wish.source_id, wish.kind) == (CAMERA_ID, IncidentType.SMOKE_SENSOR)
    assert (after.state, after.level, after.suspected) == (before.state, before.level, before.suspected)
    assert after.source_ids == before.source_ids, "a look is no second source"


async def test_nobody_answers_then_the_alarm_stands_and_nothing_is_noted(short_dir: Path) -> None:
    site = site_with_camera(short_dir)
    async with county(site, config(within_s=0.1)) as here:
        await here.send(alarm(1))
        await CLOCK.asleep(2.5)
        assert len(here.rows("SELECT * FROM tickets")) == 1
        assert notes(here) == []


async def test_person_may_not_write_in_the_name_of_a_camera(short_dir: Path) -> None:
    site = site_with_camera(short_dir)
    async with county(site, config(cameras_max=0)) as here:
        await here.send(alarm(1))
        [row] = here.rows("SELECT id FROM incidents")
        answer = await here.ask(
            command(CommandKind.NOTE, CLOCK.now(), id="note-0001", target_id=row["id"], note="没有火")
        )
        assert (answer.accepted, answer.reason) == (False, "role")
        assert notes(here) == []


class Engine:
    def __init__(self) -> None:
        self.noted: list[Command] = []

    async def obey(self, note: Command) -> CommandAnswer:
        self.noted.append(note)
        return CommandAnswer(command_id=note.id, accepted=False, reason="unknown_target")


class Answering:
    """A client whose other side sees nothing, and counts who asks at once."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.within_s: list[float] = []
        self.most = self._now = 0

    async def request(self, kind: str, body: bytes, *, timeout_s: float) -> bytes:
        wish = wire.decode(body, LookRequest)
        self.asked.append(wish.source_id)
        self.within_s.append(wish.within_s)
        assert timeout_s > wish.within_s
        self._now += 1
        self.most = max(self.most, self._now)
        await CLOCK.asleep(0.01)
        self._now -= 1
        return wire.encode(LookAnswer(id=wish.id, source_id=wish.source_id, outcome=LookOutcome.NOTHING))

    async def close(self) -> None:
        pass


async def asked_for(*cameras: Camera, of: list[Incident], **changes: Any) -> tuple[Answering, StageCounters]:
    counters, client, engine = StageCounters("alerts"), Answering(), Engine()
    desk = LookDesk(SITE, replace(LookConfig(), **changes), Witnesses(cameras), SimClock(), counters, engine.obey)
    desk.committed([IncidentChanged(each) for each in of])
    asking = asyncio.create_task(desk.ask_forever(client))
    await CLOCK.asleep(0.5)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    return client, counters


async def test_only_what_a_picture_can_show_and_no_camera_claims_is_looked_at_and_once() -> None:
    own = replace(incident(2), source_ids=("S-1", "a"))
    gas = replace(incident(3), type=IncidentType.GAS_CO)
    again = replace(incident(1), version=5)
    client, _ = await asked_for(camera("a"), camera("far", north(200)), of=[incident(1), again, own, gas])
    assert client.asked == ["a"]


async def test_camera_of_rare_key_pictures_is_given_the_time_to_its_next_one() -> None:
    client, _ = await asked_for(replace(camera("a"), key_interval_s=12.0), of=[incident(1)])
    assert client.within_s == [18.0]


async def test_storm_of_alarms_then_few_at_once_and_those_beyond_the_bound_are_counted() -> None:
    storm = [incident(number) for number in range(1, 30)]
    client, counters = await asked_for(camera("a"), of=storm, waiting_max=8)
    assert len(client.asked) == 8
    assert client.most == LookConfig().at_once
    report = counters.report(SITE, "0", CLOCK.now(), CLOCK.now())
    told = dict(report.counters)
    assert told["looks_not_asked:busy"] == 21
    assert told["looks:nothing"] == told["looks_not_noted:unknown_target"] == 8
