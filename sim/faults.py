"""Bad input on demand, for drills and tests: RTSP paths and MQTT messages that a county's pipeline must refuse.

`fault_mounts` gives the RTSP paths; each MQTT fault is a function that publishes with QoS 1 and returns after the
broker's PUBACK.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from contracts.instant import MINUTE, Instant
from contracts.source import Sensor
from sim.h264 import NAL_AUD, NAL_PPS, NAL_SEI, NAL_SPS, nal_type
from sim.rtp_stream import EncodedPicture, LiveStream, Viewer
from sim.rtsp_message import Request
from sim.rtsp_server import Mount
from sim.sensors import senml, sensor_topic

if TYPE_CHECKING:
    from runtime.clock import Clock
    from sim.mqtt_link import MqttLink

STALL_AFTER = 10
"""Pictures that `/fault/stall` and `/fault/cut` send before they stop."""
HUGE_BYTES = 100 * 1024 * 1024
_HEADERS = frozenset({NAL_SEI, NAL_SPS, NAL_PPS, NAL_AUD})


def fault_mounts(source: LiveStream, clock: Clock) -> dict[str, Mount]:
    """Paths that misbehave, fed from `source`:

    `/fault/garbage` answers every request with bytes that are no RTSP; `/fault/silent` answers nothing;
    `/fault/refused` wants a login that nobody has (401); `/fault/missing` does not exist (404);
    `/fault/stall` plays some pictures, then nothing, and keeps the connection; `/fault/cut` closes it instead;
    `/fault/truncated` sends each picture with its second half missing; `/fault/noise` plays, then writes bytes
    that are neither RTP nor RTSP into the connection.
    """
    noise = Random(source.name).randbytes(600)
    return {
        "/fault/garbage": Mount(source, answer=lambda _: noise),
        "/fault/silent": Mount(source, answer=_silence),
        "/fault/refused": Mount(source, users={"nobody": noise.hex()}),
        "/fault/stall": Mount(StallingStream(source, clock)),
        "/fault/cut": Mount(StallingStream(source, clock, then=lambda viewer: viewer.cut_off())),
        "/fault/truncated": Mount(TruncatedStream(source, clock)),
        "/fault/noise": Mount(StallingStream(source, clock, then=lambda viewer: viewer.write(noise))),
    }


def _silence(_request: Request) -> bytes:
    return b""


class _Relay(LiveStream):
    """A stream that gets its pictures from another one."""

    def __init__(self, source: LiveStream, clock: Clock) -> None:
        super().__init__(f"{source.name}/{type(self).__name__}", clock)
        source.taps.append(self.relay)

    def relay(self, units: list[bytes], picture: EncodedPicture) -> None:
        """Pass a picture on."""
        self.publish_units(units, picture)


class TruncatedStream(_Relay):
    """Each slice loses its second half, so that every picture is damaged."""

    def relay(self, units: list[bytes], picture: EncodedPicture) -> None:
        """Pass half a picture on."""
        cut = [u if nal_type(u) in _HEADERS else u[: max(len(u) // 2, 2)] for u in units]
        self.publish_units(cut, picture)


class StallingStream(_Relay):
    """After `STALL_AFTER` pictures since its latest viewer came it sends nothing more; `then` happens once."""

    def __init__(self, source: LiveStream, clock: Clock, then: Callable[[Viewer], None] | None = None) -> None:
        super().__init__(source, clock)
        self._left = 0
        self._then = then
        self._latest: Viewer | None = None

    def add(self, viewer: Viewer) -> None:
        """A viewer came: play again for a while."""
        super().add(viewer)
        self._left = STALL_AFTER
        self._latest = viewer

    def relay(self, units: list[bytes], picture: EncodedPicture) -> None:
        """Pass a picture on until it is enough. Parameter sets are learnt even when nobody watches."""
        if self._left > 0 or self.parameter_sets is None:
            self.publish_units(units, picture)
            if self.viewers > self.joining:
                self._left -= 1
                if self._left == 0 and self._then is not None and self._latest is not None:
                    self._then(self._latest)


async def publish_huge(link: MqttLink, sensor: Sensor, size: int = HUGE_BYTES) -> None:
    """A payload of `size` bytes."""
    await link.publish(sensor_topic(sensor.id), b"[" + b" " * (size - 2) + b"]")


async def publish_invalid_json(link: MqttLink, sensor: Sensor) -> None:
    """A payload that ends in the middle."""
    await link.publish(sensor_topic(sensor.id), b'[{"bn":"urn:gw:sensor:')


async def publish_wrong_shape(link: MqttLink, sensor: Sensor) -> None:
    """JSON that is no SenML: two values in one record, and no number where one belongs."""
    await link.publish(sensor_topic(sensor.id), b'[{"n":"value","v":"hot","vs":"hot"},7,null]')


async def publish_not_text(link: MqttLink, sensor: Sensor) -> None:
    """Bytes that are no UTF-8."""
    await link.publish(sensor_topic(sensor.id), bytes(range(256)))


async def publish_unknown_sensor(link: MqttLink, clock: Clock, sensor_id: str = "15292100021346999999") -> None:
    """An alarm of a sensor that the catalogue does not hold."""
    await link.publish(sensor_topic(sensor_id), senml(sensor_id, clock.now(), alarm=True, alarm_id="unknown-1"))


async def publish_impossible_value(link: MqttLink, clock: Clock, sensor: Sensor, value: float = -999.0) -> None:
    """The value that broken transmitters send."""
    await link.publish(sensor_topic(sensor.id), senml(sensor.id, clock.now(), value=value, unit=sensor.unit))


async def publish_retained_old(link: MqttLink, clock: Clock, sensor: Sensor) -> None:
    """An alarm of ten minutes ago that the broker keeps and gives to every new subscriber."""
    await link.publish(sensor_topic(sensor.id), _old_alarm(clock, sensor, "retained-1"), retain=True)


async def clear_retained(link: MqttLink, sensor: Sensor) -> None:
    """Take a retained message back (MQTT-3.3.1-10)."""
    await link.publish(sensor_topic(sensor.id), b"", retain=True)


async def publish_old(link: MqttLink, clock: Clock, sensor: Sensor) -> None:
    """An alarm of ten minutes ago, sent now."""
    await link.publish(sensor_topic(sensor.id), _old_alarm(clock, sensor, "old-1"))


def _old_alarm(clock: Clock, sensor: Sensor, alarm_id: str) -> bytes:
    return senml(sensor.id, Instant(clock.now() - 10 * MINUTE), alarm=True, alarm_id=alarm_id)
