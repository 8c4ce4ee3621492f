"""One reading per message, QoS 1, acknowledged after commit, through Mosquitto: how many a second, how late?

    python -m bench.sensors [--rate N] [--seconds S] [--burst N] [--flood N] [--rate-min N] [--sensors N]
        [--json]

All real: Mosquitto with the limits of deploy/config, the sensor role and alerts as `gridwhistle run` starts them,
SQLite with fsync. Every message is one SenML pack with one reading, a smoke alarm with an id of its own, so that
each must be committed by alerts before it is acknowledged: the heaviest kind (a quiet reading claims nothing).
Three runs: a steady rate for its latency, a burst at once, and a flood that shows the sustained rate. Which
message was committed is read from the journal of alerts; when, from the change that alerts publishes after that
commit.

The last line is one JSON object: `rate_per_s` (of the flood), `p50_ms` and `p99_ms` from publish to commit at the
steady rate, `lost`, `duplicates` (alarms that the journal holds twice), `cpu_ms_per_message` by process. The
status is 1 when anything was lost or came twice, or `rate_per_s` is below `--rate-min`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from alerts.core.batch import Batch
from contracts import topics, wire
from contracts.instant import MS, SECOND, Instant
from contracts.source import HealthReport, Sensor
from runtime.clock import SystemClock
from runtime.site import PathsConfig, Site, SiteConfig
from runtime.zmq_request import ZmqChangeSubscriber
from sim.alarm_drill import MOSQUITTO, broker, drill_stack, smoke_county
from sim.mqtt_load import LoadPublisher
from sim.sensors import senml, sensor_topic
from sim.stack import ROOT, Stack, free_port

CHUNK = 50
SETTLE_S = 60.0
RATE_MIN = 3_000.0
"""The ten thousand sensors of a county, each of them every 3 s."""
_HZ = os.sysconf("SC_CLK_TCK")


@dataclass
class Books:
    """What was published, and what alerts committed: `journal` rows as (now, input), `heard` the changes."""

    sent: dict[str, Instant] = field(default_factory=dict)
    journal: list[tuple[int, bytes]] = field(default_factory=list)
    first_change: dict[int, int] = field(default_factory=dict)
    heard: dict[int, Instant] = field(default_factory=dict)

    def commits(self) -> tuple[dict[str, Instant], int]:
        """When each alarm was first committed, and how many the journal holds more than once."""
        seqs = sorted(self.heard)
        found: dict[str, Instant] = {}
        twice = 0
        for now, row in self.journal:
            seq = self.first_change.get(now)
            at = self.heard.get(seq) if seq is not None else None
            if at is None:
                # Nothing changed in this step, or the change was not heard: the next one that was is no earlier.
                later = [each for each in seqs if seq is not None and each >= seq]
                at = self.heard[later[0]] if later else Instant(now)
            for observation in wire.decode(row, Batch).observations:
                if observation.external_id is None:
                    continue
                twice += observation.external_id in found
                found.setdefault(observation.external_id, at)
        return found, twice


class Watch:
    """Reads along: changes as they are published, journal rows before they are pruned."""

    def __init__(self, site: Site, books: Books) -> None:
        self._clock = SystemClock()
        self._site = site
        self._books = books
        self._step = self._seq = 0
        self.committed = 0
        self._tasks = [asyncio.create_task(self._hear()), asyncio.create_task(self._read())]

    async def _hear(self) -> None:
        subscriber = ZmqChangeSubscriber(self._site.endpoint(topics.CHANGES), self._clock)
        while True:
            change = await subscriber.receive(wait_s=1.0)
            if change is not None:
                self._books.heard[change[0]] = self._clock.now()

    async def _read(self) -> None:
        while True:
            rows, changes, total = await asyncio.to_thread(self._rows)
            self._books.journal += rows
            for at, seq in changes:
                self._books.first_change.setdefault(at, seq)
            self.committed += total
            await self._clock.asleep(0.2)

    def _rows(self) -> tuple[list[tuple[int, bytes]], list[tuple[int, int]], int]:
        with sqlite3.connect(f"file:{self._site.database_file}?mode=ro", uri=True) as database:
            rows = database.execute(
                "SELECT step, now, input FROM journal WHERE step > ? ORDER BY step", (self._step,)
            )
            steps = rows.fetchall()
            changes = database.execute(
                "SELECT at, min(seq), max(seq) FROM changes WHERE seq > ? GROUP BY at", (self._seq,)
            ).fetchall()
        database.close()
        self._step = max([self._step, *(step for step, _, _ in steps)])
        self._seq = max([self._seq, *(last for _, _, last in changes)])
        total = sum(len(wire.decode(row, Batch).observations) for _, _, row in steps)
        return [(now, row) for _, now, row in steps], [(at, first) for at, first, _ in changes], total

    async def until(self, total: int) -> None:
        """Wait until so many observations are committed; gives up when nothing moves for a minute."""
        last, since_ns = self.committed, self._clock.monotonic_ns()
        while self.committed < total:
            await self._clock.asleep(0.05)
            if self.committed != last:
                last, since_ns = self.committed, self._clock.monotonic_ns()
            elif self._clock.monotonic_ns() - since_ns > SETTLE_S * SECOND:
                return

    async def close(self) -> None:
        """Stop reading."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def publish(
    link: LoadPublisher, sensors: tuple[Sensor, ...], run: str, count: int, rate_per_s: float, books: Books
) -> None:
    """`count` alarms in turn from all sensors; `rate_per_s` 0 = as fast as the broker takes them."""
    clock = SystemClock()
    chunk = CHUNK if not rate_per_s else max(1, min(CHUNK, round(rate_per_s / 200)))
    begun_ns = clock.monotonic_ns()
    for first in range(0, count, chunk):
        if rate_per_s:
            ahead_s = first / rate_per_s - (clock.monotonic_ns() - begun_ns) / SECOND
            if ahead_s > 0:
                await clock.asleep(ahead_s)
        messages = []
        for number in range(first, min(first + chunk, count)):
            sensor, alarm = sensors[number % len(sensors)], f"{run}-{number:06d}"
            books.sent[alarm] = now = clock.now()
            messages.append((sensor_topic(sensor.id), senml(sensor.id, now, alarm=True, alarm_id=alarm)))
        await link.publish(messages)
    await link.settle()


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _HZ


@dataclass
class Figures:
    """Of one run: how long from the first publish to the last commit, and each message's way."""

    name: str
    count: int
    lost: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_ms_per_message: dict[str, float]

    def line(self) -> str:
        """For people."""
        cpu = ", ".join(f"{name} {ms:.3f}" for name, ms in self.cpu_ms_per_message.items())
        return (
            f"{self.name:<7} n={self.count:<7} {self.count / self.seconds:>7.0f}/s  publish to commit p50 "
            f"{self.p50_ms:.0f} ms, p99 {self.p99_ms:.0f} ms  lost {self.lost}  CPU ms per message: {cpu}"
        )


async def one_run(
    name: str,
    link: LoadPublisher,
    sensors: tuple[Sensor, ...],
    count: int,
    rate_per_s: float,
    watch: Watch,
    books: Books,
    pids: dict[str, int],
) -> Figures:
    """Publish, wait for the commits, and work out the figures of this run alone."""
    clock = SystemClock()
    before = {each: cpu_s(pid) for each, pid in pids.items()}
    base, began = watch.committed, clock.now()
    await publish(link, sensors, name, count, rate_per_s, books)
    await watch.until(base + count)
    spent = {each: (cpu_s(pid) - before[each]) * 1000 / count for each, pid in pids.items()}
    return await asyncio.to_thread(figures, name, books, began, clock.now(), spent)


def figures(name: str, books: Books, began: Instant, now: Instant, spent: dict[str, float]) -> Figures:
    """Of the run `name` that began then: every alarm that was published and is not in the journal is lost."""
    commits, _ = books.commits()
    mine = [alarm for alarm in books.sent if alarm.startswith(name + "-")]
    arrived = [alarm for alarm in mine if alarm in commits]
    ways = [max(commits[alarm] - books.sent[alarm], 0) / MS for alarm in arrived] or [0.0]
    last = max((commits[alarm] for alarm in arrived), default=now)
    p50, p99 = np.percentile(ways, [50, 99])
    lost = len(mine) - len(arrived)
    return Figures(name, len(mine), lost, (last - began) / SECOND, float(p50), float(p99), spent)


def good(result: Mapping[str, object], rate_min: float) -> bool:
    """Nothing lost, nothing twice, and the flood sustained at `rate_min` messages a second or more."""
    return not result["lost"] and not result["duplicates"] and cast(float, result["rate_per_s"]) >= rate_min


def listening(site: Site) -> bool:
    """Whether the sensor role has told alerts that the broker took it."""
    if not site.database_file.exists():
        return False
    database = sqlite3.connect(f"file:{site.database_file}?mode=ro", uri=True)
    try:
        rows = database.execute("SELECT body FROM health WHERE service = 'ingest-sensors'").fetchall()
    except sqlite3.OperationalError:
        return False
    finally:
        database.close()
    return any(dict(wire.decode(body, HealthReport).gauges).get("broker_connected") for (body,) in rows)


def start(stack: Stack, *arguments: str) -> subprocess.Popen[bytes]:
    """One of our processes, its log in the folder of the run."""
    with stack.log_file.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "gridwhistle", *arguments, "--config", str(stack.config_file)],
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )


async def measure(folder: Path, asked: argparse.Namespace) -> dict[str, object]:
    """Start everything, run all three, and give the result; `asked.json`: no lines for people besides."""
    tell = (lambda _: None) if asked.json else print
    clock = SystemClock()
    port = free_port()
    grids, catalogue = smoke_county(asked.sensors)
    stack = drill_stack(folder, port, grids, catalogue, clock, protocol="auto")
    stack.write_config()
    site = Site(SiteConfig(id="152921"), PathsConfig(state=str(folder / "var"), models=str(folder)), folder)
    books = Books()
    async with broker(folder, port, outside=MOSQUITTO is not None) as running:
        machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        tell(f"{machine}, {running.name}, {asked.sensors} sensors, each message an alarm of its own")
        alerts, ingest = start(stack, "alerts"), start(stack, "ingest", "--sensors")
        pids = {"alerts": alerts.pid, "ingest-sensors": ingest.pid, "publisher": os.getpid()}
        if running.pid is not None:
            pids["broker"] = running.pid
        try:
            # The broker keeps messages for a session only once the session exists.
            while not await asyncio.to_thread(listening, site):
                await clock.asleep(0.2)
            watch = Watch(site, books)
            link = await LoadPublisher.connect("127.0.0.1", port)
            await publish(link, catalogue.sensors, "warm", 200, 0, books)
            await watch.until(200)
            runs = [
                await one_run(
                    "steady",
                    link,
                    catalogue.sensors,
                    round(asked.rate * asked.seconds),
                    asked.rate,
                    watch,
                    books,
                    pids,
                ),
                await one_run("burst", link, catalogue.sensors, asked.burst, 0, watch, books, pids),
                await one_run("flood", link, catalogue.sensors, asked.flood, 0, watch, books, pids),
            ]
            link.close()
            await watch.close()
        finally:
            for process in (ingest, alerts):
                process.terminate()
            for process in (ingest, alerts):
                await asyncio.to_thread(process.wait, 30)
    for each in runs:
        tell(each.line())
    _, twice = books.commits()
    steady, burst, flood = runs
    return {
        "messages": len(books.sent),
        "rate_per_s": round(flood.count / flood.seconds),
        "steady_per_s": round(steady.count / steady.seconds),
        "p50_ms": round(steady.p50_ms, 1),
        "p99_ms": round(steady.p99_ms, 1),
        "burst": burst.count,
        "burst_s": round(burst.seconds, 2),
        "lost": sum(each.lost for each in runs),
        "duplicates": twice,
        "cpu_ms_per_message": {name: round(ms, 4) for name, ms in flood.cpu_ms_per_message.items()},
    }


def main() -> int:
    """Measure and print; 1 when a message was lost or came twice, or the flood was too slow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=1000.0, help="messages a second of the steady run")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the steady run")
    parser.add_argument("--burst", type=int, default=10_000, help="messages of the burst")
    parser.add_argument("--flood", type=int, default=40_000, help="messages of the flood")
    parser.add_argument(
        "--rate-min", type=float, default=RATE_MIN, help="messages a second that the flood must reach"
    )
    parser.add_argument("--sensors", type=int, default=700)
    parser.add_argument("--json", action="store_true", help="print the JSON line alone")
    asked = parser.parse_args()
    if MOSQUITTO is None:
        print("Mosquitto is not installed (apt install mosquitto); skipped")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="gw-"))
    try:
        result = asyncio.run(measure(folder, asked))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(result))
    return 0 if good(result, asked.rate_min) else 1


if __name__ == "__main__":
    sys.exit(main())
