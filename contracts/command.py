"""Command: what a person or an outside system asks of alerts; answered after commit."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

import msgspec

from contracts.instant import Instant
from contracts.principal import Principal


class CommandKind(enum.StrEnum):
    """What can be asked."""

    CONFIRM = "confirm"
    """研判属实: the incident is real."""
    FALSE_ALARM = "false_alarm"
    """误报, with a reason code."""
    ACKNOWLEDGE = "acknowledge"
    """认领: this principal owns the incident until it clears."""
    MUTE = "mute"
    UNMUTE = "unmute"
    TICKET_MOVE = "ticket_move"
    """A transition of the ticket's life cycle; `argument` names the target state's code."""
    RESEND_DELIVERY = "resend_delivery"
    NOTE = "note"
    """What a camera showed when it was looked at: `note` stands in the incident, decides nothing. Ours alone."""


FALSE_ALARM_REASONS: Final[Mapping[str, tuple[str, str]]] = {
    "light": ("灯光、反光或阴影", "Light, reflection or shadow"),
    "weather": ("雨雪、沙尘或雾", "Rain, snow, dust or fog"),
    "steam": ("水汽、炊烟或扬尘", "Steam, cooking smoke or dust"),
    "planned": ("计划内活动或施工", "Planned event or works"),
    "traffic_normal": ("正常等候或上下客", "Normal waiting or boarding"),
    "device": ("设备故障或误触", "Device fault or mishandling"),
    "test": ("设备测试", "Device test"),
    "other": ("其他(请说明)", "Other (say what)"),
}
"""Reason codes of 误报 with their Chinese and English words; `reason` of a `false_alarm` command."""


class MuteMatcher(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a mute holds for; every field that is set must match. At least one must be set."""

    type: str | None = None
    source_id: str | None = None
    grid_prefix: str | None = None
    zone_id: str | None = None


class Command(msgspec.Struct, frozen=True, kw_only=True, tag="command", tag_field="record"):
    """One wish. `id` is its idempotency key: asked twice, done once, answered the same.

    `expected_version` refuses the command when the target changed since the asker looked.
    """

    id: str
    site: str
    kind: CommandKind
    principal: Principal
    at: Instant
    target_id: str = ""
    argument: str = ""
    reason: str = ""
    note: str = ""
    until: Instant | None = None
    matcher: MuteMatcher | None = None
    expected_version: int | None = None
    exercise: bool = False
    schema: int = 1


class CommandAnswer(msgspec.Struct, frozen=True, kw_only=True, tag="command_answer", tag_field="record"):
    """The answer after commit. `reason` is a stable code when refused, `allowed` what is allowed instead."""

    command_id: str
    accepted: bool
    message: str = ""
    reason: str = ""
    allowed: tuple[str, ...] = ()
    target_id: str = ""
    version: int | None = None
    sequence: int | None = None
