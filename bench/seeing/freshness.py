"""Freshness: how old the last look at each camera was, from the product's own reports. Pure.

Inference tells every 15 s the age of its last look at each camera, in whole seconds (contracts.coverage); each
counts as half a second more. A camera that was never looked at is as old as the measurement, at least.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from contracts.coverage import CoverageReport
from contracts.instant import SECOND, Instant

RATIO_MAX: Final = 1.5
"""p95 of the ages over N/C."""
STARVED_TIMES: Final = 4.0
"""A camera that was not looked at for so many times N/C is starved."""


class Freshness(msgspec.Struct, frozen=True, kw_only=True):
    """`pictures_per_s` is C, `fair_s` N/C: how old looks become if all cameras take turns. `ratio`: p95 over it.

    `starved`: cameras whose last look was older than STARVED_TIMES times `fair_s` in any report, or that were
    never looked at; `never`: the latter alone. `reports`: how many stand behind it.
    """

    pictures_per_s: float
    fair_s: float
    p50_s: float
    p95_s: float
    max_s: float
    ratio: float
    starved: int
    never: int
    reports: int


def freshness(
    reports: Sequence[CoverageReport], cameras: Sequence[str], pictures_per_s: float, since: Instant
) -> Freshness | None:
    """What these reports come to; None without any, or when nothing was looked at.

    `since`: from when on all cameras could have been looked at.
    """
    if not reports or pictures_per_s <= 0 or not cameras:
        return None
    ages, never = [], set(cameras)
    for report in reports:
        told = {each.camera_id: each.age_s for each in report.cameras}
        waited_s = max((report.at - since) / SECOND, 0.0)
        for camera in cameras:
            age_s = told.get(camera)
            if age_s is None:
                ages.append(waited_s)
                continue
            never.discard(camera)
            ages.append(age_s + 0.5)
    found = np.array(ages).reshape(len(reports), len(cameras))
    fair_s = len(cameras) / pictures_per_s
    oldest = found.max(axis=0).tolist()
    late = {name for name, age_s in zip(cameras, oldest, strict=True) if age_s > STARVED_TIMES * fair_s}
    p50, p95 = np.percentile(found, [50, 95])
    return Freshness(
        pictures_per_s=round(pictures_per_s, 1),
        fair_s=round(fair_s, 2),
        p50_s=round(float(p50), 2),
        p95_s=round(float(p95), 2),
        max_s=round(float(found.max()), 2),
        ratio=round(float(p95) / fair_s, 3),
        starved=len(late | never),
        never=len(never),
        reports=len(reports),
    )
