"""What the simulated county hands over is what the services read: files, messages, streams."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerts.grids import load_catalogue, load_grids
from contracts.errors import RefusedInput
from contracts.instant import MINUTE, Instant
from contracts.reading import Quality, Reading
from contracts.source import Sensor, SensorKind
from ingest.config import DEFAULT_MAPPINGS
from ingest.mqtt.mapping import TopicTable
from ingest.mqtt.reading import ALARM_KINDS, to_reading
from runtime.clock import SimClock
from runtime.site import PathsConfig, Site, SiteConfig
from sim import service
from sim.config import SimConfig
from sim.county import COUNTY_CODE, build_county
from sim.sensors import senml, sensor_topic, usual_value

SENSORS = build_county(152921, cameras_total=200).sensors
TABLE = TopicTable(DEFAULT_MAPPINGS)
NOW = SimClock().now()


def read(sensor: Sensor, payload: bytes) -> Reading:
    [raw] = TABLE.read(sensor_topic(sensor.id), payload, NOW, lambda _: True)
    return to_reading(raw, sensor, NOW, NOW, retained=False, late_max_s=120.0, future_max_s=5.0)


def test_the_files_of_the_county_are_accepted_by_alerts(tmp_path: Path) -> None:
    paths = PathsConfig(state="state", grids="grids.geojson", catalogue="catalogue.json")
    site = Site(SiteConfig(id=COUNTY_CODE), paths, tmp_path)
    service.prepare(site, SimConfig(live_cameras=2))
    assert site.grids_file is not None
    assert site.catalogue_file is not None
    tree = load_grids(site.grids_file, COUNTY_CODE, COUNTY_CODE)
    assert len(tree.grids) == 1 + 15 + 147 + 147
    assert len(load_catalogue(site.catalogue_file, tree).cameras) == 3700


@pytest.mark.parametrize("kind", SensorKind)
def test_messages_of_every_kind_become_good_readings(kind: SensorKind) -> None:
    sensor = next(sensor for sensor in SENSORS if sensor.kind is kind)
    value = usual_value(sensor, 1, 7)
    quiet = senml(sensor.id, NOW, alarm=False if value is None else None, value=value, unit=sensor.unit)
    reading = read(sensor, quiet)
    assert (reading.source_id, reading.value, reading.unit) == (sensor.id, value or 0.0, sensor.unit)
    assert (reading.quality, reading.event_time, reading.external_id) == (Quality.GOOD, NOW, None)
    assert (value is None) == (kind in ALARM_KINDS)


def test_an_alarm_keeps_its_id_and_an_old_one_is_refused() -> None:
    sensor = next(sensor for sensor in SENSORS if sensor.kind is SensorKind.SMOKE)
    reading = read(sensor, senml(sensor.id, NOW, alarm=True, alarm_id="a-1"))
    assert (reading.value, reading.external_id) == (1.0, "a-1")
    with pytest.raises(RefusedInput) as refusal:
        read(sensor, senml(sensor.id, Instant(NOW - 10 * MINUTE), alarm=True, alarm_id="a-2"))
    assert refusal.value.reason == "too_old"
