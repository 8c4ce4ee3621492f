"""The simulated sensors: SenML (RFC 8428) over MQTT, each at its period, and alarms that happen once.

Topic: `sensors/<sensor id>/senml`, which `[mqtt]` maps by default. A message is one SenML pack: base name
`urn:gw:sensor:<sensor id>:`, base time in Unix seconds, then `value` with its unit, or `alarm` 0/1 and, while in
alarm, `alarm_id`, the device's own id of that alarm.
"""

from __future__ import annotations

import asyncio
import heapq
import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from contracts.instant import SECOND, Instant
from contracts.source import Sensor, SensorKind
from runtime.supervise import wait_or_stop

if TYPE_CHECKING:
    from runtime.clock import Clock
    from sim.mqtt_link import MqttLink

USUAL: dict[SensorKind, tuple[float, float]] = {
    SensorKind.HEAT: (22.0, 1.5),
    SensorKind.GAS_LEL: (1.0, 0.4),
    SensorKind.CO: (2.0, 0.8),
    SensorKind.WATER_LEVEL: (0.02, 0.005),
    SensorKind.ELECTRICAL: (80.0, 12.0),
}
"""Middle and spread of what a sensor measures on a quiet day, in its unit. Kinds left out only know alarm 0/1."""
UNACKNOWLEDGED_MAX = 1_000
"""With so many messages on their way periodic ones are left out; alarms wait."""


@dataclass(frozen=True)
class ScheduledAlarm:
    """A sensor goes into alarm `after_s` seconds after the start and stays there. `value` for measuring kinds."""

    sensor_id: str
    after_s: float
    alarm_id: str
    value: float | None = None


def sensor_topic(sensor_id: str) -> str:
    """Where a sensor publishes."""
    return f"sensors/{sensor_id}/senml"


def senml(
    sensor_id: str,
    at: Instant,
    *,
    alarm: bool | None = None,
    alarm_id: str | None = None,
    value: float | None = None,
    unit: str = "",
) -> bytes:
    """One SenML pack in JSON; at least one of `alarm` and `value` must be given."""
    records: list[dict[str, object]] = []
    if alarm is not None:
        records.append({"n": "alarm", "v": int(alarm)})
    if alarm_id is not None:
        records.append({"n": "alarm_id", "vs": alarm_id})
    if value is not None:
        records.append({"n": "value", "u": unit, "v": value} if unit else {"n": "value", "v": value})
    if not records:
        raise ValueError("a SenML pack needs an alarm or a value")
    records[0] = {"bn": f"urn:gw:sensor:{sensor_id}:", "bt": round(at / SECOND, 6), **records[0]}
    return json.dumps(records, separators=(",", ":")).encode()


def usual_value(sensor: Sensor, seed: int, tick: int) -> float | None:
    """What the sensor measures at its `tick`-th message of a quiet day; None when it only knows alarms."""
    usual = USUAL.get(sensor.kind)
    if usual is None:
        return None
    own = Random(f"{seed}/{sensor.id}").gauss(usual[0], usual[1])
    noise = Random(f"{seed}/{sensor.id}/{tick}").gauss(0.0, usual[1] / 4)
    return round(min(max(own + noise, sensor.valid_min, 0.0), sensor.valid_max), 3)


class SensorFleet:
    """All sensors of a county on one connection.

    `sent` counts messages, `left_out` periodic ones that the broker was too slow for.
    Raises ValueError when an alarm names a sensor that the fleet does not hold.
    """

    def __init__(
        self,
        sensors: Sequence[Sensor],
        alarms: Sequence[ScheduledAlarm],
        seed: int,
        link: MqttLink,
        clock: Clock,
    ) -> None:
        self.sent = 0
        self.left_out = 0
        self._sensors = {sensor.id: sensor for sensor in sensors}
        self._alarms = {alarm.sensor_id: alarm for alarm in alarms}
        unknown = self._alarms.keys() - self._sensors.keys()
        if unknown:
            raise ValueError(f"alarms are scheduled for sensors that do not exist: {sorted(unknown)}")
        self._seed = seed
        self._link = link
        self._clock = clock
        self._sending: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until `stop`; phases are spread over the period, so that messages come evenly."""
        start_ns = self._clock.monotonic_ns()
        due = [
            (Random(f"{self._seed}/{s.id}/phase").uniform(0, s.period_s), s.id, 0) for s in self._sensors.values()
        ]
        due += [(alarm.after_s, alarm.sensor_id, -1) for alarm in self._alarms.values()]
        heapq.heapify(due)
        while due and not stop.is_set():
            at_s, sensor_id, tick = heapq.heappop(due)
            wait_s = at_s - (self._clock.monotonic_ns() - start_ns) / SECOND
            if wait_s > 0 and await wait_or_stop(self._clock, stop, wait_s):
                break
            elapsed_s = (self._clock.monotonic_ns() - start_ns) / SECOND
            self._send(sensor_id, tick, elapsed_s)
            if tick >= 0:
                period_s = self._sensors[sensor_id].period_s
                late = max(int((elapsed_s - at_s) / period_s), 0)
                heapq.heappush(due, (at_s + period_s * (1 + late), sensor_id, tick + 1 + late))
        await stop.wait()
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    def _send(self, sensor_id: str, tick: int, elapsed_s: float) -> None:
        if tick >= 0 and len(self._sending) >= UNACKNOWLEDGED_MAX:
            self.left_out += 1
            return
        task = asyncio.get_running_loop().create_task(
            self._link.publish(sensor_topic(sensor_id), self._message(sensor_id, tick, elapsed_s))
        )
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        self.sent += 1

    def _message(self, sensor_id: str, tick: int, elapsed_s: float) -> bytes:
        sensor = self._sensors[sensor_id]
        alarm = self._alarms.get(sensor_id)
        alarming = alarm is not None and (tick < 0 or elapsed_s >= alarm.after_s)
        value = usual_value(sensor, self._seed, tick)
        if alarm is not None and alarming and alarm.value is not None:
            value = alarm.value
        return senml(
            sensor_id,
            self._clock.now(),
            alarm=alarming if value is None else None,
            alarm_id=alarm.alarm_id if alarm is not None and alarming else None,
            value=value,
            unit=sensor.unit,
        )


async def publish_alarms(
    link: MqttLink,
    sensors: Sequence[Sensor],
    count: int,
    clock: Clock,
    *,
    rate_per_s: float = 0.0,
    run: str = "run",
) -> list[str]:
    """Publish `count` single-shot alarms in turn from `sensors` (smoke detectors, call points).

    Each has an alarm id of its own, `<run>-<number>`, and is sent until the broker acknowledged it. `rate_per_s`:
    0 = as fast as the broker takes them. Returns the alarm ids, all acknowledged, in the order of sending.
    """
    begun_ns = clock.monotonic_ns()
    sending = []
    ids = []
    for number in range(count):
        sensor = sensors[number % len(sensors)]
        alarm_id = f"{run}-{number:06d}"
        if rate_per_s > 0:
            ahead_s = number / rate_per_s - (clock.monotonic_ns() - begun_ns) / SECOND
            if ahead_s > 0:
                await clock.asleep(ahead_s)
        payload = senml(sensor.id, clock.now(), alarm=True, alarm_id=alarm_id)
        sending.append(asyncio.ensure_future(link.publish(sensor_topic(sensor.id), payload)))
        ids.append(alarm_id)
        if number % 50 == 49:
            await asyncio.wait(sending[-50:], return_when=asyncio.FIRST_COMPLETED)
    await asyncio.gather(*sending)
    return ids
