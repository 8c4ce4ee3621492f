from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.instant import SECOND, to_rfc3339
from contracts.observation import IncidentType, Phase
from contracts.source import SourceState
from runtime.clock import SystemClock
from tests.ingest.alerts_end import AlertsEnd, alerts_end, site_in
from tests.ingest.mosquitto import Publisher, mosquitto
from tests.ingest.sensor_worker import (
    BROKERS,
    HEAT,
    PLACE,
    SMOKE,
    connected,
    embedded,
    smoke,
    start_victim,
    topic,
    working,
)


@pytest.mark.parametrize("broker", BROKERS)
async def test_alarms_become_observations_and_bad_messages_are_counted(short_dir: Path, broker: Any) -> None:
    site = site_in(short_dir)
    now = SystemClock().now()
    old = to_rfc3339(type(now)(now - 600 * SECOND))
    async with broker(short_dir) as port, Publisher(port) as device:
        await device.publish(topic("S-17"), smoke("kept"), retain=True)
        async with alerts_end(site, sensors=(SMOKE, HEAT)) as end, working(site, port, protocol="auto"):
            await connected(end)
            await device.publish(topic("S-17"), smoke("a-1"))
            await device.publish(topic("S-17"), smoke("a-2"))
            await device.publish(topic("S-17"), smoke("a-2"))
            await device.publish(topic("S-17"), "{not json")
            await device.publish(topic("S-17"), smoke("late", time=old))
            await device.publish(topic("S-99"), smoke("x"))
            await device.publish(topic("H-1"), json.dumps({"value": -999, "unit": "Cel"}))
            await device.publish(topic("H-1"), json.dumps({"value": 71, "unit": "lx"}))
            await device.publish(topic("H-1"), json.dumps({"value": "NaN"}))
            await device.publish(topic("H-1"), '{"value": 1e999}')
            await device.publish(topic("S-17"), b"x" * 70_000)
            await device.publish(topic("S-17", "senml"), '[{"bn":"urn:gw:sensor:S-17:"},{"n":"alarm","v":1}]')
            await device.publish(topic("S-17"), smoke(None, value=0))
            await end.until(lambda: any(each.phase is Phase.CLEAR for each in end.observations))
            wanted = {
                "retained": 1,
                "too_old": 1,
                "unknown_source": 1,
                "unit": 1,
                "not_a_number": 1,
                "invalid_json": 2,
                "too_large": 1,
                "senml": 1,
            }
            await end.until(
                lambda: all(
                    end.counter("ingest-sensors", f"messages_refused:{reason}") == count
                    for reason, count in wanted.items()
                )
            )
            assert end.counter("ingest-sensors", "readings:bad") == 1
            assert end.counter("ingest-sensors", "messages_acknowledged") == 14
            active = [each for each in end.observations if each.phase is Phase.ACTIVE]
            assert [(each.type, each.external_id) for each in active] == [
                (IncidentType.SMOKE_SENSOR, "a-1"),
                (IncidentType.SMOKE_SENSOR, "a-2"),
            ]
            assert active[0].place == PLACE
            await end.until(lambda: {each.source_id for each in end.changes} == {"S-17", "H-1"})
            assert {each.state for each in end.changes} == {SourceState.LIVE}


@pytest.mark.parametrize("broker", BROKERS)
async def test_message_is_acknowledged_only_after_commit_and_comes_again_until_then(
    short_dir: Path, broker: Any
) -> None:
    site = site_in(short_dir)
    async with broker(short_dir) as port, Publisher(port) as device, alerts_end(site, sensors=(SMOKE,)) as end:
        async with working(site, port):
            await connected(end)
            end.commits = False
            await device.publish(topic("S-17"), smoke("only-once"))
            await end.until(lambda: bool(end.observations))
        first = list(end.observations)
        end.observations.clear()
        end.commits = True
        async with working(site, port):
            await end.until(lambda: bool(end.observations))
            # The acknowledgement follows the commit: it must be out before the worker is stopped.
            await end.until(lambda: end.counter("ingest-sensors", "messages_acknowledged") >= 1)
        assert [each.id for each in end.observations] == [first[0].id]
        end.observations.clear()
        async with working(site, port):
            await device.publish(topic("S-17"), smoke("next"))
            await end.until(lambda: bool(end.observations))
        assert [each.external_id for each in end.observations] == ["next"], "the first was acknowledged"


def resident_peak_kb(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0])


def enough(end: AlertsEnd, sent: list[str]) -> bool:
    """Something came; while commits are given, all of it."""
    have = {each.external_id for each in end.observations}
    return set(sent) <= have if end.commits else bool(have)


@pytest.mark.external
async def test_killed_worker_loses_no_alarm(short_dir: Path) -> None:
    site = site_in(short_dir)
    async with (
        mosquitto(short_dir) as port,
        Publisher(port) as device,
        alerts_end(site, sensors=(SMOKE,)) as end,
    ):
        sent = []
        for life in range(3):
            victim = await start_victim(short_dir, port)
            end.commits = True
            end.reports.clear()
            await connected(end)
            end.commits = life == 2
            for number in range(20):
                alarm = f"{life}-{number}"
                await device.publish(topic("S-17"), smoke(alarm))
                sent.append(alarm)
            await end.until(lambda: enough(end, sent))
            victim.kill()
            await victim.wait()
        assert {each.external_id for each in end.observations} == set(sent)
        ids = {each.id for each in end.observations}
        assert len(ids) == len(sent), "an alarm that came twice has the same id twice"


async def test_alerts_away_for_a_while_costs_no_alarm(short_dir: Path) -> None:
    site = site_in(short_dir)
    async with (
        embedded(short_dir) as port,
        Publisher(port) as device,
        alerts_end(site, sensors=(SMOKE,)) as end,
        working(site, port),
    ):
        await connected(end)
        end.commits = False
        for number in range(50):
            await device.publish(topic("S-17"), smoke(f"n-{number}"))
        assert end.counter("ingest-sensors", "messages_acknowledged") == 0
        end.commits = True
        await end.until(lambda: len({each.external_id for each in end.observations}) == 50)


@pytest.mark.external
async def test_payload_of_100_megabytes_is_refused_without_keeping_it(short_dir: Path) -> None:
    site = site_in(short_dir)
    async with (
        mosquitto(short_dir) as port,
        Publisher(port) as device,
        alerts_end(site, sensors=(SMOKE,)) as end,
    ):
        worker = await start_victim(short_dir, port)
        await connected(end)
        before_kb = resident_peak_kb(worker.pid)
        await device.publish(topic("S-17"), bytes(100 << 20))
        await device.publish(topic("S-17"), smoke("after"))
        await end.until(lambda: any(each.external_id == "after" for each in end.observations))
        await end.until(lambda: end.counter("ingest-sensors", "messages_refused:too_large") == 1)
        grown_kb = resident_peak_kb(worker.pid) - before_kb
        worker.kill()
        await worker.wait()
    assert grown_kb < 10 * 1024


@pytest.mark.external
async def test_wrong_password_is_refused_in_words_and_the_right_one_works(short_dir: Path) -> None:
    import shutil
    import subprocess

    site = site_in(short_dir)
    tool = shutil.which("mosquitto_passwd")
    if tool is None:
        pytest.skip("mosquitto_passwd is not installed (apt install mosquitto)")
    subprocess.run([tool, "-b", "-c", str(short_dir / "users"), "gw", "right"], check=True, capture_output=True)
    (short_dir / "users").chmod(0o644)
    site.state_dir.mkdir(parents=True)
    secrets = site.state_dir / "secrets.toml"
    secrets.write_text('[good]\nuser = "gw"\npassword = "right"\n[bad]\nuser = "gw"\npassword = "wrong"\n')
    secrets.chmod(0o600)
    lines = ("allow_anonymous false", f"password_file {short_dir}/users")
    async with mosquitto(short_dir, lines=lines) as port, alerts_end(site, sensors=(SMOKE,)) as end:
        async with working(site, port, secrets="secrets.toml", credentials="bad"):
            key = "broker_lost:refused_credentials"
            await end.until(lambda: end.counter("ingest-sensors", key) > 0)
        end.reports.clear()
        async with working(site, port, secrets="secrets.toml", credentials="good"):
            await connected(end)


async def test_catalogue_change_brings_a_new_sensor_without_a_restart(short_dir: Path) -> None:
    site = site_in(short_dir)
    async with (
        embedded(short_dir) as port,
        Publisher(port) as device,
        alerts_end(site) as end,
        working(site, port),
    ):
        await connected(end)
        await device.publish(topic("S-17"), smoke("unknown"))
        await end.until(lambda: end.counter("ingest-sensors", "messages_refused:unknown_source") == 1)
        end.catalogue = msgspec.structs.replace(end.catalogue, version=2, sensors=(SMOKE,))
        await end.until(lambda: dict(end.reports[-1].gauges).get("sensors_wanted") == 1)
        await device.publish(topic("S-17"), smoke("known"))
        await end.until(lambda: [each.external_id for each in end.observations] == ["known"])
