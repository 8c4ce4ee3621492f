from __future__ import annotations

import json

from contracts import wire
from contracts.instant import MINUTE, SECOND, Instant
from contracts.observation import Observation
from contracts.place import Place
from contracts.source import Catalogue, Sensor, SensorKind, SourceState
from ingest.config import MqttConfig
from ingest.health import ChangeBoard
from ingest.mqtt.mapping import TopicTable
from ingest.mqtt.receive import SensorReceiver
from ingest.mqtt.session import MqttMessage
from runtime.clock import SimClock
from runtime.log import CountedLog
from runtime.metrics import StageCounters

NOW = Instant(1_795_000_000 * SECOND)
CONFIG = MqttConfig()


class Receiving:
    """A receiver with what it told."""

    def __init__(self, *sensors: Sensor) -> None:
        self.board = ChangeBoard()
        self.counters = StageCounters("test")
        log = CountedLog(SimClock())
        self.receiver = SensorReceiver("1", CONFIG, TopicTable(CONFIG.mapping), self.board, self.counters, log)
        self.know(1, *sensors)

    def know(self, version: int, *sensors: Sensor) -> None:
        self.receiver.apply(Catalogue(site="1", county="1", version=version, cameras=(), sensors=sensors))

    def message(self, payload: object, *, at: Instant = NOW, sensor_id: str = "S-1") -> list[Observation]:
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        message = MqttMessage(f"county/1/sensor/{sensor_id}/json", raw, 1, False, False, at, 1, None, at)
        records = [wire.decode_log_record(each) for each in self.receiver.observe([message])]
        assert all(isinstance(each, Observation) for each in records)
        return [each for each in records if isinstance(each, Observation)]

    def states(self) -> list[tuple[str, SourceState, str]]:
        return [(each.source_id, each.state, each.reason) for each in self.board.take(100)]


def smoke(name: str = "S-1", period_s: float = 60.0) -> Sensor:
    return Sensor(
        id=name,
        name=name,
        kind=SensorKind.SMOKE,
        place=Place(105.7, 38.8),
        owner="o",
        unit="",
        valid_min=0,
        valid_max=1,
        period_s=period_s,
    )


def test_silent_sensor_becomes_stale_and_live_again_with_its_next_message() -> None:
    ours = Receiving(smoke())
    ours.message({"value": 0})
    assert ours.states() == [("S-1", SourceState.LIVE, "")]
    later = Instant(NOW + 4 * MINUTE)
    ours.receiver.find_stale(later, None)
    assert ours.states() == [], "without a connection silence says nothing"
    ours.receiver.find_stale(later, NOW)
    ours.receiver.find_stale(later, NOW)
    assert ours.states() == [("S-1", SourceState.STALE, "stale")]
    ours.message({"value": 0}, at=Instant(NOW + 5 * MINUTE))
    assert ours.states() == [("S-1", SourceState.LIVE, "")]


def test_clock_ahead_is_counted_and_the_alarm_is_kept() -> None:
    ours = Receiving(smoke())
    claims = ours.message({"value": 1, "time": (NOW + 900 * SECOND) / SECOND, "alarm_id": "a"})
    assert [(each.event_time, each.external_id) for each in claims] == [(NOW, "a")]
    assert ours.counters.total("clock_ahead") == 1


def test_sensor_that_left_the_catalogue_is_refused_and_forgotten() -> None:
    ours = Receiving(smoke(), smoke("S-2"))
    ours.message({"value": 1, "alarm_id": "a"})
    ours.know(2, smoke("S-2"))
    assert ours.message({"value": 1, "alarm_id": "b"}) == []
    assert ours.counters.total("messages_refused", "unknown_source") == 1
    ours.know(3, smoke(), smoke("S-2"))
    assert len(ours.message({"value": 1, "alarm_id": "a"})) == 1


def test_one_bad_sensor_in_a_message_costs_only_itself() -> None:
    ours = Receiving(smoke())
    pack = [{"n": "S-1", "v": 1}, {"n": "S-9", "v": 1}]
    config = MqttConfig(mapping=(type(CONFIG.mapping[0])(topic="gw", format="senml"),))
    receiver = SensorReceiver(
        "1", config, TopicTable(config.mapping), ours.board, ours.counters, CountedLog(SimClock())
    )
    receiver.apply(Catalogue(site="1", county="1", version=1, cameras=(), sensors=(smoke(),)))
    raw = json.dumps(pack).encode()
    assert len(receiver.observe([MqttMessage("gw", raw, 1, False, False, NOW, 1, None, NOW)])) == 1
    assert ours.counters.total("messages_refused", "unknown_source") == 1
