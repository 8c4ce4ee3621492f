"""Coverage: what one process of ingest or inference received or analysed of each of its cameras in a minute.

Each process tells it for itself, every quarter of a minute; whoever reads puts the processes together.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from contracts.instant import MINUTE, Instant

WINDOW_NS: Final = MINUTE
"""The last minute: what is counted lies before the report's `at`, and not longer ago than this."""
REPORT_EVERY_NS: Final = WINDOW_NS // 4
"""Time from one report of a process to its next one; reports end on multiples of it by the monotonic clock."""


class CoverageStage(enum.StrEnum):
    """What the pictures are counted at."""

    RECEIVED = "received"
    """Ingest has a key picture."""
    ANALYSED = "analysed"
    """Inference looked at a picture."""


class CameraMinute(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One camera's last minute.

    `pictures`: how many in the window. `age_s`: whole seconds from its last picture to the report's `at`; None =
    none since the process began. `round_s`: where cameras are visited in turn (patrol), the seconds of its last
    round, 0 while its first one is not complete; None = not on patrol.
    """

    camera_id: str
    pictures: int
    age_s: int | None
    round_s: int | None = None


class CoverageReport(msgspec.Struct, frozen=True, kw_only=True, tag="coverage", tag_field="record"):
    """What a process saw of every camera that it is there for, also of those that it saw nothing of.

    `at` is the end of the window, `window_s` how much of it the process was there, 0..60. About 27 bytes a camera:
    100 kB for a county of 3,700.
    """

    id: str
    site: str
    service: str
    instance: str
    stage: CoverageStage
    at: Instant
    started_at: Instant
    window_s: float
    cameras: tuple[CameraMinute, ...]
    schema: int = 1
