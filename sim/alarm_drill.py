"""An alarm drill: a county whose sensors are all single smoke detectors far apart, a broker, and a private
installation; for the latency figures in bench/ and the kills in `make soak`."""

from __future__ import annotations

import asyncio
import getpass
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from contracts.grid import GridTree
from contracts.place import Place
from contracts.source import Catalogue, Sensor, SensorKind
from runtime.clock import Clock
from runtime.whole_file import write_whole
from sim.broker import EmbeddedBroker
from sim.catalogue import point_near
from sim.county import build_county
from sim.export import catalogue_json, grids_geojson
from sim.stack import Stack

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
"""The outside broker, None where it is not installed."""

_SHIPPED: Final = Path(__file__).resolve().parents[1] / "deploy" / "config" / "mosquitto.conf"


class RunningBroker(NamedTuple):
    """A broker of the drill; `pid` None for the embedded one, which lives in this process."""

    name: str
    pid: int | None


def mosquitto_config(port: int, folder: Path) -> bytes:
    """The configuration that a site gets (deploy/config), on 127.0.0.1:`port`, its store in `folder`."""
    ours = {
        "listener": f"listener {port} 127.0.0.1\nuser {getpass.getuser()}",
        "persistence_location": f"persistence_location {folder}/",
    }
    lines = [ours.get(line.split(" ")[0], line) for line in _SHIPPED.read_text(encoding="utf-8").splitlines()]
    return ("\n".join(lines) + "\n").encode()


def smoke_county(sensors: int, seed: int = 152921) -> tuple[GridTree, Catalogue]:
    """The grids of the simulated county and `sensors` smoke detectors, each in a fire zone of its own."""
    county = build_county(seed, cameras_total=200, sensors_total=0)
    random = Random(f"{seed}/alarm drill")
    placed = []
    for number in range(sensors):
        home = county.communities[number % len(county.communities)]
        lon, lat = point_near(random, home.polygon, home.centre, 0.05)
        placed.append(
            Sensor(
                id=f"15292100021346{number + 1:06d}",
                name=f"感烟{number + 1:04d}",
                kind=SensorKind.SMOKE,
                place=Place(lon, lat, home.grid_code, fire_zone=f"fz-{number + 1:05d}"),
                owner="消防救援大队",
                unit="",
                valid_min=0.0,
                valid_max=1.0,
                period_s=3600.0,
            )
        )
    catalogue = Catalogue(site="152921", county="152921", version=1, cameras=county.cameras, sensors=tuple(placed))
    return county.grids, catalogue


def drill_stack(
    folder: Path, mqtt_port: int, grids: GridTree, catalogue: Catalogue, clock: Clock, *, protocol: str = "3.1.1"
) -> Stack:
    """An installation without the simulated county, fed by the drill alone; its files are written."""
    mqtt = {"url": f"mqtt://127.0.0.1:{mqtt_port}", "protocol": protocol}
    stack = Stack(folder, {"sim": {"enabled": False}, "mqtt": mqtt}, clock)
    write_whole(folder / "var/county/grids.geojson", grids_geojson(grids))
    write_whole(folder / "var/county/catalogue.json", catalogue_json(catalogue))
    return stack


@asynccontextmanager
async def broker(folder: Path, port: int, *, outside: bool) -> AsyncIterator[RunningBroker]:
    """Mosquitto (`outside`) or the embedded broker on 127.0.0.1:`port`."""
    if outside and MOSQUITTO is not None:
        config = folder / "mosquitto.conf"
        await asyncio.to_thread(write_whole, config, mosquitto_config(port, folder))
        process = await asyncio.create_subprocess_exec(
            MOSQUITTO, "-c", str(config), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            yield RunningBroker("Mosquitto", process.pid)
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
        return
    embedded = EmbeddedBroker(port)
    await embedded.start()
    try:
        yield RunningBroker("embedded (amqtt)", None)
    finally:
        await embedded.close()
