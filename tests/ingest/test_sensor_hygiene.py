"""Sensor hygiene [D] and thresholds line by line, as SenML and as plain JSON, through all that judges messages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import wire
from contracts.instant import MINUTE, SECOND, Instant, to_rfc3339
from contracts.observation import IncidentType, Observation, Phase
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

START = Instant(1_795_000_000 * SECOND)
CONFIG = MqttConfig()
UNITS = {
    SensorKind.HEAT: "Cel",
    SensorKind.GAS_LEL: "%LEL",
    SensorKind.CO: "ppm",
    SensorKind.WATER_LEVEL: "m",
    SensorKind.ELECTRICAL: "mA",
}
FORMS = pytest.mark.parametrize("form", ["senml", "json"])


def payload_of(form: str, value: float, at: Instant | None, unit: str = "", alarm_id: str | None = None) -> bytes:
    """One reading as a device of that form sends it; `at` None: without a time of its own."""
    if form == "json":
        fields: dict[str, Any] = {"value": value}
        fields |= {"time": at / SECOND} if at is not None else {}
        fields |= {"unit": unit} if unit else {}
        fields |= {"alarm_id": alarm_id} if alarm_id is not None else {}
        return json.dumps(fields).encode()
    base: dict[str, Any] = {"bn": "urn:gw:sensor:S-1:"} | ({"bt": at / SECOND} if at is not None else {})
    records = [{**base, "n": "value", "v": value, **({"u": unit} if unit else {})}]
    if alarm_id is not None:
        records.append({"n": "alarm_id", "vs": alarm_id})
    return json.dumps(records).encode()


class Device:
    """One sensor and everything that judges its messages."""

    def __init__(self, kind: SensorKind, form: str, period_s: float = 60.0) -> None:
        self.form = form
        self.unit = UNITS.get(kind, "")
        self.counters = StageCounters("test")
        self.board = ChangeBoard()
        self.claims: list[Observation] = []
        self.receiver = SensorReceiver(
            "1", CONFIG, TopicTable(CONFIG.mapping), self.board, self.counters, CountedLog(SimClock())
        )
        sensor = Sensor(
            id="S-1",
            name="n",
            kind=kind,
            place=Place(105.7, 38.8),
            owner="o",
            unit=self.unit,
            valid_min=-40 if kind is SensorKind.HEAT else 0,
            valid_max=2_000,
            period_s=period_s,
        )
        self.receiver.apply(Catalogue(site="1", county="1", version=1, cameras=(), sensors=(sensor,)))

    def say(
        self,
        value: float,
        arrives_s: float,
        *,
        happened_s: float | None = None,
        timed: bool = True,
        unit: str | None = None,
        alarm_id: str | None = None,
        retained: bool = False,
    ) -> list[tuple[IncidentType, Phase]]:
        arrival = Instant(START + round(arrives_s * SECOND))
        happened = arrival if happened_s is None else Instant(START + round(happened_s * SECOND))
        payload = payload_of(
            self.form, value, happened if timed else None, self.unit if unit is None else unit, alarm_id
        )
        topic = f"sensors/S-1/{self.form}"
        message = MqttMessage(topic, payload, 1, retained, False, arrival, 1, None, arrival)
        found = [wire.decode_log_record(each) for each in self.receiver.observe([message])]
        claims = [each for each in found if isinstance(each, Observation)]
        self.claims += claims
        return [(each.type, each.phase) for each in claims]

    def opened(self) -> list[IncidentType]:
        """What was claimed to be there, device faults apart."""
        found = [each.type for each in self.claims if each.phase is Phase.ACTIVE]
        return [type_ for type_ in found if type_ is not IncidentType.SENSOR_FAULT]

    def states(self) -> list[tuple[SourceState, str]]:
        return [(each.state, each.reason) for each in self.board.take(100)]


ONE, TWO = IncidentType.GAS_LEL1, IncidentType.GAS_LEL2


@FORMS
def test_gas_at_25_percent_and_at_50_percent_of_the_explosive_limit(form: str) -> None:
    device = Device(SensorKind.GAS_LEL, form)
    device.say(3, 0)
    assert device.say(24.9, 60) == []
    assert device.say(25, 120) == [(ONE, Phase.ACTIVE)]
    assert device.say(50, 180) == [(TWO, Phase.ACTIVE)]
    assert device.say(60, 240) == []
    assert device.say(3, 300) == [(ONE, Phase.CLEAR), (TWO, Phase.CLEAR)]


def minutes_to_co_alarm(form: str, ppm: float, minutes: int) -> int | None:
    device = Device(SensorKind.CO, form)
    device.say(2, -60)
    for minute in range(minutes + 1):
        if (IncidentType.GAS_CO, Phase.ACTIVE) in device.say(ppm, 60 * minute):
            return minute
    return None


@FORMS
def test_carbon_monoxide_by_dose_as_in_the_acceptance_check(form: str) -> None:
    at_50 = minutes_to_co_alarm(form, 50, 120)
    assert at_50 is not None
    assert 60 <= at_50 <= 90
    at_100 = minutes_to_co_alarm(form, 100, 120)
    assert at_100 is not None
    assert 10 <= at_100 <= 40
    at_300 = minutes_to_co_alarm(form, 300, 10)
    assert at_300 is not None
    assert at_300 <= 3
    at_30 = minutes_to_co_alarm(form, 30, 119)
    assert at_30 is None


@FORMS
def test_heat_at_its_class_limit_and_by_rate_of_rise(form: str) -> None:
    limit = Device(SensorKind.HEAT, form)
    limit.say(40, 0)
    limit.say(47, 60)
    assert limit.say(54, 600) == [(IncidentType.HEAT, Phase.ACTIVE)]
    rise = Device(SensorKind.HEAT, form)
    for minute, value in enumerate((20, 28, 36)):
        found = rise.say(value, 60 * minute)
    assert found == [(IncidentType.HEAT, Phase.ACTIVE)]
    slow = Device(SensorKind.HEAT, form)
    for minute in range(6):
        slow.say(10 + 7.9 * minute, 60 * minute)
    assert slow.opened() == []


@FORMS
def test_retained_message_opens_nothing_and_is_counted(form: str) -> None:
    device = Device(SensorKind.SMOKE, form)
    assert device.say(1, 0, retained=True, alarm_id="a") == []
    assert device.counters.total("messages_refused", "retained") == 1


@FORMS
@pytest.mark.parametrize(("age_s", "opens"), [(119, True), (120, True), (121, False), (600, False)])
def test_message_over_120_seconds_old_opens_nothing_and_is_counted(form: str, age_s: int, opens: bool) -> None:
    device = Device(SensorKind.SMOKE, form)
    device.say(1, 1_000, happened_s=1_000 - age_s, alarm_id="a")
    assert bool(device.opened()) is opens
    assert device.counters.total("messages_refused", "too_old") == (0 if opens else 1)


@FORMS
@pytest.mark.parametrize("value", [-999.0, -40.5, 2_000.1, 65_535.0, -32_768.0])
def test_impossible_value_is_never_an_alarm_and_is_counted(form: str, value: float) -> None:
    device = Device(SensorKind.HEAT, form)
    device.say(20, 0)
    assert device.say(value, 60) == []
    assert device.counters.total("readings", "bad") == 1
    assert device.counters.total("readings_refused", "out_of_range") == 1
    assert device.opened() == []


@FORMS
def test_sensor_of_impossible_values_becomes_suspect_and_live_again(form: str) -> None:
    device = Device(SensorKind.HEAT, form)
    device.say(20, 0)
    assert device.states() == [(SourceState.LIVE, "")]
    for minute in range(1, 4):
        device.say(-999, 60 * minute)
    assert device.states() == [(SourceState.SUSPECT, "out_of_range")]
    assert device.claims[-1].type is IncidentType.SENSOR_FAULT
    device.say(21, 300)
    assert device.states() == [(SourceState.LIVE, "")]


@FORMS
def test_sensor_whose_value_never_moves_becomes_suspect(form: str) -> None:
    device = Device(SensorKind.HEAT, form, period_s=360)
    for step in range(70):
        device.say(21.5, 360 * step)
    assert device.states() == [(SourceState.SUSPECT, "stuck")]
    assert device.opened() == []
    device.say(21.6, 360 * 70)
    assert device.states() == [(SourceState.LIVE, "")]


@FORMS
def test_clock_ahead_of_ours_keeps_the_alarm_at_its_arrival_and_is_told(form: str) -> None:
    device = Device(SensorKind.SMOKE, form)
    assert device.say(1, 0, happened_s=3_600, alarm_id="a") == [(IncidentType.SMOKE_SENSOR, Phase.ACTIVE)]
    assert device.claims[0].event_time == START
    assert device.counters.total("clock_ahead") == 1
    assert device.states() == [(SourceState.LIVE, "clock_skew")]
    device.say(1, 60, happened_s=59)
    assert device.states() == [(SourceState.LIVE, "")]


@FORMS
def test_three_missed_periods_are_stale(form: str) -> None:
    device = Device(SensorKind.CO, form)
    device.say(2, 0)
    device.states()
    device.receiver.find_stale(Instant(START + 3 * MINUTE), START)
    assert device.states() == []
    device.receiver.find_stale(Instant(START + 3 * MINUTE + SECOND), START)
    assert device.states() == [(SourceState.STALE, "stale")]


@FORMS
def test_units_are_brought_to_the_catalogue_and_a_wrong_one_is_refused(form: str) -> None:
    heat = Device(SensorKind.HEAT, form)
    heat.say(293.15, 0, unit="K")
    assert heat.say(330.15, 60, unit="K") == [(IncidentType.HEAT, Phase.ACTIVE)]
    assert heat.claims[-1].value == pytest.approx(57.0)
    assert heat.say(20, 120, unit="lx") == []
    assert heat.counters.total("messages_refused", "unit") == 1
    co = Device(SensorKind.CO, form)
    co.say(2_000, 0, unit="ppb")
    assert co.say(400_000, 60, unit="ppb") == [(IncidentType.GAS_CO, Phase.ACTIVE)]


@FORMS
def test_reading_sent_twice_by_the_device_is_one_reading(form: str) -> None:
    device = Device(SensorKind.HEAT, form)
    device.say(20, 0)
    for minute in (1, 2):
        device.say(-999, 60 * minute)
        device.say(-999, 60 * minute + 1, happened_s=60 * minute)
    assert device.claims[-1].phase is Phase.CLEAR, "two impossible values sent twice are not three"
    assert device.say(-999, 180) == [(IncidentType.SENSOR_FAULT, Phase.ACTIVE)]


@FORMS
def test_equal_messages_without_a_time_of_their_own_are_as_many_readings(form: str) -> None:
    device = Device(SensorKind.HEAT, form)
    device.say(20, 0, timed=False)
    found = [device.say(-999, 60 * minute, timed=False) for minute in (1, 2, 3)]
    assert found == [[], [], [(IncidentType.SENSOR_FAULT, Phase.ACTIVE)]]


@FORMS
def test_reading_overtaken_by_a_later_one_may_open_and_never_ends(form: str) -> None:
    device = Device(SensorKind.GAS_LEL, form)
    device.say(3, 0)
    device.say(4, 62)
    assert device.say(60, 63, happened_s=61) == [(ONE, Phase.ACTIVE), (TWO, Phase.ACTIVE)]
    assert device.say(2, 64, happened_s=61.5) == []
    assert device.say(3, 120) == [(ONE, Phase.CLEAR), (TWO, Phase.CLEAR)]


@FORMS
@pytest.mark.parametrize(
    ("kind", "threshold", "type_", "claims"),
    [
        (SensorKind.GAS_LEL, 25.0, ONE, 1),
        (SensorKind.HEAT, 54.0, IncidentType.HEAT, 1),
        (SensorKind.WATER_LEVEL, 0.15, IncidentType.PONDING, 1),
        (SensorKind.ELECTRICAL, 300.0, IncidentType.ELECTRICAL, 1),
        # By concentration and, a little later, by dose: it gets worse, and joins the same alert.
        (SensorKind.CO, 300.0, IncidentType.GAS_CO, 2),
    ],
)
def test_flapping_within_5_percent_of_the_threshold_opens_once(
    form: str, kind: SensorKind, threshold: float, type_: IncidentType, claims: int
) -> None:
    device = Device(kind, form)
    device.say(0, -600)
    for step in range(60):
        device.say(threshold * (1.05 if step % 2 else 0.95), 10 * step)
    assert device.opened().count(type_) == claims
    assert not [each for each in device.claims if each.phase is Phase.CLEAR and each.event_time > START]


@FORMS
def test_defect_in_the_rules_costs_one_message_and_is_counted(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(SensorKind.SMOKE, form)
    with monkeypatch.context() as broken:
        broken.setattr(device.receiver._signals, "step", lambda *_: 1 / 0)
        assert device.say(1, 0, alarm_id="a") == []
    assert device.counters.total("messages_refused", "bug") == 1
    assert device.say(1, 1, alarm_id="b") == [(IncidentType.SMOKE_SENSOR, Phase.ACTIVE)]


READINGS = st.lists(
    st.tuples(
        st.floats(-1_000, 3_000, allow_nan=False).map(lambda value: round(value, 3)),
        st.integers(-130, 10),
        st.integers(0, 200),
        st.sampled_from([None, "a", "b"]),
        st.booleans(),
    ),
    max_size=25,
)


@given(kind=st.sampled_from(list(SensorKind)), readings=READINGS)
def test_any_readings_as_senml_and_as_json_make_the_same_claims_states_and_counts(
    kind: SensorKind, readings: list[tuple[float, int, int, str | None, bool]]
) -> None:
    """Claims are compared whole: ids, times, values, units."""
    devices = [Device(kind, form) for form in ("senml", "json")]
    at = 0
    for value, behind, gap, alarm_id, timed in readings:
        at += gap
        for device in devices:
            device.say(value, at, happened_s=at + behind, alarm_id=alarm_id, timed=timed)
    senml, plain = devices
    assert senml.claims == plain.claims
    assert senml.states() == plain.states()
    assert senml.counters._totals == plain.counters._totals


@given(
    value=st.floats(-1e6, 1e6, allow_nan=False),
    seconds=st.integers(-110 * 1_000_000, 4_000_000),
    relative=st.booleans(),
)
def test_relative_base_and_rfc3339_times_name_the_same_instant(value: float, seconds: int, relative: bool) -> None:
    """`seconds` is in microseconds from arrival; SenML may count from now (times below 2^28) or from its base."""
    table = TopicTable(CONFIG.mapping)
    at = Instant(START + seconds * 1_000)
    bn = "urn:gw:sensor:S-1:"
    pack = (
        [{"bn": bn, "n": "value", "v": value, "t": seconds / 1_000_000}]
        if relative
        else [{"bn": bn, "bt": START // SECOND, "bv": 0, "n": "value", "v": value, "t": seconds / 1_000_000}]
    )
    senml = table.read("sensors/S-1/senml", json.dumps(pack).encode(), START, {"S-1"}.__contains__)
    text = json.dumps({"value": value, "time": to_rfc3339(at)}).encode()
    plain = table.read("sensors/S-1/json", text, START, {"S-1"}.__contains__)
    assert senml == plain
