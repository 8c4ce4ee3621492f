"""Places: how many cameras may be promoted at once, from the cores of this box and the speed of its network.

A promoted camera costs the decoding of all its pictures and a look now and then:

    cost = pictures per second * decode + looks per second * (decode + network + analytics)

in cores. The network's time is measured at start, on this box; decoding and analytics take the same share of it as
they did where bench.inference measured them. The places are those whose cost is a stated share of the cores.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import numpy as np

from inference.config import PLACES_MIN, InferenceConfig
from inference.detector import Detector

PLACES_MAX: Final = 64
PICTURES_PER_S: Final = 25.0
_NETWORK_MS: Final = 8.5
_DECODE_MS: Final = 2.6
_ANALYTICS_MS: Final = 2.4
"""bench.inference, 50 kinds of camera: one picture in ms of a core; scaling and suppression are in the last."""
_RUNS: Final = 5


@dataclass(frozen=True, slots=True)
class Places:
    """`cost`: cores that one promoted camera takes; `count`: cameras at once; `network_ms`: as measured."""

    count: int
    cores: float
    cost: float
    network_ms: float

    @property
    def sentence(self) -> str:
        """For operators."""
        return (
            f"最多同时提升 {self.count} 路摄像机: {self.cores:g} 核, 每路约 {self.cost:.2f} 核 "
            f"(up to {self.count} cameras promoted at once: {self.cores:g} cores, about {self.cost:.2f} each)"
        )


def places(config: InferenceConfig, cores: float, network_ms: float) -> Places:
    """The places that a box has: `promotion.cameras_max`, or as many as `promotion.share` of its cores carries."""
    slower = network_ms / _NETWORK_MS
    decode_s, look_s = _DECODE_MS * slower / 1e3, (_DECODE_MS + _ANALYTICS_MS + _NETWORK_MS) * slower / 1e3
    cost = PICTURES_PER_S * decode_s + look_s / config.promotion.look_s
    count = config.promotion.cameras_max
    if count is None:
        count = min(max(int(config.promotion.share * cores / cost), PLACES_MIN), PLACES_MAX)
    return Places(count, cores, cost, network_ms)


def measure_network_ms(detector: Detector) -> float:
    """Milliseconds of a look at one grey 16:9 picture, the fastest of some: others may use the cores just now."""
    picture = np.full((720, 1280, 3), 114, np.uint8)
    best = float("inf")
    for _ in range(_RUNS):
        began = time.perf_counter_ns()
        detector.detect([picture])
        best = min(best, (time.perf_counter_ns() - began) / 1e6)
    return best
