"""What a scene promises and what it knows: kinds, classes, true boxes, the view of the ground."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]
F32 = npt.NDArray[np.float32]
ZoneKind = Literal["standing", "moving", "lane", "fire"]


class SceneKind(enum.Enum):
    """What happens in a scene. QUIET: lightly used, no incident; EMPTY: nothing to detect at all."""

    SQUARE_FILLING = "square_filling"
    ROAD_SLOWING = "road_slowing"
    VEHICLE_STOPPING = "vehicle_stopping"
    FIRE_STARTING = "fire_starting"
    QUIET = "quiet"
    EMPTY = "empty"


class SceneClass(enum.IntEnum):
    """Labels, in the order of the detector's own."""

    PERSON = 0
    BICYCLE = 1
    MOTORCYCLE = 2
    CAR = 3
    BUS = 4
    TRUCK = 5
    FIRE = 6
    SMOKE = 7


@dataclass(frozen=True)
class TrueBox:
    """One thing in the picture.

    x1, y1, x2, y2: px, the whole extent of the thing as if nothing stood before it, clipped to the picture
    (so y2 is the feet or tyres even where they are hidden). ground_x_m, ground_y_m: where it stands, in the
    metres of `GroundView.homography`. visible: 0..1, share of the clipped silhouette not hidden by nearer
    things.
    """

    cls: SceneClass
    x1: float
    y1: float
    x2: float
    y2: float
    ground_x_m: float
    ground_y_m: float
    visible: float


@dataclass(frozen=True)
class SceneTruth:
    """The truth of one moment. density_per_m2: people with their feet in the standing zone / its area."""

    boxes: tuple[TrueBox, ...]
    people: int
    stopped_vehicles: int
    fire: bool
    density_per_m2: float | None


@dataclass(frozen=True)
class ZoneShape:
    """A zone: polygon in picture px; area_m2 is the shoelace area of the same polygon on the ground."""

    name: str
    kind: ZoneKind
    polygon: tuple[tuple[float, float], ...]
    area_m2: float


@dataclass(frozen=True)
class GroundView:
    """Calibration: homography from picture px to ground metres, row by row, and the zones."""

    homography: tuple[float, ...]
    zones: tuple[ZoneShape, ...]


class Scene(Protocol):
    """A scene: pictures and truth as functions of time (s since the scene began, >= 0)."""

    @property
    def kind(self) -> SceneKind:
        """What happens here."""
        ...

    @property
    def seed(self) -> int:
        """What place, camera, weather and people follow from."""
        ...

    @property
    def night(self) -> bool:
        """Whether it is night."""
        ...

    @property
    def width(self) -> int:
        """Width of the picture, px."""
        ...

    @property
    def height(self) -> int:
        """Height of the picture, px."""
        ...

    @property
    def view(self) -> GroundView:
        """Calibration and zones."""
        ...

    def truth(self, t_s: float) -> SceneTruth:
        """What is true at `t_s`."""
        ...

    def render(self, t_s: float) -> tuple[U8, SceneTruth]:
        """The picture (height x width x 3, BGR) and the truth at `t_s`; same arguments, same pixels."""
        ...
