"""The county of bench.pipeline: quiet cameras of several kinds, each kind played by a load server of its own, and
a whole installation as `gridwhistle run` starts it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from msgspec import structs

from bench.load.control import AskStatus, Ready, Stage, Status
from bench.load.control import Done as Answered
from bench.load.county_clips import BURNS, CountyClip, scene_of
from bench.load.open_files import allow_open_files
from bench.load.process import LineProcess
from bench.seeing.scene_zones import zones_of
from contracts.grid import GridTree
from contracts.place import Place
from contracts.source import Camera, Catalogue
from runtime.clock import Clock
from runtime.whole_file import write_whole
from sim.alarm_drill import MOSQUITTO, broker
from sim.catalogue import point_near
from sim.county import COUNTY_CODE, build_county
from sim.export import catalogue_json, grids_geojson
from sim.stack import Stack, free_port

SHARES: Final = (
    CountyClip.YARD,
    CountyClip.ROAD,
    CountyClip.YARD_NIGHT,
    CountyClip.SQUARE,
    CountyClip.YARD_NIGHT,
)
"""What every five cameras show."""
_CONNECT_PER_S: Final = 100.0
"""Of a load server that bears it: the measurement is not about how a county starts."""
_START_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class ListedCamera:
    """A camera of the catalogue and where it is played: the clip, and its number at that clip's server."""

    camera: Camera
    clip: CountyClip
    stream: int


@dataclass(slots=True)
class RunningCounty:
    """Everything that runs."""

    cameras: list[ListedCamera]
    stack: Stack
    servers: dict[CountyClip, LineProcess]
    clock: Clock

    def burning_places(self) -> list[ListedCamera]:
        """Cameras in whose place a fire can be staged."""
        return [each for each in self.cameras if each.clip in BURNS]

    async def stage(self, each: ListedCamera, *, wanted: bool) -> bool:
        """Let the fire begin at this camera's next key picture, or end it; whether the camera plays."""
        answer = await self.servers[each.clip].ask(Stage(streams=(each.stream,), wanted=wanted), Answered)
        return answer.n == 1

    async def statuses(self) -> list[Status]:
        """What the load servers say of themselves."""
        return [await server.ask(AskStatus(), Status) for server in self.servers.values()]


def listed_cameras(count: int, ports: Mapping[CountyClip, int]) -> tuple[GridTree, list[ListedCamera]]:
    """The grids, and so many live cameras in them, no two at one place, each with the zones of its scene."""
    county = build_county(int(COUNTY_CODE), cameras_total=200, sensors_total=0)
    random = Random(f"{COUNTY_CODE}/pipeline")
    zones = {clip: zones_of(scene_of(clip)) for clip in ports}
    streams = dict.fromkeys(ports, 0)
    listed = []
    for number in range(count):
        clip = SHARES[number % len(SHARES)]
        home = county.communities[number % len(county.communities)]
        lon, lat = point_near(random, home.polygon, home.centre, 0.05)
        id_ = f"{COUNTY_CODE}00001320{number + 1:06d}"
        own = tuple(structs.replace(each, id=f"{id_}/{each.id}") for each in zones[clip])
        camera = Camera(
            id=id_,
            name=f"{home.name}{number + 1:04d}",
            place=Place(lon, lat, home.grid_code, fire_zone=f"fz-{number + 1:05d}"),
            owner="城管局",
            url=f"rtsp://127.0.0.1:{ports[clip]}/cam/{streams[clip]}",
            zones=own,
            live=True,
        )
        listed.append(ListedCamera(camera, clip, streams[clip]))
        streams[clip] += 1
    return county.grids, listed


@asynccontextmanager
async def county_server(clip: CountyClip, streams: int, groups: int) -> AsyncIterator[tuple[LineProcess, Ready]]:
    """The load server of one kind of place, on a free port."""
    arguments = ["--port", "0", "--clip", clip.value, "--streams", str(2 * streams + 10), "--groups", str(groups)]
    server = await LineProcess.start("bench.county_server", arguments)
    try:
        yield server, await server.hear(Ready)
    finally:
        await server.stop()


@asynccontextmanager
async def running_county(
    folder: Path, count: int, clock: Clock, *, groups: int, settings: Mapping[str, Mapping[str, object]]
) -> AsyncIterator[RunningCounty]:
    """Load servers, broker and installation, started. `settings` go over the defaults, section by section.

    Raises ConfigError, LinkClosed.
    """
    allow_open_files(4 * count + 1_000)
    async with AsyncExitStack() as exits:
        servers = await _servers(exits, count, groups)
        tree, listed = listed_cameras(count, {clip: ready.port for clip, (_, ready) in servers.items()})
        mqtt_port = free_port()
        sections: dict[str, dict[str, object]] = {
            "sim": {"enabled": False},
            "mqtt": {"url": f"mqtt://127.0.0.1:{mqtt_port}"},
            "ingest": {"connect_rate_per_s": _CONNECT_PER_S},
            "inference": {},
        }
        for name, values in settings.items():
            sections.setdefault(name, {}).update(values)
        stack = Stack(folder, sections, clock, log_level="info")
        cameras = tuple(each.camera for each in listed)
        catalogue = Catalogue(site=COUNTY_CODE, county=COUNTY_CODE, version=1, cameras=cameras, sensors=())
        write_whole(folder / "var/county/grids.geojson", grids_geojson(tree))
        write_whole(folder / "var/county/catalogue.json", catalogue_json(catalogue))
        await exits.enter_async_context(broker(folder, mqtt_port, outside=MOSQUITTO is not None))
        exits.push_async_callback(asyncio.to_thread, stack.stop)
        await asyncio.to_thread(stack.start)
        await asyncio.to_thread(stack.wait_ready, _START_S)
        yield RunningCounty(listed, stack, {clip: server for clip, (server, _) in servers.items()}, clock)


async def _servers(exits: AsyncExitStack, count: int, groups: int) -> dict[CountyClip, tuple[LineProcess, Ready]]:
    """All at once, since each draws its clips first; only those that a camera of so few plays."""
    clips: Sequence[CountyClip] = list(dict.fromkeys(SHARES[number % len(SHARES)] for number in range(count)))

    async def start(clip: CountyClip) -> tuple[LineProcess, Ready]:
        return await exits.enter_async_context(county_server(clip, count, groups))

    return dict(zip(clips, await asyncio.gather(*map(start, clips)), strict=True))
