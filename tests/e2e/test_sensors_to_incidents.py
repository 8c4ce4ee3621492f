"""Acceptance checks 16, 17 and 18 for SenML and plain JSON: broker, sensor role and alerts, all of them real."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts import wire
from contracts.incident import Incident, Level
from contracts.instant import SECOND
from contracts.place import Place
from contracts.source import HealthReport, Sensor, SensorKind
from runtime.clock import SystemClock
from tests.alerts.county import County, county
from tests.alerts.site_files import SOUTH, WEST, catalogue, write_site
from tests.ingest.mosquitto import Publisher
from tests.ingest.sensor_worker import BROKERS, working

CLOCK = SystemClock()
FORMS = pytest.mark.parametrize("form", ["senml", "json"])


def sensor(number: int, kind: SensorKind, unit: str, valid_max: float) -> Sensor:
    return Sensor(
        id=f"{kind.value}-{number}",
        name=f"{kind.value} {number}",
        kind=kind,
        place=Place(WEST + 0.004, SOUTH + 0.004 + number * 0.003, None, None, f"fz-{number}"),
        owner="消防救援大队",
        unit=unit,
        valid_min=0,
        valid_max=valid_max,
    )


SENSORS = (
    sensor(1, SensorKind.SMOKE, "", 1),
    sensor(2, SensorKind.HEAT, "Cel", 300),
    sensor(3, SensorKind.GAS_LEL, "%LEL", 100),
    sensor(4, SensorKind.CO, "ppm", 2_000),
)


def message(form: str, sensor_id: str, value: float, *, age_s: float = 0.0, **more: Any) -> tuple[str, str]:
    """(topic, payload) of one reading."""
    at = CLOCK.now() / SECOND - age_s
    topic = f"county/152921/sensor/{sensor_id}/{form}"
    if form == "json":
        return topic, json.dumps({"value": value, "time": at, **more})
    records: list[dict[str, Any]] = [{"bn": f"urn:gw:{sensor_id}:", "bt": at, "n": "value", "v": value}]
    if "unit" in more:
        records[0]["u"] = more["unit"]
    if "alarm_id" in more:
        records.append({"n": "alarm_id", "vs": more["alarm_id"]})
    return topic, json.dumps(records)


@dataclass
class Here:
    """The running county and one device gateway."""

    county: County
    device: Publisher

    async def say(self, form: str, sensor_id: str, value: float, *, retain: bool = False, **more: Any) -> None:
        topic, payload = message(form, sensor_id, value, **more)
        await self.device.publish(topic, payload, retain=retain)

    def incidents(self, type_: str = "%") -> list[Incident]:
        statement = f"SELECT body FROM incidents WHERE type LIKE '{type_}' ORDER BY opened_at"
        return [wire.decode(row["body"], Incident) for row in self.county.rows(statement)]

    def total(self, key: str) -> int:
        for row in self.county.rows("SELECT body FROM health WHERE service = 'ingest-sensors'"):
            return dict(wire.decode(row["body"], HealthReport).counters).get(key, 0)
        return 0

    async def until(self, condition: Any) -> None:
        for _ in range(600):
            if condition():
                return
            await CLOCK.asleep(0.05)
        raise AssertionError("it did not come to that within 30 s")


@asynccontextmanager
async def running(folder: Path, broker: Any, **config: Any) -> AsyncIterator[Here]:
    site = write_site(folder)
    known = msgspec.structs.replace(catalogue(1), sensors=SENSORS)
    (folder / "catalogue.json").write_bytes(msgspec.json.encode(known))
    async with (
        broker(folder) as port,
        Publisher(port) as device,
        county(site, producer="test") as opened,
        working(site, port, protocol="auto", **config),
    ):
        here = Here(opened, device)
        await here.until(lambda: here.total("sensors_wanted") >= 0 and connected(here))
        yield here


def connected(here: Here) -> bool:
    rows = here.county.rows("SELECT body FROM health WHERE service = 'ingest-sensors'")
    return any(dict(wire.decode(row["body"], HealthReport).gauges).get("broker_connected") for row in rows)


@FORMS
@pytest.mark.parametrize("broker", BROKERS)
async def test_check_16_gas_levels_and_carbon_monoxide(short_dir: Path, broker: Any, form: str) -> None:
    async with running(short_dir, broker) as here:
        await here.say(form, "gas_lel-3", 24.9)
        await here.say(form, "gas_lel-3", 25)
        await here.until(lambda: [each.level for each in here.incidents("gas.lel1")] == [Level.ORANGE])
        await here.say(form, "gas_lel-3", 50)
        # A higher level raises the same alert; it opens no second one.
        await here.until(lambda: [each.level for each in here.incidents("gas.lel%")] == [Level.RED])
        await here.say(form, "co-4", 299)
        await here.say(form, "co-4", 300)
        await here.until(lambda: [each.level for each in here.incidents("gas.co")] == [Level.RED])


@FORMS
@pytest.mark.parametrize("broker", BROKERS)
async def test_check_17_retained_old_and_impossible_open_nothing_and_each_is_counted(
    short_dir: Path, broker: Any, form: str
) -> None:
    @asynccontextmanager
    async def with_retained(folder: Path) -> AsyncIterator[int]:
        """A broker that keeps an alarm for whoever subscribes next."""
        async with broker(folder) as port:
            async with Publisher(port) as device:
                await device.publish(*message(form, "smoke-1", 1, alarm_id="kept"), retain=True)
            yield port

    async with running(short_dir, with_retained) as here:
        await here.say(form, "smoke-1", 1, alarm_id="old", age_s=600)
        await here.say(form, "heat-2", -999, unit="Cel")
        await here.until(
            lambda: (
                (
                    here.total("messages_refused:retained"),
                    here.total("messages_refused:too_old"),
                    here.total("readings_refused:out_of_range"),
                )
                == (1, 1, 1)
            )
        )
        await here.until(lambda: len(here.county.rows("SELECT reason FROM refusals")) == 3)
        refused = {row["reason"]: row["total"] for row in here.county.rows("SELECT reason, total FROM refusals")}
        assert refused == {"retained": 1, "too_old": 1, "out_of_range": 1}, "and shown on the wall"
        assert here.incidents() == []
        await here.say(form, "smoke-1", 1, alarm_id="now")
        await here.until(lambda: [each.external_ids for each in here.incidents()] == [("now",)])


@pytest.mark.parametrize("broker", BROKERS)
async def test_check_18_same_reading_as_senml_and_as_json_is_one_observation(short_dir: Path, broker: Any) -> None:
    """The same claim has the same id in both forms, so alerts refuses the second as a repetition of the first."""
    async with running(short_dir, broker) as here:
        at = round(CLOCK.now() / SECOND, 3)
        plain = json.dumps({"value": 61.5, "unit": "°C", "time": at})
        pack = json.dumps([{"bn": "urn:gw:heat-2:", "bt": at + 2, "n": "value", "u": "Cel", "v": 61.5, "t": -2}])
        await here.device.publish("sensors/heat-2/json", plain)
        await here.until(lambda: len(here.incidents("fire.heat")) == 1)
        [first] = here.incidents("fire.heat")
        await here.device.publish("sensors/heat-2/senml", pack)
        await here.until(lambda: here.total("readings:good") == 2)
        await here.say("json", "smoke-1", 1, alarm_id="after")
        await here.until(lambda: len(here.incidents("fire.smoke_sensor")) == 1)
        assert here.incidents("fire.heat") == [first]
