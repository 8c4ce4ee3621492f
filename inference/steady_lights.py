"""Steady lights: places of one camera where something looks like a fire and never changes: a lamp, a sign.

What is learnt is where, not that it is harmless: a light that begins to change is a fire like any other. But a
place that was steady for a while no longer makes its camera urgent, so that a lamp that burns all night does not
hold a promoted camera's place all night.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.instant import HOUR, SECOND, Instant
from inference.postprocess import iou

F32 = npt.NDArray[np.float32]
LIGHTS_MAX: Final = 16
LEARNT_AFTER_NS: Final = 60 * SECOND
FORGOTTEN_AFTER_NS: Final = 24 * HOUR
_SAME_PLACE: Final = 0.3


@dataclass(slots=True, eq=False)
class _Light:
    class_id: int
    box: F32
    since: Instant
    last: Instant

    @property
    def learnt(self) -> bool:
        return self.last - self.since >= LEARNT_AFTER_NS


class SteadyLights:
    """Of one camera. Boxes are shares of the picture, float32 (4,)."""

    def __init__(self) -> None:
        self._lights: list[_Light] = []

    def __len__(self) -> int:
        """How many are learnt."""
        return sum(light.learnt for light in self._lights)

    def steady(self, class_id: int, box: F32, at: Instant) -> None:
        """Something was seen here for long enough, and did not change."""
        light = self._at(class_id, box)
        if light is not None:
            light.box, light.last = box, at
            return
        self._lights = [each for each in self._lights if 0 <= at - each.last <= FORGOTTEN_AFTER_NS]
        if len(self._lights) >= LIGHTS_MAX:
            self._lights.remove(min(self._lights, key=lambda each: each.last))
        self._lights.append(_Light(class_id, box, at, at))

    def changes(self, class_id: int, box: F32) -> None:
        """Something here changes as a fire does: whatever was learnt of this place is forgotten."""
        light = self._at(class_id, box)
        if light is not None:
            self._lights.remove(light)

    def known(self, class_id: int, box: F32) -> bool:
        """Whether a learnt light is here."""
        light = self._at(class_id, box)
        return light is not None and light.learnt

    def _at(self, class_id: int, box: F32) -> _Light | None:
        for light in self._lights:
            if light.class_id == class_id and float(iou(light.box[None], box[None])[0, 0]) >= _SAME_PLACE:
                return light
        return None
