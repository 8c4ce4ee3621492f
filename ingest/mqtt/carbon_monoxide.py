"""Carbon monoxide over time: an alarm comes the sooner the higher the concentration, per the table of EN 50291-1.

30 ppm: no alarm before 120 min; 50 ppm: between 60 and 90 min; 100 ppm: between 10 and 40 min; 300 ppm: within
3 min [S]. We aim at the middle of each window and interpolate between the logarithms of both columns; below 30 ppm
the dose decays, as the blood recovers [D].
"""

from __future__ import annotations

import bisect
import math
from typing import Final

MINUTES_TO_ALARM: Final = ((30.0, 180.0), (50.0, 75.0), (100.0, 25.0), (300.0, 2.0))
"""(ppm, minutes of constant exposure until the dose is 1)."""
FRESH_BELOW_PPM: Final = 30.0
"""Below it there is no exposure to speak of, and an alarm ends."""
DOSE_MAX: Final = 1.5
_RECOVERY_MINUTES: Final = 30.0
_LOG: Final = [(math.log(ppm), math.log(minutes)) for ppm, minutes in MINUTES_TO_ALARM]


def minutes_to_alarm(ppm: float) -> float:
    """Minutes of constant exposure to `ppm` until the alarm; infinite below 30 ppm."""
    if ppm < FRESH_BELOW_PPM:
        return math.inf
    at = math.log(ppm)
    right = min(max(bisect.bisect_left([x for x, _ in _LOG], at), 1), len(_LOG) - 1)
    (x0, y0), (x1, y1) = _LOG[right - 1], _LOG[right]
    return math.exp(y0 + (y1 - y0) * (at - x0) / (x1 - x0))


def dose_after(dose: float, ppm: float, minutes: float) -> float:
    """The dose (1 = alarm) after `minutes` more at `ppm`; kept within 0 and DOSE_MAX."""
    if ppm < FRESH_BELOW_PPM:
        return max(dose - minutes / _RECOVERY_MINUTES, 0.0)
    return min(dose + minutes / minutes_to_alarm(ppm), DOSE_MAX)
