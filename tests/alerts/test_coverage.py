"""What processes tell of the last minute, and of storms: the newest is stored, and it never grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from alerts.store import storms, tables
from alerts.store.upsert import upsert
from contracts import wire
from contracts.coverage import CameraMinute, CoverageReport, CoverageStage
from contracts.instant import SECOND, Instant
from contracts.storm import StormReport
from runtime.clock import SystemClock
from tests.alerts.county import County, county
from tests.alerts.records import SITE
from tests.alerts.site_files import write_site

CLOCK = SystemClock()


def coverage(second: int, **changes: Any) -> CoverageReport:
    """What an ingest says at that second."""
    fields: dict[str, Any] = {
        "id": f"coverage-{second}",
        "site": SITE,
        "service": "ingest-cameras",
        "instance": "ingest-0",
        "stage": CoverageStage.RECEIVED,
        "at": Instant(second * SECOND),
        "started_at": Instant(0),
        "window_s": 60.0,
        "cameras": (CameraMinute("c-1", second % 30, 1),),
    }
    return CoverageReport(**(fields | changes))


def storm(number: int, **changes: Any) -> StormReport:
    fields: dict[str, Any] = {
        "id": f"storm-{number}",
        "site": SITE,
        "instance": "ingest-0",
        "began_at": Instant(number * SECOND),
        "at": Instant((number + 3) * SECOND),
        "cameras": 100,
        "away": 100,
        "places": (("wvp-1", 100),),
        "places_away": (("wvp-1", 100),),
        "reasons": (("closed", 100),),
    }
    return StormReport(**(fields | changes))


def stored(here: County) -> dict[tuple[str, str], CoverageReport]:
    rows = here.rows("SELECT service, instance, at, body FROM coverage")
    found = {(row["service"], row["instance"]): wire.decode(row["body"], CoverageReport) for row in rows}
    assert {(row["service"], row["instance"]): row["at"] for row in rows} == {
        key: report.at for key, report in found.items()
    }
    return found


async def test_newest_report_of_each_process_takes_the_place_of_the_one_before(short_dir: Path) -> None:
    async with county(write_site(short_dir)) as here:
        analysed = coverage(15, service="inference", instance="inference-0", stage=CoverageStage.ANALYSED)
        await here.send(coverage(15), analysed)
        await here.send(coverage(30), coverage(45))
        assert stored(here) == {
            ("ingest-cameras", "ingest-0"): coverage(45),
            ("inference", "inference-0"): analysed,
        }
        await here.send(*(coverage(second) for second in range(60, 6_000, 15)))
        assert len(here.rows("SELECT 1 FROM coverage")) == 2
        assert not here.rows("SELECT 1 FROM journal"), "nothing that the engine must replay"
        assert not here.rows("SELECT 1 FROM changes WHERE kind NOT IN ('incident', 'ticket', 'source')")


async def test_report_of_another_site_is_refused(short_dir: Path) -> None:
    async with county(write_site(short_dir)) as here:
        await here.send(coverage(15, site="elsewhere"), replace(storm(1), site="elsewhere"))
        assert not stored(here)
        assert not here.rows("SELECT 1 FROM storms")
        [refusal] = here.rows("SELECT reason, total FROM refusals")
        assert refusal == {"reason": "wrong_site", "total": 2}


async def test_storm_stands_in_the_store_over_a_restart_and_is_ended_there(short_dir: Path) -> None:
    site = write_site(short_dir)
    async with county(site) as here:
        await here.send(storm(1))
    async with county(site) as here:
        [row] = here.rows("SELECT id, began_at, body FROM storms")
        assert wire.decode(row["body"], StormReport) == storm(1)
        over = storm(1, away=0, places_away=(), at=Instant(50 * SECOND), ended_at=Instant(50 * SECOND))
        await here.send(over)
        [row] = here.rows("SELECT id, at, body FROM storms")
        assert (row["at"], wire.decode(row["body"], StormReport)) == (over.at, over)


async def test_only_the_newest_storms_are_kept(short_dir: Path) -> None:
    async with county(write_site(short_dir)) as here:
        await here.send(*(storm(number) for number in range(storms.KEPT + 20)))
        rows = here.rows("SELECT id FROM storms ORDER BY began_at")
        assert len(rows) == storms.KEPT
        assert (rows[0]["id"], rows[-1]["id"]) == ("storm-20", f"storm-{storms.KEPT + 19}")


def test_both_tables_are_replaced_by_key_in_postgresql_too() -> None:
    def statement(table: Table) -> str:
        return str(upsert(table, "postgresql").compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]

    assert "ON CONFLICT (service, instance) DO UPDATE" in statement(tables.coverage)
    assert "ON CONFLICT (id) DO UPDATE" in statement(tables.storms)
