"""Place: where something is. Zone: a polygon on one camera's picture with a meaning on the ground."""

from __future__ import annotations

import enum
import math
from typing import Final

import msgspec

METRES_PER_DEGREE: Final = 111_320.0
"""Of latitude; a sphere is near enough for a radius of some hundred metres."""


class Place(msgspec.Struct, frozen=True, gc=False):
    """A point with its home grid, and the zone and fire zone that several sources may share.

    `lon`, `lat` are degrees (CGCS2000, which is within centimetres of WGS-84), at least 6 decimals.
    `grid_code` is None only while the point lies in no grid ("待定位").
    """

    lon: float
    lat: float
    grid_code: str | None = None
    zone_id: str | None = None
    fire_zone: str | None = None
    name: str = ""


def distance_m(one: Place, other: Place) -> float:
    """Metres between two places that are near each other (equirectangular)."""
    x = (one.lon - other.lon) * math.cos(math.radians((one.lat + other.lat) / 2))
    return math.hypot(x, one.lat - other.lat) * METRES_PER_DEGREE


class ZoneKind(enum.StrEnum):
    """What people or vehicles are expected to do in a zone; it selects the rules."""

    STANDING = "standing"
    """A square, a stage, a waiting room: people stand."""
    MOVING = "moving"
    """A lane for people, stairs, a bridge: people walk."""
    LANE = "lane"
    """A live traffic lane, outside signal queues."""
    FIRE_LANE = "fire_lane"
    """A fire lane that must stay free."""
    FIRE = "fire"
    """Where flame and smoke are looked for; without one the whole picture is."""


class RoadClass(enum.StrEnum):
    """Which speeds count as congestion on a road."""

    EXPRESSWAY = "expressway"
    """快速路, 公路."""
    ARTERIAL = "arterial"
    """主干路."""
    SECONDARY = "secondary"
    """次干路, 支路, 乡村道路."""


class Zone(msgspec.Struct, frozen=True):
    """A polygon on one camera's picture.

    `polygon`: at least 3 points, normalised to 0..1 of picture width and height.
    `area_m2`: measured ground area; None means not calibrated, then density is null and never judged.
    `capacity`: approved number of people; None switches the capacity rule off and the wall says so.
    `road`, `travel`: of a lane; its class, and from where to where its vehicles go (two points as those of
    `polygon`; None = learnt from the traffic, if it all goes one way).
    """

    id: str
    name: str
    kind: ZoneKind
    polygon: tuple[tuple[float, float], ...]
    area_m2: float | None = None
    version: int = 1
    capacity: int | None = None
    fire_zone: str | None = None
    lon: float | None = None
    lat: float | None = None
    road: RoadClass = RoadClass.ARTERIAL
    travel: tuple[tuple[float, float], tuple[float, float]] | None = None
