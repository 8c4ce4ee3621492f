from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import msgspec
import pytest

from alerts import service
from alerts.config import AlertsConfig
from alerts.store import lease as leases
from alerts.store.database import Database
from contracts import topics, wire
from contracts.command import CommandKind
from contracts.errors import CommandRefused, ConfigError, LeaseLost
from contracts.grid import GridTree
from contracts.incident import Incident
from contracts.instant import HOUR, Instant, after
from contracts.observation import Observation
from contracts.place import Place
from contracts.policy import Policy
from contracts.source import Catalogue, HealthReport, SourceChange, SourceKind, SourceState
from contracts.ticket import Ticket
from runtime.clock import SystemClock
from tests.alerts import site_files
from tests.alerts.county import CONFIG, command, county, external_ids_behind_tickets, links
from tests.alerts.delivery.receiver import receiver
from tests.alerts.records import SITE, smoke
from tests.alerts.site_files import SOUTH, WEST, grid_code, write_site, write_webhook

CLOCK = SystemClock()


def alarm(number: int) -> Observation:
    """Smoke detector `number` in alarm now, each in a fire zone of its own."""
    place = Place(WEST + 0.015, SOUTH + 0.005, grid_code(1, 0), None, f"fz-{number}", f"{number}号楼")
    return smoke(number, CLOCK.now(), place=place)


async def test_smoke_message_is_a_committed_ticket_when_acknowledged_and_published_after(short_dir: Path) -> None:
    async with county(write_site(short_dir)) as here:
        last = await here.listen()
        await here.send(alarm(1))
        [row] = here.rows("SELECT * FROM tickets")
        assert row["grid_code"] == grid_code(1, 0)
        ticket = wire.decode(row["body"], Ticket)
        assert ticket.incident_id is not None
        published = await here.heard(2)
        assert {kind for _, kind, _ in published} == {"incident", "ticket"}
        assert [seq for seq, _, _ in published] == [last + 1, last + 2]
        stored = here.rows(f"SELECT seq, kind, body FROM changes WHERE seq > {last} ORDER BY seq")
        assert [(row["seq"], row["kind"], row["body"]) for row in stored] == published


async def test_same_message_again_makes_no_second_ticket(short_dir: Path) -> None:
    async with county(write_site(short_dir)) as here:
        one = alarm(1)
        await here.send(one)
        await here.send(one, one)
        assert len(here.rows("SELECT id FROM tickets")) == 1
        [refusal] = here.rows("SELECT * FROM refusals")
        assert (refusal["reason"], refusal["total"]) == ("duplicate", 2)


async def test_restart_goes_on_where_it_stopped(short_dir: Path) -> None:
    site = write_site(short_dir)
    async with county(site) as here:
        await here.send(alarm(1))
        before = here.rows("SELECT * FROM incidents")
    async with county(site) as here:
        assert here.rows("SELECT * FROM incidents") == before
        await here.send(smoke(1, CLOCK.now()), alarm(2))
        assert external_ids_behind_tickets(site.database_file) == ["alarm-1", "alarm-2"]
        assert here.rows("SELECT value FROM meta WHERE key = 'epoch'") == [{"value": "2"}]


async def test_command_is_answered_after_commit_and_the_same_when_asked_again(short_dir: Path) -> None:
    async with county(write_site(short_dir)) as here:
        await here.send(alarm(1))
        [row] = here.rows("SELECT body FROM incidents")
        incident = wire.decode(row["body"], Incident)
        asked = command(CommandKind.CONFIRM, CLOCK.now(), id="c-1", target_id=incident.id, reason="现场核实")
        first = await here.ask(asked)
        assert first.accepted, first
        assert first.sequence is not None
        [row] = here.rows("SELECT seq FROM incidents")
        assert row["seq"] <= first.sequence
        assert await here.ask(asked) == first
        assert len(here.rows("SELECT * FROM answers")) == 1


async def test_unknown_request_and_unreadable_command_are_refused_with_a_reason(short_dir: Path) -> None:
    async with county(write_site(short_dir)) as here:
        with pytest.raises(CommandRefused) as refusal:
            await here.requests.request("weather", b"", timeout_s=10)
        assert refusal.value.reason == "malformed"
        with pytest.raises(CommandRefused) as refusal:
            await here.requests.request(topics.REQUEST_COMMAND, b"\x01nonsense", timeout_s=10)
        assert refusal.value.reason == "malformed"


async def test_snapshots_of_what_the_site_was_given_are_handed_out(short_dir: Path) -> None:
    async with county(write_site(short_dir)) as here:

        async def get(name: str) -> bytes:
            return await here.requests.request(name, b"", timeout_s=10)

        catalogue = wire.decode(await get(topics.REQUEST_CATALOGUE), Catalogue)
        assert {sensor.place.grid_code for sensor in catalogue.sensors} == {grid_code(1, 0)}
        assert len(wire.decode(await get(topics.REQUEST_GRIDS), GridTree).grids) == 7
        policy = wire.decode(await get(topics.REQUEST_POLICY), Policy)
        assert here.rows("SELECT value FROM meta WHERE key = 'policy_version'") == [{"value": str(policy.version)}]


async def test_bytes_that_are_no_record_are_refused_counted_and_disturb_nothing(short_dir: Path) -> None:
    async with county(write_site(short_dir)) as here:
        await here.log.send([b"\x01\xff\xfe", b"\x09" + b"x" * 10, wire.encode(alarm(1))])
        assert len(here.rows("SELECT id FROM tickets")) == 1
        totals = {row["reason"]: row["total"] for row in here.rows("SELECT * FROM refusals")}
        assert totals == {"malformed": 1, "schema_version": 1}
        assert {row["source_id"] for row in here.rows("SELECT * FROM refusals")} == {"link:ingest-sensors"}


async def test_health_of_services_and_of_alerts_itself_is_shown(short_dir: Path) -> None:
    async with county(write_site(short_dir)) as here:
        now = CLOCK.now()
        report = HealthReport(id="h1", site=SITE, service="ingest-cameras", instance="0", at=now, started_at=now)
        await here.send(report, msgspec.structs.replace(report, site="elsewhere", instance="1"))
        shown = {(row["service"], row["instance"]) for row in here.rows("SELECT * FROM health")}
        assert shown == {("ingest-cameras", "0"), ("alerts", "0")}
        [row] = here.rows("SELECT * FROM refusals")
        assert row["reason"] == "wrong_site"


async def test_source_that_fails_is_stored_with_the_place_of_the_catalogue(short_dir: Path) -> None:
    change = SourceChange(
        id="sc-1",
        site=SITE,
        source_id=site_files.CAMERA_ID,
        kind=SourceKind.CAMERA,
        state=SourceState.STALE,
        at=CLOCK.now(),
        reason="stall",
    )
    async with county(write_site(short_dir)) as here:
        await here.send(change)
        [row] = here.rows("SELECT * FROM sources")
        stored = wire.decode(row["body"], SourceChange)
        assert stored.place is not None
        assert stored.place.grid_code == grid_code(0, 0)


async def test_ticket_reaches_the_webhook_and_its_delivery_is_shown(short_dir: Path) -> None:
    site = write_site(short_dir)
    async with receiver((500, {})) as platform:
        async with county(site, webhook=write_webhook(site, platform.url)) as here:
            await here.listen()
            await here.send(alarm(1))
            requests = await platform.got(2)
            kinds = [kind for _, kind, _ in await here.heard(5)]
            assert sorted(kinds) == ["delivery", "delivery", "delivery", "incident", "ticket"]
            [row] = here.rows("SELECT * FROM deliveries")
            assert (row["state"], row["attempts"]) == ("delivered", 2)
        assert requests[0].headers["idempotency-key"] == requests[1].headers["idempotency-key"]


async def test_second_service_stands_by_and_takes_over_when_the_first_ends(short_dir: Path) -> None:
    site = write_site(short_dir)
    stop = asyncio.Event()
    async with county(site) as here:
        await here.send(alarm(1))
        second = asyncio.create_task(service.run(site, CONFIG, CLOCK, stop))
        await here.send(alarm(2))
        assert here.rows("SELECT epoch FROM lease") == [{"epoch": 1}]
        here.stop.set()
        async with asyncio.timeout(20):
            while here.rows("SELECT epoch FROM lease") != [{"epoch": 2}]:
                await CLOCK.asleep(0.05)
    async with links(site, CLOCK) as here:
        await here.send(alarm(3))
        assert len(here.rows("SELECT id FROM tickets")) == 3
    stop.set()
    await asyncio.wait_for(second, 20)


async def test_service_whose_lease_was_taken_stops_and_writes_nothing(short_dir: Path) -> None:
    site = write_site(short_dir)
    running = asyncio.create_task(service.run(site, CONFIG, CLOCK, asyncio.Event()))
    async with links(site, CLOCK) as here:
        await here.send(alarm(1))
        thief = Database(site.database_file)
        assert leases.acquire(thief, CLOCK.now(), duration_s=15, sole=True, holder="thief") is not None
        thief.close()
        unheard = asyncio.create_task(here.send(alarm(2)))
        with pytest.raises(LeaseLost, match="thief"):
            await asyncio.wait_for(running, 20)
        assert not unheard.done()
        unheard.cancel()
        assert len(here.rows("SELECT id FROM tickets")) == 1


async def test_clock_that_is_set_back_does_not_take_time_back(short_dir: Path) -> None:
    class Jumping(SystemClock):
        back_ns = 0

        def now(self) -> Instant:
            return after(super().now(), -self.back_ns)

    clock = Jumping()
    async with county(write_site(short_dir), clock=clock) as here:
        await here.send(alarm(1))
        clock.back_ns = HOUR
        await here.send(alarm(2))
        times = [row["now"] for row in here.rows("SELECT now FROM journal ORDER BY step")]
        assert times == sorted(times)


async def test_site_without_files_does_not_start(short_dir: Path) -> None:
    site = write_site(short_dir)
    site.grids_file = None
    with pytest.raises(ConfigError, match="grids"):
        await service.run(site, CONFIG, CLOCK, asyncio.Event())


async def test_policy_that_is_no_policy_does_not_start(short_dir: Path) -> None:
    site = write_site(short_dir)
    (short_dir / "policy.toml").write_text("version = 1\nrulez = 3\n")
    with pytest.raises(ConfigError, match=r"policy\.toml"):
        await service.run(site, AlertsConfig(policy="policy.toml"), CLOCK, asyncio.Event())
    with pytest.raises(ConfigError, match=r"none\.toml"):
        await service.run(site, AlertsConfig(policy="none.toml"), CLOCK, asyncio.Event())


async def test_service_stopped_while_the_database_is_locked_ends_in_order_and_loses_nothing(
    short_dir: Path,
) -> None:
    site, stop = write_site(short_dir), asyncio.Event()
    config = msgspec.structs.replace(CONFIG, busy_timeout_s=0.05)
    running = asyncio.create_task(service.run(site, config, CLOCK, stop))
    async with links(site, CLOCK) as here:
        other = sqlite3.connect(site.database_file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(here.send(alarm(1), timeout_s=50))
        acknowledged, _ = await asyncio.wait({waiting}, timeout=1.0)
        assert not acknowledged
        stop.set()
        await running
        other.close()
        stop.clear()
        running = asyncio.create_task(service.run(site, config, CLOCK, stop))
        await waiting
        assert external_ids_behind_tickets(site.database_file) == ["alarm-1"]
        stop.set()
        await running


@pytest.mark.parametrize("exercises", [False, True])
async def test_exercise_reaches_the_platform_only_when_it_is_told_to_take_them(
    short_dir: Path, exercises: bool
) -> None:
    site = write_site(short_dir)
    async with receiver() as platform:
        webhook = msgspec.structs.replace(write_webhook(site, platform.url), exercises=exercises)
        async with county(site, webhook=webhook) as here:
            await here.send(msgspec.structs.replace(alarm(1), exercise=True), alarm(2))
            assert len(here.rows("SELECT id FROM tickets")) == 2
            deliveries = here.rows("SELECT t.exercise FROM deliveries d JOIN tickets t ON t.id = d.ticket_id")
            assert sorted(row["exercise"] for row in deliveries) == ([0, 1] if exercises else [0])
            await platform.got(len(deliveries))
