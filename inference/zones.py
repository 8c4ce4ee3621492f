"""Zones: polygons of a camera on pictures of any size, and which findings lie in them.

Where a person is on the ground is told by the feet: the middle of the box's lower edge. In a crowd the legs of
people behind are hidden, the box ends at the chest, and its lower edge lies too high, that is too far away. A
person's box is about 2.6 times as high as wide; where it is squat (under 1.6 times, legs hidden), the feet are
taken to be 2.6 widths below its top. Vehicles stand where the middle of their lower edge is, lifted by a tenth
of their height (a box of a vehicle seen askew reaches below its wheels).
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from contracts.place import Zone
from inference.ground import Ground

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
PERSON_TALL = 2.6
PERSON_SQUAT = 1.6
VEHICLE_LIFT = 0.1


def inside(polygon: F64, points: F64) -> npt.NDArray[np.bool_]:
    """Whether points (n, 2) lie in a polygon (k, 2): even-odd rule, so a self-crossing one has holes.

    A point on the left or upper edge is inside, on the right or lower edge outside (as for pixels).
    """
    x, y = points[:, None, 0], points[:, None, 1]
    x1, y1 = polygon[None, :, 0], polygon[None, :, 1]
    x2, y2 = np.roll(x1, -1, axis=1), np.roll(y1, -1, axis=1)
    crosses = (y1 > y) != (y2 > y)
    rise = np.where(y2 == y1, 1.0, y2 - y1)
    at = x1 + (y - y1) * (x2 - x1) / rise
    return np.asarray(np.count_nonzero(crosses & (x < at), axis=1) % 2 == 1)


@dataclass(frozen=True)
class ZoneShape:
    """A zone of the catalogue, its polygon as an array; positions are shares 0..1 of picture width and height."""

    zone: Zone
    polygon: F64

    @classmethod
    def of(cls, zone: Zone) -> ZoneShape:
        """From the catalogue's record."""
        return cls(zone, np.array(zone.polygon, np.float64).reshape(-1, 2))

    def pixels(self, width: int, height: int) -> F64:
        """The polygon in pixels of a picture, float64 (k, 2)."""
        return np.asarray(self.polygon * (width, height))

    def holds(self, points: F64, width: int, height: int) -> npt.NDArray[np.bool_]:
        """Which points (n, 2), in pixels, lie in the zone; points on or past the border count as just within."""
        shares = np.clip(points / (width, height), 1e-6, 1 - 1e-6)
        return inside(self.polygon, shares)


def measured(zone: Zone, ground: Ground | None) -> Zone:
    """The zone with its area from the camera's ground, where nobody stated one and the ground is measured."""
    if zone.area_m2 is not None or ground is None:
        return zone
    area = ground.area_m2(np.array(zone.polygon, np.float64))
    return zone if area is None else msgspec.structs.replace(zone, area_m2=round(area, 2))


def feet(xyxy: F32) -> F64:
    """Where persons stand: float64 (n, 2) in pixels; see the head of this file."""
    width, height = xyxy[:, 2] - xyxy[:, 0], xyxy[:, 3] - xyxy[:, 1]
    squat = height < PERSON_SQUAT * width
    low = np.where(squat, xyxy[:, 1] + PERSON_TALL * width, xyxy[:, 3])
    return np.stack(((xyxy[:, 0] + xyxy[:, 2]) / 2, low), axis=1).astype(np.float64)


def wheels(xyxy: F32) -> F64:
    """Where vehicles stand: float64 (n, 2) in pixels."""
    low = xyxy[:, 3] - VEHICLE_LIFT * (xyxy[:, 3] - xyxy[:, 1])
    return np.stack(((xyxy[:, 0] + xyxy[:, 2]) / 2, low), axis=1).astype(np.float64)


def centres(xyxy: F32) -> F64:
    """The middle of boxes: float64 (n, 2) in pixels."""
    return np.stack(((xyxy[:, 0] + xyxy[:, 2]) / 2, (xyxy[:, 1] + xyxy[:, 3]) / 2), axis=1).astype(np.float64)
