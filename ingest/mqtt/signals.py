"""From Readings to Observations: thresholds with hysteresis, rates of rise, the CO dose, and what ails a sensor.

Pure: no clock, no input or output. The state is small and may be lost: after a restart the first reading decides
anew. An alarm that goes on is claimed again (with the device's alarm id it has the same observation id as before,
without one it joins the incident that its sensor holds open); a quiet sensor says CLEAR once; the CO dose is lost.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

import msgspec

from contracts.instant import DAY, MINUTE, SECOND, Instant
from contracts.observation import IncidentType, Observation, Phase, observation_id
from contracts.reading import Quality, Reading
from contracts.source import Sensor, SourceKind
from ingest.mqtt.carbon_monoxide import FRESH_BELOW_PPM, dose_after
from ingest.mqtt.rules import BAD_READINGS, RULES, SHARED_STALE_PERIODS, STALE_PERIODS, SignalRule

_ALARM_IDS_KEPT: Final = 64
_ALARM_ID_NS: Final = DAY
"""As long as the engine remembers a device's alarm id: a device that uses one again after a day is believed."""
_HISTORY_NS: Final = 10 * MINUTE
_HISTORY_MAX: Final = 256
_GAP_PERIODS: Final = 3.0
_CLEAR_AGAIN_NS: Final = MINUTE
_UNDECIDED: Final = -1
_NEVER: Final = Instant(0)
DOUBTS: Final = frozenset({"out_of_range", "stuck"})
"""Faults that make a sensor's values unfit to be judged; a low battery or an opened case does not."""


@dataclass(slots=True)
class _RuleState:
    """`step` is the number of steps passed: 0 = clear, -1 = nothing known yet. `dose` is for CO."""

    step: int = _UNDECIDED
    cleared_at: Instant = _NEVER
    dose: float = 0.0
    alarm_ids: OrderedDict[str, Instant] = field(default_factory=OrderedDict)


@dataclass(slots=True)
class _SensorState:
    rules: list[_RuleState]
    last_time: Instant | None = None
    arrival: Instant | None = None
    bad_readings: int = 0
    faults: tuple[str, ...] = ()
    same_value_since: Instant | None = None
    same_value_count: int = 0
    last_value: float | None = None
    latest: Reading | None = None
    history: deque[tuple[Instant, float]] = field(default_factory=lambda: deque(maxlen=_HISTORY_MAX))


class Signals:
    """All sensors of a site. `step` takes one reading and gives what it claims, in order.

    `shared`: other workers judge readings of the same sensors, and what this one said last may no longer hold.
    """

    def __init__(self, site: str, *, shared: bool = False) -> None:
        self._site = site
        self._shared = shared
        self._states: dict[str, _SensorState] = {}

    def step(self, sensor: Sensor, reading: Reading) -> list[Observation]:
        """Judge one reading of a sensor.

        A reading older than the sensor's last one may still raise an alarm, but never ends one: lateness and
        reordering close nothing. The same reading a second time, told by its own time, says nothing new.
        """
        rules = RULES[sensor.kind]
        state = self._states.get(sensor.id)
        if state is None or len(state.rules) != len(rules):
            state = self._states[sensor.id] = _SensorState([_RuleState() for _ in rules])
        state.arrival = reading.arrival_time
        if _repeats(reading, state.latest):
            return []
        state.latest = reading
        claims = self._faults(sensor, reading, state)
        if reading.quality is not Quality.GOOD:
            return claims
        late = state.last_time is not None and reading.event_time < state.last_time
        elapsed_ns = 0 if state.last_time is None or late else reading.event_time - state.last_time
        if not late:
            state.last_time = reading.event_time
            _remember(state, reading)
        for rule, rule_state in zip(rules, state.rules, strict=True):
            if not late or reading.value >= rule.steps[0]:
                claims += self._judge(sensor, reading, rule, rule_state, state, elapsed_ns, late)
        return claims

    def doubts(self, sensor_id: str) -> tuple[str, ...]:
        """Why the values of a sensor are not to be trusted now: `out_of_range`, `stuck`, or nothing."""
        state = self._states.get(sensor_id)
        return tuple(fault for fault in state.faults if fault in DOUBTS) if state is not None else ()

    def stale(self, sensors: dict[str, Sensor], now: Instant, since: Instant) -> list[str]:
        """Ids of sensors that missed three periods; silence before `since` (our connection) does not count.

        Of two workers that share, each hears half by chance: only after thirty periods is it the sensor.
        """
        periods = SHARED_STALE_PERIODS if self._shared else STALE_PERIODS
        return [
            sensor.id
            for sensor in sensors.values()
            if now - max(self._last_heard(sensor.id), since) > periods * sensor.period_s * SECOND
        ]

    def forget(self, sensor_id: str) -> None:
        """A sensor left the catalogue."""
        self._states.pop(sensor_id, None)

    def _last_heard(self, sensor_id: str) -> Instant:
        state = self._states.get(sensor_id)
        return state.arrival if state is not None and state.arrival is not None else Instant(0)

    def _judge(
        self,
        sensor: Sensor,
        reading: Reading,
        rule: SignalRule,
        state: _RuleState,
        sensor_state: _SensorState,
        elapsed_ns: int,
        late: bool,
    ) -> list[Observation]:
        passed = sum(reading.value >= step for step in rule.steps)
        if late:
            pass
        elif rule.dose:
            passed += _dosed(sensor, reading, state, elapsed_ns)
        elif rule.rise_per_min and passed == 0 and _rises(rule, sensor_state.history):
            passed = 1
        if rule.single_shot and passed:
            return self._single_shot(sensor, reading, rule, state, late)
        if passed > max(state.step, 0):
            # Behind a later reading that was quiet: the next quiet one must say CLEAR, and does.
            state.step = passed
            return [self._claim(sensor, reading, rule.type, Phase.ACTIVE)]
        quiet = (
            not late and passed == 0 and reading.value < rule.clear_below and _settled(rule, sensor_state.history)
        )
        # Where workers share the sensors, the alarm that ends may be one that another of them told.
        again = self._shared and reading.event_time - state.cleared_at >= _CLEAR_AGAIN_NS
        if quiet and (state.step != 0 or again):
            state.step, state.cleared_at = 0, reading.event_time
            return [self._claim(sensor, reading, rule.type, Phase.CLEAR)]
        return []

    def _single_shot(
        self, sensor: Sensor, reading: Reading, rule: SignalRule, state: _RuleState, late: bool
    ) -> list[Observation]:
        """Each alarm id once, even while in alarm; without an id the step into alarm."""
        alarm_id = reading.external_id
        if alarm_id is not None:
            seen_at = state.alarm_ids.get(alarm_id)
            if seen_at is not None and abs(reading.event_time - seen_at) < _ALARM_ID_NS:
                state.alarm_ids.move_to_end(alarm_id)
                return []
            state.alarm_ids[alarm_id] = reading.event_time
            while len(state.alarm_ids) > _ALARM_IDS_KEPT:
                state.alarm_ids.popitem(last=False)
        elif state.step > 0:
            return []
        # An alarm that arrives behind a later reading ends with the next quiet one, so that one must say CLEAR.
        state.step = _UNDECIDED if late and state.step <= 0 else 1
        return [self._claim(sensor, reading, rule.type, Phase.ACTIVE, external_id=alarm_id)]

    def _faults(self, sensor: Sensor, reading: Reading, state: _SensorState) -> list[Observation]:
        """Low battery, tamper, impossible values, a value that never moves: news for the operations queue."""
        state.bad_readings = state.bad_readings + 1 if reading.quality is Quality.BAD else 0
        faults = []
        if reading.battery_low:
            faults.append("battery_low")
        if reading.tamper:
            faults.append("tamper")
        if state.bad_readings >= BAD_READINGS or (state.bad_readings and "out_of_range" in state.faults):
            faults.append("out_of_range")
        if reading.quality is Quality.GOOD and _stuck(sensor, reading, state):
            faults.append("stuck")
        now, before = tuple(faults), state.faults
        state.faults = now
        if set(now) - set(before):
            return [self._claim(sensor, reading, IncidentType.SENSOR_FAULT, Phase.ACTIVE, faults=now)]
        if before and not now:
            return [self._claim(sensor, reading, IncidentType.SENSOR_FAULT, Phase.CLEAR)]
        return []

    def _claim(
        self,
        sensor: Sensor,
        reading: Reading,
        type_: IncidentType,
        phase: Phase,
        *,
        external_id: str | None = None,
        faults: tuple[str, ...] = (),
    ) -> Observation:
        place = sensor.place
        detail: tuple[tuple[str, str], ...] = (("sensor_kind", sensor.kind.value), ("sensor_name", sensor.name))
        if faults:
            detail = (*detail, ("faults", ",".join(faults)))
        return Observation(
            id=observation_id(self._site, type_, phase, sensor.id, place.zone_id, reading.event_time, external_id),
            site=self._site,
            type=type_,
            phase=phase,
            source_id=sensor.id,
            source_kind=SourceKind.SENSOR,
            event_time=reading.event_time,
            arrival_time=reading.arrival_time,
            place=place,
            confidence=1.0,
            value=reading.value,
            unit=reading.unit,
            external_id=external_id,
            detail=detail,
            exercise=sensor.exercise,
        )


def _repeats(reading: Reading, latest: Reading | None) -> bool:
    """A device that sends a reading again gives it the same time; one without a time of its own never repeats."""
    return latest is not None and latest == msgspec.structs.replace(reading, arrival_time=latest.arrival_time)


def _remember(state: _SensorState, reading: Reading) -> None:
    state.history.append((reading.event_time, reading.value))
    while reading.event_time - state.history[0][0] > _HISTORY_NS:
        state.history.popleft()


def _dosed(sensor: Sensor, reading: Reading, state: _RuleState, elapsed_ns: int) -> int:
    """Carry the CO dose on; 1 while in alarm by dose. A long silence is not counted as exposure."""
    elapsed_ns = min(elapsed_ns, round(_GAP_PERIODS * sensor.period_s * SECOND))
    state.dose = dose_after(state.dose, reading.value, elapsed_ns / MINUTE)
    if reading.value < FRESH_BELOW_PPM:
        return 0
    return int(state.dose >= 1.0 or state.step > 0)


def _rises(rule: SignalRule, history: deque[tuple[Instant, float]]) -> bool:
    """True when the value rose at the rule's rate or faster, without a fall, over the whole hold."""
    newest_time, newest = history[-1]
    earlier = newest
    for time, value in reversed(history):
        if value > earlier:
            return False
        earlier = value
        held_ns = newest_time - time
        if held_ns >= rule.rise_hold_s * SECOND:
            return (newest - value) * MINUTE >= rule.rise_per_min * held_ns
    return False


def _settled(rule: SignalRule, history: deque[tuple[Instant, float]]) -> bool:
    """True when a rise is over: for ten minutes the value stayed within one minute's alarming rise."""
    if not rule.rise_per_min:
        return True
    return history[-1][1] - min(value for _, value in history) < rule.rise_per_min


def _stuck(sensor: Sensor, reading: Reading, state: _SensorState) -> bool:
    rule = next((rule for rule in RULES[sensor.kind] if rule.stuck_s), None)
    if rule is None:
        return False
    if reading.value != state.last_value or state.same_value_since is None:
        state.last_value = reading.value
        state.same_value_since = reading.event_time
        state.same_value_count = 0
    state.same_value_count += 1
    long_enough = reading.event_time - state.same_value_since >= rule.stuck_s * SECOND
    return long_enough and state.same_value_count >= rule.stuck_samples
