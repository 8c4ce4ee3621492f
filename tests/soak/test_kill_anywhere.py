"""kill -9 of each process at random points while alarms flow; nothing is lost, nothing is there twice."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from contracts import wire
from contracts.incident import Incident
from contracts.instant import SECOND
from contracts.ticket import Ticket
from runtime.clock import SystemClock
from sim.alarm_drill import MOSQUITTO, broker, drill_stack, smoke_county
from sim.mqtt_link import MqttLink
from sim.sensors import senml, sensor_topic
from sim.stack import Stack, free_port

KILLS = int(os.environ.get("GRIDWHISTLE_KILLS", "200"))
SEED = int(os.environ.get("GRIDWHISTLE_SEED", "1"))
SENSORS = 500
VICTIMS = ("alerts", "ingest-sensors", "alerts", "ingest-sensors", "inference", "ingest-cameras", "api")


async def alarms_flow(port: int, sent: list[str], stop: asyncio.Event) -> None:
    """About 40 alarms a second in bursts of random size, until stopped; `sent` holds what the broker took."""
    clock, random = SystemClock(), Random(SEED)
    link = MqttLink("127.0.0.1", port)
    link.start()
    number = 0
    while not stop.is_set():
        burst = random.randint(1, 20)
        names = [f"kill-{number + each:07d}" for each in range(burst)]
        number += burst
        pending = []
        for name in names:
            sensor = f"15292100021346{random.randrange(SENSORS) + 1:06d}"
            payload = senml(sensor, clock.now(), alarm=True, alarm_id=name)
            pending.append(link.publish(sensor_topic(sensor), payload))
        await asyncio.gather(*pending)
        sent += names
        await clock.asleep(burst / 40)
    await link.close()


def tickets_moved(database: Path) -> int:
    """The sequence number of the newest change of a ticket."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        row = connection.execute("SELECT max(seq) FROM tickets").fetchone()
        return int(row[0] or 0)
    finally:
        connection.close()


async def kills(stack: Stack) -> Counter[str]:
    """KILLS kills over the victims in turn, each at a random time while alarms become tickets.

    Between two kills tickets must have moved: everything came back by itself, and no alarm waits for longer than
    the 120 s after which a message opens nothing.
    """
    clock, random = SystemClock(), Random(SEED + 1)
    done: Counter[str] = Counter()
    last: dict[str, int] = {}
    while sum(done.values()) < KILLS:
        moved = await asyncio.to_thread(tickets_moved, stack.database)
        deadline_ns = clock.monotonic_ns() + 100 * SECOND
        while await asyncio.to_thread(tickets_moved, stack.database) <= moved:
            assert clock.monotonic_ns() < deadline_ns, f"no ticket moves after {done}:\n{stack.log_tail()}"
            await clock.asleep(0.05)
        await clock.asleep(random.uniform(0.0, 0.5))
        name = VICTIMS[sum(done.values()) % len(VICTIMS)]
        deadline_ns = clock.monotonic_ns() + 60 * SECOND
        while (pid := await asyncio.to_thread(stack.kill, name)) is None or pid == last.get(name):
            assert clock.monotonic_ns() < deadline_ns, f"{name} did not come back:\n{stack.log_tail()}"
            await clock.asleep(0.05)
        last[name] = pid
        done[name] += 1
    return done


def alarms_behind(database: Path) -> tuple[Counter[str], Counter[str]]:
    """How often each alarm id stands behind a ticket, and behind an incident."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        tickets: Counter[str] = Counter()
        for (body,) in connection.execute("SELECT body FROM tickets"):
            tickets.update(wire.decode(body, Ticket).external_ids)
        incidents: Counter[str] = Counter()
        for (body,) in connection.execute("SELECT body FROM incidents"):
            incidents.update(wire.decode(body, Incident).external_ids)
        return tickets, incidents
    finally:
        connection.close()


def refusals(stack: Stack) -> dict[str, int]:
    """What the services of this moment refused, by reason (counters begin anew with each life)."""
    found: dict[str, int] = {}
    for service in stack.get("/api/v1/health")["services"]:
        for name, total in service["counters"].items():
            if "refused" in name or "dropped" in name:
                found[f"{service['service']}/{name}"] = total
    return found


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "outside",
    [
        pytest.param(False, id="embedded-broker"),
        pytest.param(True, id="mosquitto", marks=pytest.mark.external),
    ],
)
async def test_processes_killed_at_random_points_then_every_alarm_is_behind_exactly_one_ticket(
    short_dir: Path, outside: bool
) -> None:
    if outside and MOSQUITTO is None:
        pytest.skip("Mosquitto is not installed")
    clock, port, stop = SystemClock(), free_port(), asyncio.Event()
    grids, catalogue = smoke_county(SENSORS)
    protocol = "5" if outside else "3.1.1"
    stack = drill_stack(short_dir, port, grids, catalogue, clock, protocol=protocol)
    sent: list[str] = []
    async with broker(short_dir, port, outside=outside) as running:
        await asyncio.to_thread(stack.start)
        try:
            await asyncio.to_thread(stack.wait_ready, 120)
            # The broker keeps messages for a session only once the session exists.
            await asyncio.to_thread(stack.wait_gauge, "ingest-sensors", "broker_connected", 1.0, 60)
            flow = asyncio.create_task(alarms_flow(port, sent, stop))
            done = await kills(stack)
            stop.set()
            await flow
            tickets: Counter[str] = Counter()
            incidents: Counter[str] = Counter()
            for _ in range(240):
                tickets, incidents = await asyncio.to_thread(alarms_behind, stack.database)
                if set(tickets) >= set(sent):
                    break
                await clock.asleep(0.5)
            await asyncio.to_thread(stack.wait_ready, 60)
            print(f"refused: {refusals(stack)}")
        finally:
            await asyncio.to_thread(stack.stop)
    twice = [alarm for alarm, times in tickets.items() if times > 1]
    print(
        f"{running.name}; kills {dict(done)}; "
        f"alarms sent {len(sent)}, behind tickets {len(tickets)}, twice {len(twice)}"
    )
    assert sum(done.values()) == KILLS
    assert sorted(set(sent) - set(tickets)) == [], "lost"
    assert sorted(set(tickets) - set(sent)) == [], "from nowhere"
    assert twice == []
    assert incidents == tickets
