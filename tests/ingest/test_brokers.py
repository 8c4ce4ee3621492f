"""What a site relies on at its broker: room while we are away, bounds on the unacknowledged, TLS."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from contracts import wire
from contracts.source import HealthReport
from runtime.clock import SystemClock
from sim.alarm_drill import mosquitto_config
from tests.alerts.county import external_ids_behind_tickets, rows
from tests.alerts.site_files import write_site
from tests.alerts.test_kill import start as start_alerts
from tests.ingest.alerts_end import AlertsEnd, alerts_end, site_in
from tests.ingest.mosquitto import Publisher, free_port, mosquitto
from tests.ingest.sensor_worker import BROKERS, SMOKE, connected, smoke, start_victim, topic, working

CLOCK = SystemClock()
pytestmark = pytest.mark.external


def heard(end: AlertsEnd) -> set[str | None]:
    return {each.external_id for each in end.observations}


async def away_for(short_dir: Path, lines: tuple[str, ...], count: int) -> tuple[set[str | None], int]:
    """Alarms that come while the worker is away: (which it hears afterwards, how many were sent)."""
    site = site_in(short_dir)
    async with (
        mosquitto(short_dir, lines=lines) as port,
        Publisher(port) as device,
        alerts_end(site, sensors=(SMOKE,)) as end,
    ):
        async with working(site, port, protocol="5"):
            await connected(end)
        for number in range(count - 1):
            device.client.publish(topic("S-17"), smoke(f"n-{number}"), qos=1)
        await device.publish(topic("S-17"), smoke(f"n-{count - 1}"))
        async with working(site, port, protocol="5"):
            # A full queue drops this one, too: it is said until it is heard.
            while "last" not in heard(end):
                await device.publish(topic("S-17"), smoke("last"))
                await CLOCK.asleep(0.2)
        return heard(end) - {"last"}, count


async def test_shipped_broker_configuration_keeps_what_comes_while_we_are_away(short_dir: Path) -> None:
    shipped = mosquitto_config(free_port(), short_dir).decode().splitlines()
    wanted = [line for line in shipped if line.startswith(("max_", "message_size_limit", "allow_anonymous"))]
    assert "max_queued_messages 1000000" in wanted
    got, sent = await away_for(short_dir, tuple(wanted), 3_000)
    assert len(got) == sent


async def test_default_broker_configuration_would_lose_them(short_dir: Path) -> None:
    """Why the shipped file sets it; if Mosquitto changes its default this test tells."""
    got, sent = await away_for(short_dir, ("allow_anonymous true", "max_queued_messages 1000"), 3_000)
    assert len(got) < sent


async def test_broker_holds_back_what_exceeds_the_receive_maximum(short_dir: Path) -> None:
    site = site_in(short_dir)
    config = {"protocol": "5", "inflight_max": 10}
    async with (
        mosquitto(short_dir) as port,
        Publisher(port) as device,
        alerts_end(site, sensors=(SMOKE,)) as end,
    ):
        async with working(site, port, **config):
            await connected(end)
        end.commits = False
        for number in range(50):
            await device.publish(topic("S-17"), smoke(f"n-{number}"))
        async with working(site, port, **config):
            await end.until(lambda: len(heard(end)) == 10)
            await CLOCK.asleep(0.5)
            assert len(heard(end)) == 10, "ten are unacknowledged, the broker keeps the others"
            end.commits = True
            await end.until(lambda: len(heard(end)) == 50)


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    pem, key = folder / f"{name}.pem", folder / f"{name}.key"
    arguments = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [openssl, *arguments, *names, "-keyout", str(key), "-out", str(pem)], check=True, capture_output=True
    )
    key.chmod(0o644)
    return pem, key


async def test_tls_with_the_right_authority_works_and_with_another_is_refused_in_words(short_dir: Path) -> None:
    site = site_in(short_dir)
    pem, key = certificate(short_dir, "broker")
    other, _ = certificate(short_dir, "other")
    secure = free_port()
    lines = ("allow_anonymous true", f"listener {secure} 127.0.0.1", f"certfile {pem}", f"keyfile {key}")
    url = f"mqtts://127.0.0.1:{secure}"
    async with (
        mosquitto(short_dir, lines=lines) as port,
        Publisher(port) as device,
        alerts_end(site, sensors=(SMOKE,)) as end,
    ):
        async with working(site, secure, protocol="5", url=url, ca_file=str(other)):
            await end.until(lambda: end.counter("ingest-sensors", "broker_lost:unreachable") > 0)
        end.reports.clear()
        async with working(site, secure, protocol="5", url=url, ca_file=str(pem)):
            await connected(end)
            for number in range(300):
                device.client.publish(topic("S-17"), smoke(f"n-{number}"), qos=1)
            await end.until(lambda: len(heard(end)) == 300)


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_both_versions_keep_their_session_and_deliver_in_order(short_dir: Path, protocol: str) -> None:
    site = site_in(short_dir)
    async with (
        mosquitto(short_dir) as port,
        Publisher(port) as device,
        alerts_end(site, sensors=(SMOKE,)) as end,
    ):
        async with working(site, port, protocol=protocol):
            await connected(end)
            await device.publish(topic("S-17"), smoke("n-0"))
            await end.until(lambda: len(heard(end)) == 1)
            # Stopped before its acknowledgement is out, it would rightly hear this one again.
            await end.until(lambda: end.counter("ingest-sensors", "messages_acknowledged") >= 1)
        for number in range(1, 40):
            await device.publish(topic("S-17"), smoke(f"n-{number}"))
        async with working(site, port, protocol=protocol):
            await end.until(lambda: len(heard(end)) == 40)
        assert [each.external_id for each in end.observations] == [f"n-{number}" for number in range(40)]


async def until_connected(database: Path) -> None:
    """The broker keeps messages for a session only once the session exists."""
    for _ in range(300):
        if await asyncio.to_thread(is_connected, database):
            return
        await CLOCK.asleep(0.1)
    raise AssertionError("the worker did not connect within 30 s")


def is_connected(database: Path) -> bool:
    try:
        found = rows(database, "SELECT body FROM health WHERE service = 'ingest-sensors'")
    except OperationalError:
        return False
    return any(dict(wire.decode(row["body"], HealthReport).gauges).get("broker_connected") for row in found)


@pytest.mark.parametrize("broker", BROKERS)
async def test_alerts_killed_between_receiving_and_committing_loses_nothing_and_doubles_nothing(
    short_dir: Path, broker: Any
) -> None:
    """SIGKILL at statements and commits of alerts, while alarms come in through the broker."""
    site = write_site(short_dir)
    sent: list[str] = []
    async with broker(short_dir) as port, Publisher(port) as device:
        alerts = await start_alerts(short_dir, 0)
        async with working(site, port, protocol="auto"):
            await until_connected(site.database_file)
            for point in (60, 75, 90, 0):
                if alerts.returncode is None:
                    alerts.kill()
                await alerts.wait()
                alerts = await start_alerts(short_dir, point)
                while alerts.returncode is None and (point or len(sent) % 10):
                    sent.append(f"alarm-{len(sent)}")
                    await device.publish(f"sensors/S-{len(sent) % 3 + 1:05d}/json", smoke(sent[-1]))
                    await CLOCK.asleep(0.05)
            for _ in range(400):
                if len(set(await asyncio.to_thread(external_ids_behind_tickets, site.database_file))) == len(sent):
                    break
                await CLOCK.asleep(0.1)
        alerts.kill()
        await alerts.wait()
    assert len(sent) > 10
    # Several alarms of one detector stand behind one ticket; none stands behind two.
    assert external_ids_behind_tickets(site.database_file) == sorted(sent)


async def test_workers_that_share_hear_each_message_once_and_a_killed_one_gets_its_own_again(
    short_dir: Path,
) -> None:
    """MQTT 5 shared subscription: Mosquitto keeps what a killed member had until that member is back."""
    site = site_in(short_dir)
    share = {"protocol": "5", "shared_group": "gridwhistle"}
    async with (
        mosquitto(short_dir) as port,
        Publisher(port) as device,
        alerts_end(site, sensors=(SMOKE,)) as end,
        working(site, port, **share),
    ):
        await connected(end)
        victim = await start_victim(short_dir, port, **share, instance=1)
        await end.until(lambda: "sensors-1" in {each.instance for each in end.reports if listens(each)})
        for number in range(100):
            await device.publish(topic("S-17"), smoke(f"n-{number}"))
        await end.until(lambda: len(heard(end)) == 100)
        assert len(end.observations) == 100, "each message went to one of them"
        await end.until(lambda: all(received(end, instance) >= 40 for instance in ("sensors-0", "sensors-1")))
        end.commits = False
        for number in range(100, 140):
            await device.publish(topic("S-17"), smoke(f"n-{number}"))
        await end.until(lambda: len(heard(end)) == 140)
        victim.kill()
        await victim.wait()
        end.observations.clear()
        end.commits = True
        async with working(site, port, **share, instance=1):
            await end.until(lambda: len(heard(end)) == 20)
            await end.until(lambda: received(end, "sensors-1") == 20)


def listens(report: HealthReport) -> bool:
    return bool(dict(report.gauges).get("broker_connected"))


def received(end: AlertsEnd, instance: str) -> int:
    reports = [each for each in end.reports if each.instance == instance]
    return dict(reports[-1].counters).get("messages_acknowledged", 0) if reports else 0
