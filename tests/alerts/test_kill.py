from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from asyncio.subprocess import Process
from pathlib import Path

import pytest

from contracts import topics
from contracts.place import Place
from runtime.clock import SystemClock
from tests.alerts.county import County, external_ids_behind_tickets, open_links, rows
from tests.alerts.records import smoke
from tests.alerts.site_files import SOUTH, WEST, grid_code, write_site

ROOT = Path(__file__).resolve().parents[2]
CLOCK = SystemClock()
KILLS = int(os.environ.get("GRIDWHISTLE_KILLS", "5"))


async def start(folder: Path, point: int) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.alerts.doomed_service",
        str(folder),
        str(point),
        cwd=ROOT,
        env=dict(os.environ),
    )


async def alarm(here: County, number: int) -> None:
    """A smoke detector's alarm, sent until it is acknowledged, by a producer that never dies."""
    place = Place(WEST + 0.015, SOUTH + 0.005, grid_code(1, 0), None, f"fz-{number}", "")
    await here.send(smoke(number, CLOCK.now(), place=place), timeout_s=50)


async def survive(folder: Path, points: list[int], alarms_each: int) -> list[str]:
    """Kill the service at each of `points` while alarms flow, then let it live; returns the alarms' ids."""
    site = write_site(folder)
    here = open_links(site, CLOCK)
    sent: list[asyncio.Task[None]] = []
    try:
        for point in points:
            process = await start(folder, point)
            dead = asyncio.create_task(process.wait())
            first = len(sent)
            for number in range(first, first + alarms_each):
                sent.append(asyncio.create_task(alarm(here, number)))
                await CLOCK.asleep(0.01)
            await asyncio.wait({dead, *sent[-1:]}, timeout=20, return_when=asyncio.FIRST_COMPLETED)
            if not dead.done():
                process.kill()
            assert await dead == -signal.SIGKILL
        process = await start(folder, 0)
        await here.requests.request(topics.REQUEST_GRIDS, b"", timeout_s=30)
        await asyncio.gather(*sent)
        process.terminate()
        assert await process.wait() == 0
    finally:
        await here.close()
    return sorted(f"alarm-{number}" for number in range(len(sent)))


@pytest.mark.slow
@pytest.mark.timeout(120 + 10 * KILLS)
async def test_service_killed_inside_steps_loses_no_alarm_and_doubles_none(short_dir: Path) -> None:
    seed = int(os.environ.get("GRIDWHISTLE_KILL_SEED", "20261122"))
    print(f"seed {seed}")
    points = [random.Random(f"{seed}:{number}").randint(30, 150) for number in range(KILLS)]
    wanted = await survive(short_dir, points, alarms_each=12)
    database = short_dir / "var" / "gridwhistle.sqlite"
    assert external_ids_behind_tickets(database) == wanted
    keys = [row["idempotency_key"] for row in rows(database, "SELECT idempotency_key FROM tickets")]
    assert len(keys) == len(set(keys))
    numbers = [row["case_number"] for row in rows(database, "SELECT case_number FROM tickets")]
    assert len(numbers) == len(set(numbers))
    seqs = [row["seq"] for row in rows(database, "SELECT seq FROM changes ORDER BY seq")]
    assert seqs == list(range(1, len(seqs) + 1))
    steps = [row["step"] for row in rows(database, "SELECT step FROM journal ORDER BY step")]
    assert steps == list(range(steps[0], steps[0] + len(steps)))
