"""A private installation on this machine for tests, drills and benchmarks: real processes, free ports, own folder.

with Stack(folder) as stack: stack.wait_ready(60); stack.get("/api/v1/tickets")
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from contracts.errors import LinkClosed
from contracts.instant import SECOND
from runtime.clock import Clock, SystemClock

ROOT = Path(__file__).resolve().parents[1]


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def toml(sections: Mapping[str, Mapping[str, object]]) -> str:
    """Sections of plain values (text, numbers, truth values, lists) as TOML."""
    lines = []
    for name, values in sections.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


class Stack:
    """`gridwhistle run` with a configuration of its own. `settings` go over the defaults, section by section."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Mapping[str, object]] | None = None,
        clock: Clock | None = None,
        *,
        log_level: str = "warning",
    ) -> None:
        self.folder = folder
        self._log_level = log_level
        self.clock = clock or SystemClock()
        self.api_port, self.mqtt_port, platform_port = free_port(), free_port(), free_port()
        self.address = f"http://127.0.0.1:{self.api_port}"
        defaults: dict[str, dict[str, object]] = {
            "site": {"id": "152921", "name": "阿拉善左旗", "county": "152921"},
            "paths": {
                "state": str(folder / "var"),
                "grids": str(folder / "var/county/grids.geojson"),
                "catalogue": str(folder / "var/county/catalogue.json"),
                "models": str(ROOT / "models"),
            },
            "mqtt": {"url": f"mqtt://127.0.0.1:{self.mqtt_port}", "protocol": "3.1.1"},
            "alerts": {"reserve_mib": 8},
            "webhook": {"url": f"http://127.0.0.1:{platform_port}/events", "secret_file": "platform-secret"},
            "api": {"port": self.api_port},
            "sim": {
                "enabled": True,
                "rtsp_port": free_port(),
                "mqtt_port": self.mqtt_port,
                "platform_port": platform_port,
            },
        }
        if settings is not None and settings.get("sim", {}).get("enabled") is False:
            del defaults["webhook"]
        for section, values in (settings or {}).items():
            defaults.setdefault(section, {}).update(values)
        self.settings = defaults
        self.config_file = folder / "gridwhistle.toml"
        self.log_file = folder / "log.txt"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def run_dir(self) -> Path:
        """The folder of sockets."""
        return self.folder / "var" / "run"

    @property
    def database(self) -> Path:
        """The database that alerts writes."""
        return self.folder / "var" / "gridwhistle.sqlite"

    def write_config(self) -> None:
        """Write the configuration file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config_file.write_text(toml(self.settings), encoding="utf-8")

    def start(self) -> None:
        """Write the configuration and start all processes."""
        self.write_config()
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *[sys.executable, "-m", "gridwhistle", "run", "--config", str(self.config_file)],
                    *["--log-level", self._log_level],
                ],
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )

    def wait_ready(self, seconds: float) -> None:
        """Until the API reads the database of alerts. Raises LinkClosed with the log's end after `seconds`."""
        deadline_ns = self.clock.monotonic_ns() + round(seconds * SECOND)
        while self.clock.monotonic_ns() < deadline_ns:
            try:
                if (
                    httpx.get(self.address + "/api/v1/tickets", timeout=2.0, trust_env=False).status_code
                    == httpx.codes.OK
                ):
                    return
            except httpx.HTTPError:
                pass
            if self._process is None or self._process.poll() is not None:
                break
            self.clock.sleep(0.25)
        raise LinkClosed(f"the installation in {self.folder} is not ready:\n{self.log_tail()}")

    def log_tail(self, lines: int = 30) -> str:
        """The end of what all processes said."""
        text = self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def get(self, path: str, **parameters: str | int) -> Any:
        """JSON of a GET on the API. Raises httpx.HTTPError."""
        answer = httpx.get(self.address + path, params=parameters, timeout=10.0, trust_env=False)
        answer.raise_for_status()
        return answer.json()

    def wait_gauge(self, service: str, name: str, value: float, seconds: float) -> None:
        """Until a service reports `name` = `value`. Raises LinkClosed after `seconds`."""
        deadline_ns = self.clock.monotonic_ns() + round(seconds * SECOND)
        while self.clock.monotonic_ns() < deadline_ns:
            services = self.get("/api/v1/health")["services"]
            if any(each["service"] == service and each["gauges"].get(name) == value for each in services):
                return
            self.clock.sleep(0.5)
        raise LinkClosed(f"{service} does not report {name} = {value:g}:\n{self.log_tail()}")

    def pids(self) -> dict[str, int]:
        """Process ids by name at this moment."""
        try:
            children: dict[str, int] = json.loads((self.run_dir / "processes.json").read_text())["children"]
        except (OSError, ValueError, KeyError):
            return {}
        return children

    def kill(self, name: str) -> int | None:
        """kill -9 of one process; its pid, None when it does not run just now."""
        pid = self.pids().get(name)
        if pid is None:
            return None
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return None
        return pid

    def stop(self) -> None:
        """End all processes."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
