"""How CPU grows with the number of streams: the exponent of a power law through the measured points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

LINEAR_WITHIN: Final = 0.03
"""An exponent this far above 1 still counts as linear: the kernel's accounting is not more exact."""


def exponent(streams: Sequence[int], cpu_ms_per_stream_s: Sequence[float]) -> float:
    """e where total CPU ~ streams^e, by least squares of the logarithms; two points or more, all above 0.

    1 is linear, below 1 better. Raises ValueError for fewer points.
    """
    if len(streams) < 2:
        raise ValueError("growth needs at least two numbers of streams")
    totals = np.array(streams, dtype=float) * np.array(cpu_ms_per_stream_s, dtype=float)
    slope, _ = np.polyfit(np.log(np.array(streams, dtype=float)), np.log(totals), 1)
    return float(slope)


def linear_or_better(growth: float) -> bool:
    """Whether this exponent means that more streams do not make each one dearer."""
    return growth <= 1 + LINEAR_WITHIN
