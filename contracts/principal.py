"""Principal: who asks; a person with role, unit and grid subtree, or a machine client."""

from __future__ import annotations

import enum

import msgspec


class Role(enum.StrEnum):
    """Roles of the command centre and of machines; profiles of a county map their own words to these."""

    OPERATOR = "operator"
    """值班员"""
    SHIFT_LEAD = "shift_lead"
    """值班长"""
    GRID_WORKER = "grid_worker"
    """网格员"""
    DEPARTMENT = "department"
    SUPERVISOR = "supervisor"
    """督查, read only"""
    ANALYST = "analyst"
    ENGINEER = "engineer"
    """运维"""
    MACHINE = "machine"
    SYSTEM = "system"


class Principal(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Who asks. `grid_prefix` is the subtree of grids this principal may see (prefix of grid codes)."""

    id: str
    name: str
    role: Role
    unit: str = ""
    grid_prefix: str = ""


SYSTEM = Principal(id="system", name="系统", role=Role.SYSTEM)
"""The product itself: timers and rules."""
