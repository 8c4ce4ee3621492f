"""What becomes of each message: readings, claims and news, or a refusal with its reason. No waiting in here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from contracts import wire
from contracts.errors import RefusedInput, SourceUnreachable, TooLarge
from contracts.instant import SECOND
from contracts.observation import Observation
from contracts.reading import Quality
from contracts.source import Catalogue, Sensor, SourceKind, SourceState
from ingest.health import ChangeBoard, SourceHealth
from ingest.mqtt.reading import to_reading
from ingest.mqtt.signals import Signals

if TYPE_CHECKING:
    from contracts.instant import Instant
    from ingest.config import MqttConfig
    from ingest.mqtt.mapping import TopicTable
    from ingest.mqtt.session import MqttMessage
    from runtime.log import CountedLog
    from runtime.metrics import StageCounters

_STALE: Final = SourceUnreachable("传感器已漏报三个周期 (missed three periods); 请检查供电与网络", reason="stale")
_DOUBTS: Final = {
    "out_of_range": "连续上报不可能的数值 (impossible values in a row); 请检查传感器与接线",
    "stuck": "数值长时间毫无变化 (the value has not moved for hours); 请检查传感器",
}
_NAME_MAX: Final = 64


class SensorReceiver:
    """All sensors of the catalogue. Messages in, encoded Observations out; refusals are counted and logged."""

    def __init__(
        self,
        site: str,
        config: MqttConfig,
        table: TopicTable,
        board: ChangeBoard,
        counters: StageCounters,
        log: CountedLog,
    ) -> None:
        self._site = site
        self._config = config
        self._table = table
        self._board = board
        self._counters = counters
        self._log = log
        self._signals = Signals(site, shared=bool(config.shared_group))
        self._sensors: dict[str, Sensor] = {}
        self._health: dict[str, SourceHealth] = {}

    def apply(self, catalogue: Catalogue) -> None:
        """Know exactly the sensors of this catalogue."""
        sensors = {sensor.id: sensor for sensor in catalogue.sensors}
        for gone in self._sensors.keys() - sensors.keys():
            self._signals.forget(gone)
            self._health.pop(gone, None)
        for sensor in sensors.values():
            if sensor.id not in self._health:
                self._health[sensor.id] = SourceHealth(
                    sensor.id, SourceKind.SENSOR, self._site, exercise=sensor.exercise
                )
        self._sensors = sensors
        self._counters.gauge("sensors_wanted", len(sensors))

    def observe(self, messages: Sequence[MqttMessage]) -> list[bytes]:
        """What these messages claim, encoded, in order."""
        payloads: list[bytes] = []
        for message in messages:
            try:
                payloads += [wire.encode(claim) for claim in self._message(message)]
            except Exception as defect:  # noqa: BLE001 - one message must never end the county's sensors
                self._refused(RefusedInput(f"处理时程序出错 (a defect): {defect!r}", reason="bug"), message)
        return payloads

    def _message(self, message: MqttMessage) -> list[Observation]:
        self._counters.count("messages_received")
        if message.taken:
            self._counters.count("messages_redelivered")
            return []
        try:
            size = len(message.payload)
            if size > self._config.max_payload_bytes:
                raise TooLarge(
                    f"载荷超过 {self._config.max_payload_bytes} 字节 (the payload is over the bound)",
                    reason="too_large",
                )
            raws = self._table.read(message.topic, message.payload, message.heard_at, self._sensors.__contains__)
        except RefusedInput as error:
            self._refused(error, message)
            return []
        claims: list[Observation] = []
        for raw in raws:
            try:
                sensor = self._sensors.get(raw.sensor_id)
                reading = to_reading(
                    raw,
                    sensor,
                    message.arrival,
                    message.heard_at,
                    retained=message.retained,
                    late_max_s=self._config.late_max_s,
                    future_max_s=self._config.future_max_s,
                )
            except RefusedInput as error:
                self._refused(error, message)
                continue
            assert sensor is not None
            if raw.time is not None and raw.time - message.arrival > self._config.future_max_s * SECOND:
                self._counters.count("clock_ahead")
            self._counters.count("readings", reading.quality.value)
            if reading.quality is Quality.BAD:
                self._implausible(reading.value, sensor)
            found = self._signals.step(sensor, reading)
            self._tell_state(sensor, raw.time, message.arrival)
            self._counters.count("observations_made", n=len(found))
            claims += found
        return claims

    def _tell_state(self, sensor: Sensor, told: Instant | None, now: Instant) -> None:
        """It reports: live, suspect while its values make no sense; a clock ahead of ours is told beside it."""
        health = self._health[sensor.id]
        doubts = self._signals.doubts(sensor.id)
        if doubts:
            self._board.post(health.become(SourceState.SUSPECT, doubts[0], _DOUBTS[doubts[0]], now))
            return
        self._board.post(health.live(now))
        if told is not None:
            # Behind ours it may be late on its way; ahead of ours only the clock can be wrong.
            self._board.post(health.clock_offset(max(told - now, 0), now))

    def _implausible(self, value: float, sensor: Sensor) -> None:
        text = (
            f"数值 {value:g} 超出 {sensor.valid_min:g} 至 {sensor.valid_max:g} {sensor.unit} "
            "(beyond what is physically possible); 未使用"
        )
        self._counters.refuse("readings_refused", "out_of_range", sensor.id, text)

    def _refused(self, error: RefusedInput, message: MqttMessage) -> None:
        source = self._table.sensor_of(message.topic) or message.topic
        self._counters.refuse("messages_refused", error.reason, source[:_NAME_MAX], str(error))
        self._log.warning(
            f"refused {error.reason}", "A sensor message was refused", topic=message.topic[:200], error=str(error)
        )

    def find_stale(self, now: Instant, since: Instant | None) -> None:
        """Report sensors that missed three periods since we are connected; without a connection that is not
        their fault, and the connection's end is news of its own."""
        if since is None:
            return
        stale = self._signals.stale(self._sensors, now, since)
        for sensor_id in stale:
            self._board.post(self._health[sensor_id].become(SourceState.STALE, _STALE.reason, str(_STALE), now))
        self._counters.gauge("sensors_stale", len(stale))
