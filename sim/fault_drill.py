"""A bad-input drill: an installation whose catalogue holds good cameras beside cameras that misbehave, smoke
detectors far apart, and the simulated county's own process that plays them; for tests, and to try by hand."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from contracts.errors import LinkClosed
from contracts.grid import GridTree
from contracts.instant import SECOND
from contracts.source import Camera, Catalogue, Sensor, SensorKind
from runtime.clock import Clock
from runtime.whole_file import write_whole
from sim.alarm_drill import smoke_county
from sim.config import SimConfig
from sim.county import build_county
from sim.export import catalogue_json, grids_geojson
from sim.mqtt_link import MqttLink
from sim.scenario import cast_live, make_catalogue
from sim.sensors import senml, sensor_topic
from sim.stack import ROOT, Stack

FAULTS = ("garbage", "silent", "refused", "missing", "stall", "cut", "truncated", "noise")
"""Faulty cameras by the last part of their path, see sim.faults; `missing` is a path that nobody serves."""
_CAMERAS = 200
_SECRET = "faulty-recorder"
WRONG_PASSWORD = "not-the-password-of-anybody"
"""What the installation shows the camera that wants a login."""


def fault_county(config: SimConfig, sensors: int) -> tuple[GridTree, Catalogue, dict[str, str]]:
    """Grids, catalogue, and the id of the camera behind each fault.

    `config.live_cameras` good cameras; `sensors` smoke detectors and, last, one heat detector.
    """
    county = build_county(config.seed, cameras_total=config.cameras_total, sensors_total=config.sensors_total)
    catalogue = make_catalogue(county, config, cast_live(county, config))
    spare = [camera for camera in catalogue.cameras if not camera.live and not camera.secrecy]
    faulty = {
        camera.id: _faulty(camera, fault, config) for fault, camera in zip(FAULTS, spare[::11], strict=False)
    }
    _, detectors = smoke_county(sensors + 1, config.seed)
    heat = msgspec.structs.replace(
        detectors.sensors[-1], name="感温0001", kind=SensorKind.HEAT, unit="Cel", valid_min=-40.0, valid_max=300.0
    )
    catalogue = msgspec.structs.replace(
        catalogue,
        cameras=tuple(faulty.get(camera.id, camera) for camera in catalogue.cameras),
        sensors=(*detectors.sensors[:-1], heat),
    )
    return county.grids, catalogue, dict(zip(FAULTS, faulty, strict=True))


def _faulty(camera: Camera, fault: str, config: SimConfig) -> Camera:
    return msgspec.structs.replace(
        camera,
        url=f"rtsp://{config.host}:{config.rtsp_port}/fault/{fault}",
        credentials=_SECRET if fault == "refused" else None,
        key_interval_s=config.key_interval_s,
        live=True,
    )


class FaultDrill:
    """The installation (`stack`) and, as a process of its own, what it watches: cameras and a broker.

    The county starts first (`start_county`), so that messages can wait at the broker for the installation.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        live_cameras: int = 2,
        sensors: int = 200,
        settings: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        self.clock = clock
        quick: dict[str, dict[str, object]] = {
            "sim": {
                "enabled": False,
                "cameras_total": _CAMERAS,
                "sensors_total": 0,
                "live_cameras": live_cameras,
                "pictures_per_s": 2.0,
                "onset_s": 86_400.0,
                "alarm_s": 0.0,
                "platform_port": 0,
            },
            "ingest": {
                "secrets": "secrets.toml",
                "stall_s": 5.0,
                "reply_s": 5.0,
                "backoff_first_s": 0.5,
                "backoff_max_s": 4.0,
            },
        }
        for section, values in (settings or {}).items():
            quick.setdefault(section, {}).update(values)
        self.stack = Stack(folder, quick, clock)
        sim = msgspec.convert(self.stack.settings["sim"], SimConfig)
        self.grids, self.catalogue, self.faulty = fault_county(sim, sensors)
        self.sent: list[str] = []
        self._county: subprocess.Popen[bytes] | None = None

    @property
    def detectors(self) -> tuple[Sensor, ...]:
        """The smoke detectors."""
        return self.catalogue.sensors[:-1]

    @property
    def heat(self) -> Sensor:
        """The heat detector."""
        return self.catalogue.sensors[-1]

    @property
    def good_cameras(self) -> list[str]:
        """Ids of the live cameras without a fault."""
        faulty = set(self.faulty.values())
        return [camera.id for camera in self.catalogue.cameras if camera.live and camera.id not in faulty]

    def start_county(self) -> None:
        """Write the installation's files, start the cameras and the broker, and wait until both listen.

        Raises LinkClosed after 60 s.
        """
        stack = self.stack
        write_whole(stack.folder / "var/county/grids.geojson", grids_geojson(self.grids))
        write_whole(stack.folder / "var/county/catalogue.json", catalogue_json(self.catalogue))
        secrets = stack.folder / "var/secrets.toml"
        write_whole(secrets, f'[{_SECRET}]\nuser = "nobody"\npassword = "{WRONG_PASSWORD}"\n'.encode())
        secrets.chmod(0o600)
        stack.write_config()
        with stack.log_file.open("ab") as log:
            self._county = subprocess.Popen(
                [sys.executable, "-m", "gridwhistle", "simulate", "--config", str(stack.config_file)],
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        for port in (stack.mqtt_port, int(str(stack.settings["sim"]["rtsp_port"]))):
            self._wait_port(port)

    def start(self, seconds: float = 180.0) -> None:
        """Start the installation and wait until it hears sensors and looks at pictures.

        Raises LinkClosed with the end of the log after `seconds`.
        """
        deadline_ns = self.clock.monotonic_ns() + round(seconds * SECOND)
        self.stack.start()
        self.stack.wait_ready(seconds)
        while not self._watching():
            if self.clock.monotonic_ns() > deadline_ns:
                raise LinkClosed(f"the installation does not watch its county:\n{self.stack.log_tail()}")
            self.clock.sleep(0.5)

    def _watching(self) -> bool:
        services = {each["service"]: each for each in self.stack.get("/api/v1/health")["services"]}
        hears = services.get("ingest-sensors", {}).get("gauges", {}).get("broker_connected") == 1.0
        looks = services.get("inference", {}).get("counters", {}).get("pictures_analysed", 0) > 0
        return hears and (looks or not self.good_cameras)

    def _wait_port(self, port: int) -> None:
        deadline_ns = self.clock.monotonic_ns() + 60 * SECOND
        while self.clock.monotonic_ns() < deadline_ns:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            self.clock.sleep(0.1)
        raise LinkClosed(f"the county's port {port} does not answer:\n{self.stack.log_tail()}")

    @asynccontextmanager
    async def link(self) -> AsyncIterator[MqttLink]:
        """A device's connection to the broker."""
        link = MqttLink("127.0.0.1", self.stack.mqtt_port)
        link.start()
        try:
            yield link
        finally:
            await link.close()

    async def alarm(self, link: MqttLink) -> str:
        """A good alarm from the next detector; its id, once the broker has it."""
        alarm_id = f"good-{len(self.sent) + 1:05d}"
        self.sent.append(alarm_id)
        sensor = self.detectors[len(self.sent) % len(self.detectors)]
        payload = senml(sensor.id, self.clock.now(), alarm=True, alarm_id=alarm_id)
        await link.publish(sensor_topic(sensor.id), payload)
        return alarm_id

    async def get(self, path: str, **parameters: str | int) -> Any:
        """See Stack.get, without holding the loop up."""
        return await asyncio.to_thread(self.stack.get, path, **parameters)

    def resident_bytes(self, process: str, *, peak: bool = False) -> int:
        """Resident memory of a process of the installation, now or at its highest (VmHWM, proc(5))."""
        status = Path(f"/proc/{self.stack.pids()[process]}/status").read_text()
        key = "VmHWM:" if peak else "VmRSS:"
        [line] = [line for line in status.splitlines() if line.startswith(key)]
        return int(line.split()[1]) * 1024

    def stop(self) -> None:
        """End the installation, then the county."""
        self.stack.stop()
        if self._county is not None:
            self._county.terminate()
            try:
                self._county.wait(20)
            except subprocess.TimeoutExpired:
                self._county.kill()
                self._county.wait()
            self._county = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
