"""A Mosquitto of its own for a test, on a free port, with its persistence in a folder of the test."""

from __future__ import annotations

import asyncio
import getpass
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from runtime.clock import SystemClock


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def mosquitto(folder: Path, *, lines: tuple[str, ...] = ("allow_anonymous true",)) -> AsyncIterator[int]:
    """The port of a running broker."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("mosquitto is not installed (apt install mosquitto)")
    port = free_port()
    config = folder / "mosquitto.conf"
    config.write_text(
        f"user {getpass.getuser()}\nlistener {port} 127.0.0.1\nmax_queued_messages 0\n" + "\n".join(lines) + "\n"
    )
    process = await asyncio.create_subprocess_exec(
        program, "-c", str(config), stderr=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await answering(port)
        yield port
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def answering(port: int) -> None:
    """Wait until something listens."""
    for _ in range(200):
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            await writer.wait_closed()
            return
        await SystemClock().asleep(0.02)
    raise AssertionError(f"nothing listens on port {port}")


class Publisher:
    """A device's connection."""

    def __init__(self, port: int, user: str = "", password: str = "") -> None:
        self.client = Client(CallbackAPIVersion.VERSION2, client_id=f"device-{id(self)}")
        if user:
            self.client.username_pw_set(user, password)
        self._port = port

    async def __aenter__(self) -> Publisher:
        await asyncio.to_thread(self.client.connect, "127.0.0.1", self._port, 30)
        self.client.loop_start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.client.disconnect()
        await asyncio.to_thread(self.client.loop_stop)

    async def publish(self, topic: str, payload: bytes | str, *, retain: bool = False, qos: int = 1) -> None:
        """Publish and wait for the broker's acknowledgement."""
        info = self.client.publish(topic, payload, qos=qos, retain=retain)
        await asyncio.to_thread(info.wait_for_publish, 20)
        assert info.is_published()
