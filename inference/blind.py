"""Blind: pictures arrive, but nothing can be seen in them: covered, dark, frozen, moved, blurred, undecodable.

One such picture proves nothing; several in a row do. Uses a thumbnail's brightness, a coarse map of edges
(inference.view) and the encoded bytes: a frozen encoder sends the same bytes again, which no live sensor with its
noise ever does. A recording that is played in a loop repeats its key pictures, too, but not what lies between
them: while the pictures between are not known to stand still, it takes more of the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from contracts.instant import SECOND, Instant
from inference.config import BlindConfig
from inference.picture import Bgr, Picture
from inference.view import View, shrunk

THUMB = (64, 36)
STILL_ACTIVITY = 0.25
"""Below this share of their normal size (FrameHeader.activity) the pictures between key pictures stand still."""


@dataclass(frozen=True, slots=True)
class Brightness:
    """Of a thumbnail, 0..255: mean, standard deviation, and the brightest hundredth's lower bound."""

    mean: float
    deviation: float
    peak: float


def brightness(bgr: Bgr) -> Brightness:
    """Measure a picture."""
    grey = cv2.cvtColor(cv2.resize(bgr, THUMB, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
    return Brightness(float(grey.mean()), float(grey.std()), float(np.percentile(grey, 99)))


def unseeing(bgr: Bgr, config: BlindConfig) -> str:
    """`dark` or `covered` when nothing can be seen in a picture by itself, else empty."""
    light = brightness(bgr)
    if light.mean < config.dark_mean and light.peak < config.dark_peak:
        return "dark"
    return "covered" if light.deviation < config.flat_deviation else ""


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known after a picture. `changed`: from seeing to blind or back, or first known.

    `reason`: `covered`, `dark`, `frozen`, `moved`, `blurred` or `undecodable` while blind. `say_unknown`: the
    counts of this camera must be said to be unknown now.
    """

    blind: bool
    changed: bool
    reason: str = ""
    say_unknown: bool = False
    alone: str = ""
    """`covered` or `dark` when nothing can be seen in this picture, whatever came before it."""


class BlindWatch:
    """One camera's sight, picture by picture."""

    def __init__(self, config: BlindConfig, *, zoned: bool = True) -> None:
        """`zoned`: the camera has zones, so that it must not be turned."""
        self._config = config
        self._view = View(config, fixed=zoned)
        self._suspected = ""
        self._in_a_row = 0
        self._same_bytes = 1
        self._same_and_still = 1
        self._fingerprint: int | None = None
        self._blind: bool | None = None
        self._reason = ""
        self._said_at = Instant(0)

    @property
    def suspicious(self) -> bool:
        """A picture looked blind, but not yet enough of them."""
        return self._in_a_row > 0 and not self._blind

    @property
    def blind(self) -> bool:
        """Whether the camera is blind by now."""
        return bool(self._blind)

    def look(self, picture: Picture) -> Sight:
        """Judge a decoded picture."""
        same = picture.fingerprint != 0 and picture.fingerprint == self._fingerprint
        self._fingerprint = picture.fingerprint
        self._same_bytes = self._same_bytes + 1 if same else 1
        still = same and picture.activity < STILL_ACTIVITY
        self._same_and_still = self._same_and_still + 1 if still else 1
        if (
            self._same_and_still >= self._config.frozen_samples
            or self._same_bytes >= self._config.frozen_samples_unsure
        ):
            return self._judge("frozen", self._same_bytes, picture.event_time)
        small = shrunk(picture.bgr)
        alone = unseeing(small, self._config)
        suspected = alone or self._view.judge(small)
        self._in_a_row = self._in_a_row + 1 if suspected else 0
        sight = self._judge(suspected, self._in_a_row, picture.event_time)
        return replace(sight, alone=alone) if alone else sight

    def undecodable(self, at: Instant) -> Sight:
        """A picture came that could not be decoded."""
        self._in_a_row += 1
        return self._judge("undecodable", self._in_a_row, at)

    def _judge(self, suspected: str, in_a_row: int, at: Instant) -> Sight:
        if not suspected:
            changed = self._blind is not False
            self._blind, self._reason = False, ""
            return Sight(False, changed)
        if self._blind:
            # Dark may become covered: the camera is as blind as before.
            say = at - self._said_at >= round(self._config.repeat_s * SECOND)
            self._said_at = at if say else self._said_at
            return Sight(True, False, self._reason, say)
        if in_a_row < self._config.samples:
            return Sight(False, False)
        self._blind, self._reason, self._said_at = True, suspected, at
        return Sight(True, True, suspected, True)
