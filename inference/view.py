"""View: what a camera usually shows, so that one that was turned away or went out of focus is noticed.

Of the pictures so far only a coarse map of edges is kept, and how sharp they were, apart for colour and for grey
(infrared) pictures. Edges are kept as directions modulo 180 degrees (the doubled angle), so that light that comes
from elsewhere, or a dark thing turned bright, changes nothing; people and cars that pass fade out of the mean.

*Moved*: several pictures in a row whose edges have nothing to do with the learnt ones, but with one another: a
crowd in front of the lens is never twice the same. *Blurred*: several in a row with a small share of the usual
sharpness: out of focus, dirt, fog.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from inference.config import BlindConfig
from inference.picture import Bgr

F32 = npt.NDArray[np.float32]
_FINE: Final = (320, 180)
_COARSE: Final = (80, 45)
_GREY_BELOW: Final = 3.0
"""Mean saturation (0..255) below which a picture is grey: night vision, or a camera without colour. A street of
concrete under clouds has more."""
_EDGES_MIN: Final = 4.0
"""Mean strength of the edges (Sobel, 0..255 pixels) below which there is too little to compare."""
_STRENGTH_HALF: Final = 40.0
"""Strength at which an edge counts half: bright ones must not outweigh all others."""
_LEARNING: Final = 0.03
_HOLD_TOGETHER: Final = 0.4
"""Likeness from which two pictures show the same place, whatever moves in it."""


@dataclass(frozen=True, slots=True)
class Edges:
    """Of one picture: directions float32 (45, 80, 2) weighted by strength, `sharpness` relative to its contrast,
    `grey`: without colour, `rich`: with enough edges to be compared."""

    directions: F32
    sharpness: float
    grey: bool
    rich: bool


def shrunk(bgr: Bgr) -> Bgr:
    """A picture of any size as 320 x 180, whatever its aspect: all that is looked at here.

    By halves as long as possible: OpenCV averages two by two many times faster than anything else.
    """
    height, width = bgr.shape[:2]
    while width >= 2 * _FINE[0] and height >= 2 * _FINE[1]:
        width, height = width // 2, height // 2
        bgr = np.asarray(cv2.resize(bgr, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    if (width, height) == _FINE:
        return bgr
    return np.asarray(cv2.resize(bgr, _FINE, interpolation=cv2.INTER_AREA), np.uint8)


def edges(bgr: Bgr) -> Edges:
    """Measure a picture of any size."""
    small = shrunk(bgr)
    saturation = float(cv2.mean(cv2.cvtColor(small, cv2.COLOR_BGR2HSV))[1])
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)
    sharpness = float(np.abs(cv2.Laplacian(grey, cv2.CV_32F)).mean()) / (float(grey.std()) + 1.0)
    coarse = cv2.resize(grey, _COARSE, interpolation=cv2.INTER_AREA)
    dx, dy = cv2.Sobel(coarse, cv2.CV_32F, 1, 0), cv2.Sobel(coarse, cv2.CV_32F, 0, 1)
    squared = dx * dx + dy * dy
    strength = np.sqrt(squared)
    # The cosine and sine of the doubled angle, without the angle.
    scale = np.sqrt(strength / (strength + _STRENGTH_HALF)) / np.maximum(squared, 1e-6)
    directions = np.stack(((dx * dx - dy * dy) * scale, 2 * dx * dy * scale), axis=2)
    rich = float(strength.mean()) >= _EDGES_MIN
    return Edges(directions.astype(np.float32), sharpness, saturation < _GREY_BELOW, rich)


def likeness(left: F32, right: F32) -> float:
    """Correlation of two maps of directions, -1..1; views of different places are near 0."""
    scale = float(np.linalg.norm(left) * np.linalg.norm(right))
    return float((left * right).sum()) / scale if scale else 0.0


@dataclass(slots=True)
class _Learnt:
    """The usual view in one kind of light."""

    directions: F32
    sharpness: float
    pictures: int = 1

    def add(self, seen: Edges) -> None:
        """Take a picture into the mean: each of the first ones alike, later ones slowly."""
        self.pictures += 1
        share = max(1 / self.pictures, _LEARNING)
        self.directions += (seen.directions - self.directions) * np.float32(share)
        self.sharpness += (seen.sharpness - self.sharpness) * share


class View:
    """One camera's usual view. `judge` picture by picture; what looks wrong is not learnt.

    `fixed`: it has zones, which mean nothing elsewhere; another camera may look wherever it likes, and what it
    sees then is its usual view from now on.
    """

    def __init__(self, config: BlindConfig, *, fixed: bool = True) -> None:
        self._config = config
        self._fixed = fixed
        self._learnt: dict[bool, _Learnt] = {}
        self._before: F32 | None = None
        """The last picture that looked like another place..."""
        self._elsewhere = 0
        """...and how many in a row showed the same other place."""

    def judge(self, bgr: Bgr) -> str:
        """`moved` or `blurred` when a picture looks so by itself, else empty."""
        seen = edges(bgr)
        learnt = self._learnt.get(seen.grey)
        if learnt is None:
            if seen.rich:
                self._learnt[seen.grey] = _Learnt(seen.directions.copy(), seen.sharpness)
            return ""
        known = learnt.pictures >= self._config.view_pictures
        if known and seen.sharpness < self._config.blurred_share * learnt.sharpness:
            return "blurred"
        if not seen.rich:
            return ""
        if known and likeness(learnt.directions, seen.directions) < self._config.moved_likeness:
            if not self._fixed:
                self._learnt[seen.grey] = _Learnt(seen.directions.copy(), seen.sharpness)
                return ""
            before, self._before = self._before, seen.directions
            if self._elsewhere >= self._config.samples:
                # It was turned: only its own view ends that, however much moves in the other.
                return "moved"
            # A truck before the lens for one picture is no other place.
            same = before is None or likeness(before, seen.directions) >= _HOLD_TOGETHER
            self._elsewhere = self._elsewhere + 1 if same else 0
            return "moved" if same else ""
        self._before, self._elsewhere = None, 0
        learnt.add(seen)
        return ""
