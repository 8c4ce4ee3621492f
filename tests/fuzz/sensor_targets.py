"""Targets on the sensor side: MQTT packets of a broker, SenML and JSON all the way to claims."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from paho.mqtt.client import MQTTv5
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from contracts import wire
from contracts.errors import RefusedInput
from contracts.instant import SECOND, Instant
from contracts.place import Place
from contracts.source import Catalogue, Sensor, SensorKind
from ingest.config import MqttConfig, TopicMapping
from ingest.health import ChangeBoard
from ingest.mqtt.client import BrokerClient
from ingest.mqtt.mapping import TopicTable
from ingest.mqtt.packets import Publication
from ingest.mqtt.receive import SensorReceiver
from ingest.mqtt.session import MqttMessage
from runtime.clock import SimClock
from runtime.log import CountedLog
from runtime.metrics import StageCounters
from tests.fuzz.campaign import Target

NOW: Final = Instant(1_795_000_000 * SECOND)
_UNITS: Final = {
    SensorKind.HEAT: "Cel", SensorKind.GAS_LEL: "%LEL", SensorKind.CO: "ppm", SensorKind.WATER_LEVEL: "m",
    SensorKind.ELECTRICAL: "mA",
}  # fmt: skip
SENSORS: Final = tuple(
    Sensor(
        id=f"S-{number}",
        name=kind.value,
        kind=kind,
        place=Place(105.7, 38.8),
        owner="o",
        unit=_UNITS.get(kind, ""),
        valid_min=-40,
        valid_max=2000,
    )
    for number, kind in enumerate(SensorKind)
)
_VENDOR: Final = TopicMapping(
    topic="vendor/#",
    sensor_id="/dev/id",
    value="/data/0/val",
    unit="/data/0/u",
    time="/ts",
    alarm_id="/data/0/a~1b",
)


def reading_target(name: str, topics: tuple[str, ...], words: tuple[bytes, ...]) -> Target:
    """Payloads through the whole of the sensor role that judges; it refuses and counts by itself, so nothing may
    come
    out of it but claims that can be sent."""
    config = MqttConfig(mapping=(*MqttConfig().mapping, TopicMapping(topic="pack", format="senml"), _VENDOR))
    counters = StageCounters("fuzz")
    log = CountedLog(SimClock())
    receiver = SensorReceiver("1", config, TopicTable(config.mapping), ChangeBoard(), counters, log)
    receiver.apply(Catalogue(site="1", county="1", version=1, cameras=(), sensors=SENSORS))
    state = {"inputs": 0}

    def judged() -> int:
        return counters.total("readings", "good") + counters.total("readings", "bad")

    def run(data: bytes) -> None:
        state["inputs"] += 1
        # Back and forth within the bound of late messages, so that most of them are judged.
        at = Instant(NOW + state["inputs"] * 7 % 110 * SECOND)
        before = judged()
        for topic in topics:
            message = MqttMessage(topic, data, 1, False, False, at, 1, None, at)
            for payload in receiver.observe([message]):
                wire.decode_log_record(payload)
        counters.take_refused()
        if judged() == before:
            raise RefusedInput("refused and counted under every topic")

    def kept() -> int:
        histories = sum(len(each.history) for each in receiver._signals._states.values())
        return len(counters._totals) * 100 + histories * 50 + len(receiver._signals._states) * 1000

    return Target(name, run, refuses=(RefusedInput,), words=words, kept=kept, kept_max=2_000_000)


class ScriptedBroker:
    """What a broker sends, read by a client as from a socket."""

    def __init__(self, data: bytes) -> None:
        self._pieces = deque([data[at : at + 700] for at in range(0, len(data), 700)])

    def recv(self, size: int) -> bytes:
        if not self._pieces:
            raise BlockingIOError
        piece = self._pieces.popleft()
        if len(piece) > size:
            self._pieces.appendleft(piece[size:])
        return piece[:size]

    def send(self, data: bytes) -> int:
        return len(data)

    def pending(self) -> int:
        return 0

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        return


def mqtt_target() -> Target:
    """Packets of a broker, through paho and our reading of PUBLISH, in both versions."""
    state = {"kept": 0}

    def read(data: bytes, version: MQTTProtocolVersion) -> None:
        client = BrokerClient(CallbackAPIVersion.VERSION2, client_id="fuzz", protocol=version, manual_ack=True)
        client.packet_bytes_max = 4096
        client.on_publication = check
        client.on_pong = lambda: None
        source: Any = ScriptedBroker(data)
        client._sock = source
        for _ in range(len(data) // 2 + 10):
            if client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS or client._sock is None:
                break
        state["kept"] = max(state["kept"], len(client._in_packet["packet"]) + len(client._buffer))
        client._sock = None

    def check(publication: Publication) -> None:
        assert publication.qos in (0, 1, 2)
        assert len(publication.payload) <= 4096 + 65_536

    def run(data: bytes) -> None:
        read(data, MQTTv5 if len(data) & 1 else MQTTProtocolVersion.MQTTv311)

    return Target(
        "mqtt",
        run,
        words=(b"\x20\x03\x00\x00\x00", b"\x90\x03", b"\x32", b"\x3a", b"\x36", b"\xd0\x00", b"\xe0\x00",
        b"\xff\xff\xff\x7f",        b"\x62\x02", b"\x50\x02", b"\x70\x02", b"\xf0\x00", b"\x40\x02",
        b"\x80\x80\x80\x80\x01", b"\x23\x00\x01"), kept=lambda: state["kept"], kept_max=4096 + 2 * 65_536,
    )  # fmt: skip


_SENML: Final = (
    b'"bn":', b'"bt":', b'"bu":', b'"bv":', b'"bs":', b'"bver":', b'"n":', b'"u":', b'"v":', b'"vs":', b'"vb":',
    b'"vd":', b'"s":', b'"t":', b'"ut":', b'"x_":', b'"alarm"', b'"alarm_id"', b'"S-1"', b"268435456",
    b'{"n":"alarm","v":1}', b"},{",
)  # fmt: skip
_JSON: Final = (
    b'"value":', b'"unit":', b'"time":', b'"alarm_id":', b'"battery_low":', b'"tamper":',
    b'"2026-11-18T15:06:40+08:00"', b"1795000000000", b'"ppb"', b'"K"', b'"dev":{"id":', b'"data":[',
    b'"0000-13-99T99:99:99Z"', b'"9999-12-31T23:59:60Z"',
)  # fmt: skip


def sensor_targets() -> list[Target]:
    """All of them."""
    senml = (*(f"sensors/S-{number}/senml" for number in (0, 1, 3)), "pack")
    plain = (*(f"sensors/S-{number}/json" for number in (0, 1, 2)), "vendor/x")
    return [reading_target("senml", senml, _SENML), reading_target("json", plain, _JSON), mqtt_target()]
