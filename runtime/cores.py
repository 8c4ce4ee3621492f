"""Cores: how much processor time this process may use, in whole cores or parts of one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

CGROUP_MAX: Final = Path("/sys/fs/cgroup/cpu.max")
"""Control group v2: `quota period` in microseconds, or `max period` (kernel documentation, cgroup-v2.rst)."""


def cores_allowed(cgroup_max: Path = CGROUP_MAX) -> float:
    """The smaller of the cores that we may be scheduled on and the container's quota; above 0."""
    cores = float(len(os.sched_getaffinity(0)))
    try:
        quota, _, period = cgroup_max.read_text(encoding="ascii").strip().partition(" ")
        limit = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        # No such file, or no limit in it ("max").
        return cores
    return min(cores, limit) if limit > 0 else cores
