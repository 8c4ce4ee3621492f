"""The simulated county as a service: `prepare` writes what a site is given, `run` plays the county.

It meets the pipeline through RTSP, MQTT, the catalogue and the grid file alone, and plays the linked platform that
tickets are delivered to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.errors import ConfigError
from runtime.log import get_log
from runtime.shutdown import Shutdown
from runtime.whole_file import write_whole
from sim.broker import EmbeddedBroker
from sim.cameras import CameraFarm, plan_footage, plan_scenes
from sim.config import SimConfig
from sim.county import County, build_county
from sim.export import catalogue_json, grids_geojson
from sim.faults import fault_mounts
from sim.footage import Progress, playable
from sim.mqtt_link import MqttLink
from sim.platform import PlatformReceiver
from sim.rtp_stream import LiveStream
from sim.rtsp_server import Mount, RtspServer
from sim.scenario import LivePart, alarming_sensor, cast_live, make_catalogue
from sim.sensors import ScheduledAlarm, SensorFleet

if TYPE_CHECKING:
    from runtime.clock import Clock
    from runtime.site import Site

STOP_S = 5.0


def _county(config: SimConfig) -> County:
    return build_county(
        config.seed,
        cameras_total=config.cameras_total,
        sensors_total=config.sensors_total,
        sensor_period_s=config.sensor_period_s,
    )


def prepare(site: Site, config: SimConfig, on_progress: Progress = lambda _path, _share: None) -> None:
    """Write the grid file and the catalogue, and make footage playable, before the other services start.

    `on_progress(file, share)` hears of footage that must be transcoded. Raises ConfigError when the site names no
    files for them, or the footage cannot be played.
    """
    if site.grids_file is None or site.catalogue_file is None:
        raise ConfigError(
            "模拟县域需要网格与目录文件的位置 (the simulated county writes a grid file and a catalogue); "
            "set paths.grids and paths.catalogue"
        )
    county = _county(config)
    parts = cast_live(county, config)
    write_whole(site.grids_file, grids_geojson(county.grids))
    write_whole(site.catalogue_file, catalogue_json(make_catalogue(county, config, parts)))
    if config.footage:
        playable(Path(config.footage), footage_cache(site), on_progress)


def footage_cache(site: Site) -> Path:
    """Where transcoded footage is kept."""
    return site.state_dir / "footage"


async def run(site: Site, config: SimConfig, clock: Clock, stop: asyncio.Event) -> None:
    """Broker, RTSP server, cameras, sensors and platform, until `stop`.

    Raises ConfigError when a port is taken or the footage cannot be played.
    """
    county = _county(config)
    parts = cast_live(county, config)
    async with Shutdown(STOP_S) as on_stop:
        broker = await _start_broker(config, on_stop)
        if config.platform_port:
            receiver = PlatformReceiver(
                config.host, config.platform_port, config.platform_secret, site.state_dir / "platform.jsonl", clock
            )
            await _listen("sim.platform_port", config.platform_port, receiver, on_stop)
        farm = await _start_cameras(site, config, parts, clock, on_stop)
        fleet = None
        if broker is not None:
            link = MqttLink(*broker, client_id=f"gridwhistle-sim-{site.id}")
            on_stop("disconnect the sensors", link.close)
            link.start()
            alarms = default_alarms(county, parts, config)
            fleet = SensorFleet(county.sensors, alarms, config.seed, link, clock)
        get_log().info(
            "The simulated county runs",
            live_cameras=len(parts),
            sensors=len(county.sensors),
            rtsp_port=config.rtsp_port,
            broker=":".join(map(str, broker)) if broker else "none",
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(farm.run(stop))
            if fleet is not None:
                tasks.create_task(fleet.run(stop))
            await stop.wait()


def default_alarms(county: County, parts: tuple[LivePart, ...], config: SimConfig) -> list[ScheduledAlarm]:
    """The smoke detector that goes off in the default scenario."""
    if config.alarm_s <= 0 or not county.sensors:
        return []
    sensor = alarming_sensor(county, parts)
    return [ScheduledAlarm(sensor.id, config.alarm_s, f"{sensor.id}-1")]


async def _start_broker(config: SimConfig, on_stop: Shutdown) -> tuple[str, int] | None:
    """Host and port of the broker to publish to; None when there is none."""
    if config.broker:
        host, _, port = config.broker.rpartition(":")
        return host, int(port)
    if not config.mqtt_port:
        return None
    broker = EmbeddedBroker(config.mqtt_port)
    await broker.start()
    on_stop("stop the embedded broker", broker.close)
    return "127.0.0.1", broker.port


async def _start_cameras(
    site: Site, config: SimConfig, parts: tuple[LivePart, ...], clock: Clock, on_stop: Shutdown
) -> CameraFarm:
    """The RTSP server with a stream per live camera, and what feeds them."""
    streams = {part.camera_id: LiveStream(part.camera_id, clock) for part in parts}
    users: Mapping[str, str] = {config.rtsp_user: config.rtsp_password} if config.rtsp_user else {}
    mounts = {f"/live/{camera_id}": Mount(stream, users) for camera_id, stream in streams.items()}
    if streams:
        mounts |= fault_mounts(next(iter(streams.values())), clock)
    server = RtspServer(config.host, config.rtsp_port, clock, mounts)
    await _listen("sim.rtsp_port", config.rtsp_port, server, on_stop)
    start_ns = clock.monotonic_ns()
    if config.footage:
        files = await asyncio.to_thread(
            playable, Path(config.footage), footage_cache(site), lambda _path, _share: None
        )
        plan, players = plan_footage(list(streams), files, streams, config, start_ns)
    else:
        plan, players = plan_scenes(parts, streams, config, start_ns)
    return CameraFarm(plan, players, clock)


async def _listen(key: str, port: int, server: RtspServer | PlatformReceiver, on_stop: Shutdown) -> None:
    try:
        await server.start()
    except OSError as error:
        raise ConfigError(
            f"端口 {port} 无法监听 (cannot listen: {error.strerror}); end the program that uses it or change {key}"
        ) from error
    on_stop(f"close {key}", server.close)
