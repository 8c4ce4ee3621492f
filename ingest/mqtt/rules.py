"""Thresholds of sensors as data. [S] = from a standard named in the line, [D] = our default."""

from __future__ import annotations

from typing import Final

import msgspec

from contracts.observation import IncidentType
from contracts.source import SensorKind


class SignalRule(msgspec.Struct, frozen=True, kw_only=True):
    """When readings of one kind claim something.

    `steps`: values at which an ACTIVE claim is made, ascending; each further step claims again with its value.
    It clears below `clear_below`. `single_shot`: every alarm id of the device makes a claim of its own.
    `rise_per_min` held for `rise_hold_s` claims too (0 = off). `dose`: claims when the CO dose reaches 1, then at
    each step that is passed. `stuck_s`: the very same value for so long, in at least `stuck_samples` readings, is
    a fault (0 = off).
    """

    type: IncidentType
    steps: tuple[float, ...]
    clear_below: float
    single_shot: bool = False
    rise_per_min: float = 0.0
    rise_hold_s: float = 0.0
    dose: bool = False
    stuck_s: float = 0.0
    stuck_samples: int = 60


RULES: Final[dict[SensorKind, tuple[SignalRule, ...]]] = {
    SensorKind.SMOKE: (
        SignalRule(type=IncidentType.SMOKE_SENSOR, steps=(1.0,), clear_below=0.5, single_shot=True),
    ),
    SensorKind.CALL_POINT: (
        SignalRule(type=IncidentType.SMOKE_SENSOR, steps=(1.0,), clear_below=0.5, single_shot=True),
    ),
    SensorKind.HEAT: (
        # Class A1 responds from 54 C on [S] EN 54-5; the rise and the hysteresis are ours [D].
        SignalRule(
            type=IncidentType.HEAT,
            steps=(54.0,),
            clear_below=45.0,
            rise_per_min=8.0,
            rise_hold_s=120.0,
            stuck_s=6 * 3600.0,
        ),
    ),
    SensorKind.GAS_LEL: (
        # Levels 1 and 2 [S] GB/T 50493-2019, 5.5.2; clear at 80 % of each [D].
        SignalRule(type=IncidentType.GAS_LEL1, steps=(25.0,), clear_below=20.0),
        SignalRule(type=IncidentType.GAS_LEL2, steps=(50.0,), clear_below=40.0),
    ),
    SensorKind.CO: (
        # [S] EN 50291-1 by dose; 300 ppm claims again, it is the level of danger [S].
        SignalRule(type=IncidentType.GAS_CO, steps=(300.0,), clear_below=30.0, dose=True),
    ),
    SensorKind.WATER_LEVEL: (
        # 15 cm stops a car's tail pipe, 30 cm closes an underpass [D].
        SignalRule(type=IncidentType.PONDING, steps=(0.15, 0.30), clear_below=0.10),
    ),
    SensorKind.ELECTRICAL: (
        # 300 mA residual current is the usual setting of an electrical fire monitor [D]; clear at 80 % [D].
        SignalRule(type=IncidentType.ELECTRICAL, steps=(300.0,), clear_below=240.0),
    ),
}
"""Rules by kind of sensor; GB/T 50116's linkage of two devices is judged in alerts, not here."""

STALE_PERIODS: Final = 3.0
"""A sensor is stale after so many missed periods [D]."""
SHARED_STALE_PERIODS: Final = 30.0
"""The same where workers share the sensors: that thirty readings all went to the other is one in 2^30 [D]."""
BAD_READINGS: Final = 3
"""So many impossible values in a row are a fault of the sensor [D]."""
