from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.instant import MINUTE, SECOND, Instant
from contracts.observation import IncidentType, Observation, Phase
from contracts.place import Place
from contracts.reading import Quality, Reading
from contracts.source import Sensor, SensorKind
from ingest.mqtt.carbon_monoxide import MINUTES_TO_ALARM, dose_after, minutes_to_alarm
from ingest.mqtt.rules import RULES
from ingest.mqtt.signals import Signals

START = Instant(1_795_000_000 * SECOND)
PLACE = Place(105.7, 38.8, "152921001001001", zone_id="z")


def sensor(kind: SensorKind, period_s: float = 60.0) -> Sensor:
    return Sensor(
        id=f"{kind}-1",
        name=kind,
        kind=kind,
        place=PLACE,
        owner="o",
        unit="",
        valid_min=-40,
        valid_max=2000,
        period_s=period_s,
    )


class Told:
    """One sensor through Signals; `say` gives what a reading claims as (type, phase)."""

    def __init__(self, kind: SensorKind, period_s: float = 60.0) -> None:
        self.sensor = sensor(kind, period_s)
        self.signals = Signals("152921")
        self.claims: list[Observation] = []

    def say(
        self,
        value: float,
        at_s: float = 0.0,
        alarm_id: str | None = None,
        quality: Quality = Quality.GOOD,
        *,
        battery_low: bool = False,
        tamper: bool = False,
    ) -> list[tuple[IncidentType, Phase]]:
        at = Instant(START + round(at_s * SECOND))
        reading = Reading(
            source_id=self.sensor.id,
            value=value,
            unit="",
            event_time=at,
            arrival_time=at,
            quality=quality,
            external_id=alarm_id,
            battery_low=battery_low,
            tamper=tamper,
        )
        claims = self.signals.step(self.sensor, reading)
        self.claims += claims
        return [(each.type, each.phase) for each in claims]


SMOKE_ACTIVE = (IncidentType.SMOKE_SENSOR, Phase.ACTIVE)
SMOKE_CLEAR = (IncidentType.SMOKE_SENSOR, Phase.CLEAR)


@pytest.mark.parametrize("kind", [SensorKind.SMOKE, SensorKind.CALL_POINT])
def test_alarm_and_reset_are_told_once_each(kind: SensorKind) -> None:
    told = Told(kind)
    assert told.say(0, 0) == [SMOKE_CLEAR], "after a start nobody knows what was before"
    assert told.say(0, 60) == []
    assert told.say(1, 70) == [SMOKE_ACTIVE]
    assert told.say(1, 130) == []
    assert told.say(0, 190) == [SMOKE_CLEAR]
    assert told.say(0, 250) == []


def test_each_alarm_id_makes_one_claim_even_while_in_alarm() -> None:
    told = Told(SensorKind.SMOKE)
    for number in range(5):
        assert told.say(1, number, f"a-{number}") == [SMOKE_ACTIVE]
        assert told.say(1, number + 0.5, f"a-{number}") == []
    assert [each.external_id for each in told.claims] == [f"a-{number}" for number in range(5)]
    again = Told(SensorKind.SMOKE)
    again.say(1, 99, "a-3")
    assert again.claims[0].id == told.claims[3].id, "after a restart the same alarm has the same id"


def test_device_uses_an_alarm_id_again_after_a_day_then_it_is_believed() -> None:
    told = Told(SensorKind.SMOKE)
    assert told.say(1, 0, "always-the-same") == [SMOKE_ACTIVE]
    assert told.say(1, 23 * 3600, "always-the-same") == []
    assert told.say(1, 25 * 3600, "always-the-same") == [SMOKE_ACTIVE]


def test_late_alarm_is_told_and_late_reset_is_not() -> None:
    told = Told(SensorKind.SMOKE)
    told.say(1, 100, "a")
    assert told.say(0, 90) == [], "an older reset ends nothing"
    assert told.say(1, 80, "b") == [SMOKE_ACTIVE]
    assert told.say(0, 120) == [SMOKE_CLEAR]
    assert told.say(1, 110, "c") == [SMOKE_ACTIVE], "it was overtaken by the reset"
    assert told.say(0, 180) == [SMOKE_CLEAR], "so the next quiet reading must end it"


def test_gas_has_two_levels_with_hysteresis() -> None:
    told = Told(SensorKind.GAS_LEL)
    one, two = IncidentType.GAS_LEL1, IncidentType.GAS_LEL2
    told.say(0, 0)
    assert told.say(24.9, 60) == []
    assert told.say(25, 120) == [(one, Phase.ACTIVE)]
    assert told.say(21, 180) == [], "clear is at 80 % of the threshold"
    assert told.say(50, 240) == [(two, Phase.ACTIVE)]
    assert told.say(41, 300) == []
    assert told.say(39.9, 360) == [(two, Phase.CLEAR)]
    assert told.say(19.9, 420) == [(one, Phase.CLEAR)]


def test_water_tells_its_second_step_too() -> None:
    told = Told(SensorKind.WATER_LEVEL)
    told.say(0, 0)
    assert told.say(0.2, 60) == [(IncidentType.PONDING, Phase.ACTIVE)]
    assert told.say(0.25, 120) == []
    assert told.say(0.31, 180) == [(IncidentType.PONDING, Phase.ACTIVE)]
    assert told.say(0.2, 240) == []
    assert told.say(0.05, 300) == [(IncidentType.PONDING, Phase.CLEAR)]


def test_electrical_residual_current_over_its_limit() -> None:
    told = Told(SensorKind.ELECTRICAL)
    told.say(80, 0)
    assert told.say(300, 60) == [(IncidentType.ELECTRICAL, Phase.ACTIVE)]
    assert told.say(250, 120) == []
    assert told.say(239, 180) == [(IncidentType.ELECTRICAL, Phase.CLEAR)]


def test_heat_over_the_class_limit() -> None:
    told = Told(SensorKind.HEAT)
    told.say(30, 0)
    told.say(35, 600)
    assert told.say(54, 4000) == [(IncidentType.HEAT, Phase.ACTIVE)]
    assert told.say(50, 4700) == []
    assert told.say(44, 5400) == [(IncidentType.HEAT, Phase.CLEAR)]


@pytest.mark.parametrize(
    ("values", "alarm_at"),
    [
        ([20, 28, 36, 44], 2),
        ([20, 27.9, 35.8, 43.7], None),
        ([20, 36, 36.1, 36.2], 2),
        ([20, 40, 30, 36.5], None),
        ([20, 21, 22, 23, 24], None),
        ([20, 20, 28, 36, 44], 3),
    ],
)
def test_heat_that_rises_8_degrees_a_minute_for_2_minutes(values: list[float], alarm_at: int | None) -> None:
    told = Told(SensorKind.HEAT)
    told.say(20, -3600)
    found = [told.say(value, 60 * minute) for minute, value in enumerate(values)]
    heat = [minute for minute, claims in enumerate(found) if (IncidentType.HEAT, Phase.ACTIVE) in claims]
    assert heat == ([] if alarm_at is None else [alarm_at])


def test_heat_that_rose_and_stands_is_not_over_at_once() -> None:
    told = Told(SensorKind.HEAT)
    for minute, value in enumerate([20, 20, 28, 36]):
        told.say(value, 60 * minute)
    assert told.claims[-1].phase is Phase.ACTIVE
    assert [told.say(36, 60 * minute) for minute in range(4, 12)] == [[]] * 8
    assert told.say(36, 60 * 14) == [(IncidentType.HEAT, Phase.CLEAR)]


def alarm_minute(ppm: float, period_s: float) -> float | None:
    """Minutes of constant exposure until the claim, None within five hours without one."""
    told = Told(SensorKind.CO, period_s)
    told.say(0, -period_s)
    told.say(ppm, 0)
    steps = int(300 * 60 / period_s)
    for step in range(steps + 1):
        if (IncidentType.GAS_CO, Phase.ACTIVE) in [(e.type, e.phase) for e in told.claims]:
            return (step * period_s) / 60
        told.say(ppm, (step + 1) * period_s)
    return None


@pytest.mark.parametrize("period_s", [1.0, 10.0, 60.0])
def test_carbon_monoxide_alarms_within_the_windows_of_the_standard(period_s: float) -> None:
    assert alarm_minute(29, 60) is None
    at_30 = alarm_minute(30, 60)
    assert at_30 is None or at_30 >= 120
    at_50, at_100, at_300 = (alarm_minute(ppm, period_s) for ppm in (50, 100, 300))
    assert at_50 is not None
    assert 60 <= at_50 <= 90
    assert at_100 is not None
    assert 10 <= at_100 <= 40
    assert at_300 is not None
    assert at_300 <= 3


def test_carbon_monoxide_ends_below_30_ppm_and_a_gap_is_not_exposure() -> None:
    told = Told(SensorKind.CO)
    told.say(5, 0)
    assert told.say(301, 60) == [(IncidentType.GAS_CO, Phase.ACTIVE)]
    assert told.say(29, 120) == [(IncidentType.GAS_CO, Phase.CLEAR)]
    gap = Told(SensorKind.CO)
    gap.say(5, 0)
    assert gap.say(50, 10 * 3600) == [], "ten silent hours are not ten hours at 50 ppm"


@given(st.floats(30, 5000), st.floats(30, 5000))
def test_more_carbon_monoxide_is_never_slower(a: float, b: float) -> None:
    assert (minutes_to_alarm(min(a, b)) >= minutes_to_alarm(max(a, b))) or a == b


@given(st.lists(st.tuples(st.floats(0, 5000), st.floats(0, 600)), max_size=30))
def test_dose_stays_within_its_bounds(exposures: list[tuple[float, float]]) -> None:
    dose = 0.0
    for ppm, minutes in exposures:
        dose = dose_after(dose, ppm, minutes)
        assert 0.0 <= dose <= 1.5


def test_table_is_what_the_rules_interpolate() -> None:
    for ppm, minutes in MINUTES_TO_ALARM:
        assert minutes_to_alarm(ppm) == pytest.approx(minutes)


def test_impossible_values_never_alarm_and_become_a_fault() -> None:
    told = Told(SensorKind.HEAT)
    told.say(20, 0)
    fault = IncidentType.SENSOR_FAULT
    assert told.say(-999, 60, quality=Quality.BAD) == []
    assert told.say(999, 120, quality=Quality.BAD) == []
    assert told.say(-999, 180, quality=Quality.BAD) == [(fault, Phase.ACTIVE)]
    assert told.say(-999, 240, quality=Quality.BAD) == []
    assert told.say(20, 300) == [(fault, Phase.CLEAR)]
    assert all(each.type is not IncidentType.HEAT or each.phase is Phase.CLEAR for each in told.claims)


def test_low_battery_and_tamper_are_one_fault_that_grows_and_ends() -> None:
    told = Told(SensorKind.SMOKE)
    told.say(0, 0)
    fault = IncidentType.SENSOR_FAULT
    assert told.say(0, 60, battery_low=True) == [(fault, Phase.ACTIVE)]
    assert told.say(0, 120, battery_low=True) == []
    assert told.say(0, 180, battery_low=True, tamper=True) == [(fault, Phase.ACTIVE)]
    assert ("faults", "battery_low,tamper") in told.claims[-1].detail
    assert told.say(0, 240, tamper=True) == []
    assert told.say(0, 300) == [(fault, Phase.CLEAR)]


def test_heat_detector_that_shows_the_same_value_for_hours_is_stuck() -> None:
    told = Told(SensorKind.HEAT)
    found = [told.say(21.5, 360.0 * step) for step in range(70)]
    at = [step for step, claims in enumerate(found) if (IncidentType.SENSOR_FAULT, Phase.ACTIVE) in claims]
    assert at == [60], "six hours and sixty readings"
    assert told.say(21.6, 360.0 * 70) == [(IncidentType.SENSOR_FAULT, Phase.CLEAR)]


def test_sensor_is_stale_after_three_missed_periods_since_we_listen() -> None:
    told = Told(SensorKind.SMOKE, period_s=60)
    known = {told.sensor.id: told.sensor}
    told.say(0, 0)
    later = Instant(START + 3 * MINUTE)
    assert told.signals.stale(known, later, START) == []
    assert told.signals.stale(known, Instant(later + SECOND), START) == [told.sensor.id]
    assert told.signals.stale(known, Instant(later + SECOND), Instant(START + MINUTE)) == []


@given(
    kind=st.sampled_from(list(SensorKind)),
    readings=st.lists(
        st.tuples(
            st.one_of(st.floats(-40, 2000), st.sampled_from([0.0, 1.0, 25.0, 50.0, 54.0, 300.0])),
            st.integers(0, 600),
            st.sampled_from([None, "a", "b"]),
        ),
        max_size=40,
    ),
)
def test_claims_alternate_and_replay_to_the_same_ids(
    kind: SensorKind, readings: list[tuple[float, int, str | None]]
) -> None:
    first, second = Told(kind), Told(kind)
    at = 0.0
    for value, gap, alarm_id in readings:
        at += gap
        first.say(value, at, alarm_id)
        second.say(value, at, alarm_id)
    assert [each.id for each in first.claims] == [each.id for each in second.claims]
    for rule in RULES[kind]:
        phases = [each.phase for each in first.claims if each.type is rule.type]
        for before, after in pairwise(phases):
            assert (before, after) != (Phase.CLEAR, Phase.CLEAR)


def test_workers_that_share_a_sensor_say_clear_again_and_wait_longer_before_it_is_stale() -> None:
    ours, other = Told(SensorKind.SMOKE), Told(SensorKind.SMOKE)
    for told in (ours, other):
        told.signals = Signals("152921", shared=True)
    assert ours.say(0, 0) == [SMOKE_CLEAR]
    assert other.say(1, 10) == [SMOKE_ACTIVE]
    assert ours.say(0, 59) == []
    assert ours.say(0, 61) == [SMOKE_CLEAR], "it ends what the other one told"
    known = {ours.sensor.id: ours.sensor}
    assert ours.signals.stale(known, Instant(START + 30 * MINUTE), START) == []
    assert ours.signals.stale(known, Instant(START + 32 * MINUTE), START) == [ours.sensor.id]
