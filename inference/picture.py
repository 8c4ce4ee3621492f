"""Picture: one decoded picture on its way through this process, and the size it is kept at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contracts.instant import Instant

Bgr = npt.NDArray[np.uint8]
"""(height, width, 3), 0..255, blue first."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Decoded pixels with their origin.

    `bgr` may be a view of shared memory that is given to the next picture afterwards: keep copies, not views.
    `fingerprint` names the encoded bytes: equal for identical pictures, else different but for chance (2**-64).
    `activity` is that of its FrameHeader.
    """

    source_id: str
    bgr: Bgr
    event_time: Instant
    arrival_time: Instant
    fingerprint: int = 0
    activity: float = 1.0

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return int(self.bgr.shape[1])

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return int(self.bgr.shape[0])


def kept_size(width: int, height: int, pixels_max: int) -> tuple[int, int]:
    """Width and height, even and at least 2, of the largest picture of this shape within `pixels_max` pixels."""
    shrink = min(1.0, (pixels_max / (width * height)) ** 0.5)
    return max(2, int(width * shrink) // 2 * 2), max(2, int(height * shrink) // 2 * 2)
