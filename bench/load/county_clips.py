"""What the cameras of a quiet county show: yards by day and night, a square, a road; and a yard that burns.

Each is drawn by the simulated county and really encoded (H.264, 640x360, 25 pictures a second, variable rate), so
that a detector finds in it what it finds in such places. A yard and the same yard burning differ by the fire.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import av
import numpy as np
import numpy.typing as npt

from bench.load.clips import KEY_INTERVAL, PICTURES_PER_S, Clip, encode_groups
from sim.scenes import Scene, SceneKind, make_scene

GROUPS: Final = 6
"""Groups of pictures in a clip: even, as those of bench.load.clips, and at least 4."""
_BEGIN_S: Final = 5.0
_BURNING_S: Final = 95.0
"""Seconds of the scene: the fire breaks out at 60 and is grown at 90."""
_QUALITY: Final = 24
"""At 28 the pictures of an empty road are nothing but skipped blocks: a frozen camera, for ingest."""


class CountyClip(enum.StrEnum):
    """What a share of the cameras shows."""

    YARD = "yard"
    YARD_NIGHT = "yard_night"
    SQUARE = "square"
    ROAD = "road"


@dataclass(frozen=True, slots=True)
class _Place:
    kind: SceneKind
    seed: int
    night: bool = False


_PLACES: Final = {
    CountyClip.YARD: _Place(SceneKind.FIRE_STARTING, 3),
    CountyClip.YARD_NIGHT: _Place(SceneKind.FIRE_STARTING, 8, night=True),
    CountyClip.SQUARE: _Place(SceneKind.SQUARE_FILLING, 4),
    # Empty: the clip is played in a loop, and a car that comes back to the same place every 12 s seems to stand.
    CountyClip.ROAD: _Place(SceneKind.EMPTY, 8),
}
BURNS: Final = (CountyClip.YARD, CountyClip.YARD_NIGHT)
"""Those in which a fire can be staged."""


def scene_of(name: CountyClip) -> Scene:
    """The scene; before its second 60 nothing happens in it."""
    place = _PLACES[name]
    return make_scene(place.kind, place.seed, night=place.night)


def county_clip(name: CountyClip, *, burning: bool = False, groups: int = GROUPS) -> Clip:
    """A clip of so many groups of pictures, some seconds of work. `burning`: for those of BURNS."""
    if burning and name not in BURNS:
        raise ValueError(f"nothing burns in {name}")
    drawn = list(_draw(scene_of(name), _BURNING_S if burning else _BEGIN_S, groups))
    return encode_groups(name.value, drawn, _QUALITY)


def _draw(scene: Scene, begin_s: float, groups: int) -> Iterator[av.VideoFrame]:
    for number in range((1 + groups) * KEY_INTERVAL):
        picture: npt.NDArray[np.uint8] = scene.render(begin_s + number / PICTURES_PER_S)[0]
        yield av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format="yuv420p")
