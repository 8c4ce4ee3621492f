"""One smoke message to a ticket, 2,000 messages one by one: publish to commit and publish to browser.

All real: MQTT broker, ingest, engine, SQLite with fsync, change feed, API, WebSocket, Chromium. Prints p50, p95,
p99 and maximum in milliseconds.

    python bench/alarm_to_ticket.py [messages] [per second]
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from contracts import topics, wire
from contracts.instant import MS, Instant
from contracts.ticket import Ticket
from runtime.clock import SystemClock
from runtime.site import PathsConfig, Site, SiteConfig
from runtime.zmq_request import ZmqChangeSubscriber
from sim.alarm_drill import MOSQUITTO, broker, drill_stack, smoke_county
from sim.mqtt_link import MqttLink
from sim.sensors import senml, sensor_topic
from sim.stack import free_port

CHROMIUM = shutil.which("chromium")
_WATCH = """
(() => { const real = window.WebSocket; window.__seen = {};
  window.WebSocket = class extends real { constructor(...a) { super(...a);
    this.addEventListener('message', e => { const at = performance.timeOrigin + performance.now();
      for (const m of String(e.data).matchAll(/drill-\\d{6}/g)) {
        if (!(m[0] in window.__seen)) window.__seen[m[0]] = at; } }); } };
})();
"""


def show(name: str, values_ms: list[float]) -> None:
    """One line of figures."""
    if not values_ms:
        print(f"{name:<22} n=0")
        return
    p50, p95, p99 = np.percentile(values_ms, [50, 95, 99])
    print(
        f"{name:<22} n={len(values_ms)}  p50 {p50:.0f}  p95 {p95:.0f}  p99 {p99:.0f}  max {max(values_ms):.0f} ms"
    )


async def watch_commits(site: Site, commits: dict[str, Instant], ready: asyncio.Event) -> None:
    """Note when the first change of a ticket that holds an alarm was published, which is after its commit."""
    clock = SystemClock()
    subscriber = ZmqChangeSubscriber(site.endpoint(topics.CHANGES), clock)
    ready.set()
    while True:
        change = await subscriber.receive(wait_s=1.0)
        if change is not None and change[1] == "ticket":
            now = clock.now()
            for alarm in wire.decode(change[2], Ticket).external_ids:
                commits.setdefault(alarm, now)


async def measure(folder: Path, messages: int, per_second: float) -> bool:
    """Run the whole path once; whether every message was committed and seen."""
    clock = SystemClock()
    port = free_port()
    grids, catalogue = smoke_county(messages)
    stack = drill_stack(folder, port, grids, catalogue, clock)
    site = Site(SiteConfig(id="152921"), PathsConfig(state=str(folder / "var"), models=str(folder)), folder)
    async with broker(folder, port, outside=MOSQUITTO is not None) as running:
        machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        print(f"{machine}, broker {running.name}")
        await asyncio.to_thread(stack.start)
        try:
            await asyncio.to_thread(stack.wait_ready, 90)
            await asyncio.to_thread(stack.wait_gauge, "ingest-sensors", "broker_connected", 1.0, 60)
            return await run_drill(stack.address, site, port, messages, per_second)
        finally:
            await asyncio.to_thread(stack.stop)


async def run_drill(address: str, site: Site, port: int, messages: int, per_second: float) -> bool:
    """Publish and watch both ends; whether every message arrived at both."""
    from playwright.async_api import async_playwright

    clock = SystemClock()
    commits: dict[str, Instant] = {}
    ready = asyncio.Event()
    watcher = asyncio.create_task(watch_commits(site, commits, ready))
    await ready.wait()
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=CHROMIUM, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page()
        await page.add_init_script(_WATCH)
        await page.goto(address)
        await clock.asleep(5.0)
        link = MqttLink("127.0.0.1", port)
        link.start()
        sent: dict[str, Instant] = {}
        acknowledgements = []
        for number in range(messages):
            alarm = f"drill-{number:06d}"
            sensor = f"15292100021346{number + 1:06d}"
            sent[alarm] = clock.now()
            payload = senml(sensor, sent[alarm], alarm=True, alarm_id=alarm)
            acknowledgements.append(asyncio.create_task(link.publish(sensor_topic(sensor), payload)))
            await clock.asleep(1 / per_second)
        await asyncio.gather(*acknowledgements)
        for _ in range(150):
            seen: dict[str, float] = await page.evaluate("window.__seen")
            if len(commits) >= messages and len(seen) >= messages:
                break
            await clock.asleep(0.2)
        await link.close()
        await browser.close()
    watcher.cancel()
    print(f"sent {len(sent)}, committed {len(commits)}, seen in the browser {len(seen)}; {per_second:g} a second")
    show("publish to commit", [(commits[each] - sent[each]) / MS for each in commits])
    show("publish to browser", [seen[each] - sent[each] / MS for each in seen if each in sent])
    return sent.keys() <= commits.keys() and sent.keys() <= seen.keys()


def main() -> int:
    """Measure; 1 when a message got lost."""
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    per_second = float(sys.argv[2]) if len(sys.argv) > 2 else 50.0
    if CHROMIUM is None:
        print("Chromium is not installed; skipped")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="gw-"))
    try:
        arrived = asyncio.run(measure(folder, messages, per_second))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not arrived:
        print("A message got lost or came over 30 s late", file=sys.stderr)
    return 0 if arrived else 1


if __name__ == "__main__":
    sys.exit(main())
