from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alerts.core.engine import Engine
from alerts.given import load_policy
from alerts.replay import Record, drive, replay_journal, stored_records, would_be_tickets
from contracts import wire
from contracts.command import CommandKind
from contracts.errors import MalformedMessage
from contracts.incident import Incident
from contracts.instant import MINUTE
from contracts.observation import IncidentType, Phase
from contracts.policy import Policy
from contracts.source import HealthReport
from runtime.clock import SystemClock
from tests.alerts.county import CONFIG, command, county
from tests.alerts.records import COUNTY, SITE, at, smoke
from tests.alerts.site_files import write_site

CLOCK = SystemClock()
POLICY_FILE = Path(__file__).resolve().parents[2] / "alerts" / "policy" / "default.toml"


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(POLICY_FILE)


async def test_journal_of_a_live_service_replays_to_exactly_what_is_stored(short_dir: Path) -> None:
    site = write_site(short_dir)
    for life in range(2):
        async with county(site) as here:
            for number in range(5 * life, 5 * life + 5):
                await here.send(smoke(number, CLOCK.now()))
            [row, *_] = here.rows("SELECT body FROM incidents ORDER BY seq DESC")
            id_ = wire.decode(row["body"], Incident).id
            await here.ask(command(CommandKind.CONFIRM, CLOCK.now(), id=f"c-{life}", target_id=id_, reason="核实"))
    report = replay_journal(site.database_file, site.id, site.county)
    assert report.steps >= 5
    assert report.outcome.incidents
    assert report.equal, report.text()
    assert "equal to what is stored" in report.text()


async def test_journal_behind_snapshots_replays_equal_too(short_dir: Path) -> None:
    site = write_site(short_dir)
    async with county(site, msgspec.structs.replace(CONFIG, snapshot_steps=2)) as here:
        for number in range(1, 10):
            await here.send(smoke(number, CLOCK.now()))
        assert len(here.rows("SELECT step FROM snapshots")) == 2
        assert here.rows("SELECT min(step) AS step FROM journal") != [{"step": 1}]
    report = replay_journal(site.database_file, site.id, site.county)
    assert report.equal, report.text()


async def test_replay_under_other_rules_names_the_tickets_that_would_go(short_dir: Path, policy: Policy) -> None:
    site = write_site(short_dir)
    async with county(site) as here:
        await here.send(smoke(1, CLOCK.now()))
        [ticket] = here.rows("SELECT id FROM tickets")
    without = tuple(
        msgspec.structs.replace(rule, auto=False, fail_safe=False, confidence_min=1.1)
        if rule.type is IncidentType.SMOKE_SENSOR
        else rule
        for rule in policy.rules
    )
    report = replay_journal(
        site.database_file, site.id, site.county, msgspec.structs.replace(policy, rules=without)
    )
    assert report.missing == (ticket["id"],)
    assert not report.equal


def test_would_be_tickets_are_those_that_live_would_have_opened(policy: Policy) -> None:
    records: list[Record] = [smoke(1, at(0)), smoke(1, at(1)), smoke(2, at(600), place=smoke(1).place)]
    tickets = would_be_tickets(records, SITE, COUNTY, policy)
    assert tickets
    assert tickets == would_be_tickets(records, SITE, COUNTY, policy)
    assert {ticket.type for ticket in tickets} <= {"fire.smoke_sensor", "fire.confirmed"}


def test_nothing_gives_no_tickets(policy: Policy) -> None:
    assert would_be_tickets([], SITE, COUNTY, policy) == []


def test_time_passes_between_and_behind_the_records(policy: Policy) -> None:
    engine = Engine(SITE, COUNTY, policy)
    flame = msgspec.structs.replace(
        smoke(1, at(0)), type=IncidentType.FLAME_SUSPECTED, phase=Phase.ACTIVE, samples=10, span_ns=MINUTE
    )
    steps = list(drive(engine, [flame, smoke(9, at(3600))]))
    assert len(steps) > 2, "reviews that nobody made fall due on their own"


def store(file: Path, records: Sequence[msgspec.Struct]) -> Path:
    pq.write_table(pa.table({"record": [wire.encode(record) for record in records]}), file)
    return file


def test_stored_observations_come_back_in_order(tmp_path: Path) -> None:
    records = [smoke(number, at(number)) for number in range(5)]
    assert list(stored_records(store(tmp_path / "o.parquet", records))) == records


def test_file_with_other_records_is_refused(tmp_path: Path) -> None:
    report = HealthReport(id="h", site=SITE, service="s", instance="0", at=at(0), started_at=at(0))
    with pytest.raises(MalformedMessage, match="HealthReport"):
        list(stored_records(store(tmp_path / "o.parquet", [report])))
