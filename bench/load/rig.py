"""The rig of the ingest measurements: load server, worker and consumer, each a process of its own; we are alerts.

The worker is the very command that `gridwhistle run` starts (`gridwhistle ingest`), with everything on.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from msgspec import structs

from bench.load.addresses import server_template, stream_url
from bench.load.clips import ClipName
from bench.load.consumer import AskSeen, Seen
from bench.load.control import AskSent, Done, Ready
from bench.load.ledger import I64, load_table
from bench.load.open_files import allow_open_files
from bench.load.process import ROOT, LineProcess
from bench.load.usage import Usage, usage
from contracts import topics
from contracts.errors import LinkClosed
from contracts.instant import SECOND
from contracts.place import Place
from contracts.source import Camera, SourceState
from runtime.clock import Clock, SystemClock
from runtime.site import Site
from sim.alerts_end import SITE, AlertsEnd, alerts_end, site_in
from sim.stack import toml

ARRIVING: Final = frozenset({SourceState.LIVE, SourceState.SUSPECT})
"""States in which key pictures arrive: suspect is a judgement of what they show."""
SERVICE: Final = "ingest-cameras"
_STOP_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class RigPlan:
    """What to measure. `url_template` holds `{i}`; None = our load server, on this machine, as `hosts` addresses,
    `in_pairs` as there.

    `ingest` goes over the defaults of `[ingest]`.
    """

    streams: int
    clip: ClipName = ClipName.NORMAL
    url_template: str | None = None
    hosts: int = 1
    in_pairs: bool = False
    ingest: Mapping[str, object] = field(default_factory=dict)
    begin_empty: bool = False
    """The first catalogue holds no camera: the worker's memory without any can be read first."""


@dataclass(slots=True)
class Rig:
    """The running parts. `server` is None when the streams are somebody else's."""

    plan: RigPlan
    site: Site
    end: AlertsEnd
    consumer: LineProcess
    worker_pid: int
    template: str
    folder: Path
    clock: Clock
    server: LineProcess | None = None
    ready: Ready | None = None

    def arriving(self) -> int:
        """Cameras from which pictures arrive now."""
        return sum(change.state in ARRIVING for change in self.end.sources.values())

    def publish(self, numbers: Iterable[int]) -> None:
        """Put a newer catalogue in force, with exactly these cameras; the worker finds it at its next look."""
        catalogue = self.end.catalogue
        listed = cameras(numbers, self.template, self.plan.hosts)
        self.end.catalogue = structs.replace(catalogue, version=catalogue.version + 1, cameras=listed)

    def worker(self) -> Usage:
        """What the worker uses. Raises LinkClosed when it ended."""
        try:
            return usage(self.worker_pid)
        except ProcessLookupError:
            raise LinkClosed(f"接入进程已退出 (the worker ended):\n{log_tail(self.folder)}") from None

    async def wait_until(self, condition: Callable[[], bool], seconds: float, every_s: float = 0.5) -> bool:
        """Wait for a condition; whether it came true in time. Raises LinkClosed when the worker ended."""
        deadline_ns = self.clock.monotonic_ns() + round(seconds * SECOND)
        while not condition():
            if self.clock.monotonic_ns() >= deadline_ns:
                return False
            self.worker()
            await self.clock.asleep(every_s)
        return True

    async def seen(self) -> tuple[I64, I64]:
        """What the consumer saw: its ledger, and the times (ns) from last byte read to announcement."""
        file = self.folder / "seen.npz"
        await self.consumer.ask(AskSeen(file=str(file)), Seen)
        with np.load(file) as saved:
            return saved["ledger"], saved["link_ns"]

    async def sent(self) -> I64 | None:
        """What the load server sent, None when it is not ours."""
        if self.server is None:
            return None
        file = self.folder / "sent.npy"
        await self.server.ask(AskSent(str(file)), Done)
        return load_table(file)

    def worker_counters(self) -> dict[str, float]:
        """Counters and gauges of the worker's newest report."""
        report = self.end.newest(SERVICE)
        return {} if report is None else {**dict(report.counters), **dict(report.gauges)}


def camera_id(stream: int) -> str:
    """A GB/T 28181 id (20 digits, type 132) whose last six digits are the stream's number."""
    return f"{SITE}00001320{stream:06d}"


def cameras(numbers: Iterable[int], template: str, hosts: int = 1) -> tuple[Camera, ...]:
    """Live cameras of the catalogue; `{host}` of the template stands for one of so many addresses."""
    place = Place(105.7, 38.8, "152921001001001")
    return tuple(
        Camera(
            id=camera_id(number),
            name=f"load {number}",
            place=place,
            owner="load",
            url=stream_url(template, number, hosts),
            live=True,
        )
        for number in numbers
    )


def log_tail(folder: Path, lines: int = 20) -> str:
    """The end of what the worker said."""
    file = folder / "worker.log"
    text = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
    return "\n".join(text.splitlines()[-lines:])


@asynccontextmanager
async def load_server(
    clip: ClipName, streams: int, hosts: int = 1, *, in_pairs: bool = False
) -> AsyncIterator[tuple[LineProcess, Ready]]:
    """A load server on a free port of this machine, at one address or at all of them."""
    host = "127.0.0.1" if hosts == 1 else "0.0.0.0"
    arguments = ["--host", host, "--port", "0", "--clip", clip.value, "--streams", str(2 * streams)]
    server = await LineProcess.start("bench.load_server", arguments + ["--in-pairs"] * in_pairs)
    try:
        yield server, await server.hear(Ready)
    finally:
        await server.stop()


@asynccontextmanager
async def consumer_of(site: Site) -> AsyncIterator[LineProcess]:
    """The consumer behind the first worker's link."""
    consumer = await LineProcess.start("bench.load.consumer", [site.endpoint(f"{topics.FRAMES}-0")])
    try:
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def worker_of(site: Site, folder: Path, ingest: Mapping[str, object]) -> AsyncIterator[int]:
    """The camera worker as `gridwhistle run` starts it; its process id. Its log is `worker.log` of the folder."""
    config = folder / "gridwhistle.toml"
    sections: dict[str, Mapping[str, object]] = {
        "site": {"id": site.id},
        "paths": {"state": str(site.state_dir), "run": str(site.run_dir)},
        "ingest": ingest,
    }
    config.write_text(toml(sections), encoding="utf-8")
    with (folder / "worker.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "gridwhistle", "ingest", "--config", str(config), "--log-level", "warning"],
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
    try:
        yield process.pid
    finally:
        await _stop(process)


async def _stop(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


@asynccontextmanager
async def rig(plan: RigPlan, folder: Path) -> AsyncIterator[Rig]:
    """Start everything; the worker begins to connect at once. Raises ConfigError, LinkClosed."""
    allow_open_files(plan.streams * 2 + 1_000)
    site = site_in(folder)
    async with AsyncExitStack() as stack:
        server = ready = None
        template = plan.url_template
        if template is None:
            server, ready = await stack.enter_async_context(
                load_server(plan.clip, plan.streams, plan.hosts, in_pairs=plan.in_pairs)
            )
            template = server_template(ready.port, plan.hosts)
        listed = () if plan.begin_empty else cameras(range(plan.streams), template, plan.hosts)
        end = await stack.enter_async_context(alerts_end(site, cameras=listed, remembers=False))
        consumer = await stack.enter_async_context(consumer_of(site))
        pid = await stack.enter_async_context(worker_of(site, folder, plan.ingest))
        yield Rig(plan, site, end, consumer, pid, template, folder, SystemClock(), server, ready)
