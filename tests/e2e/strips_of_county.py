"""What the running county tells of its filmstrips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contracts.instant import SECOND
from sim.stack import Stack

LONGEST_S = 420.0


def strips(stack: Stack) -> list[dict[str, Any]]:
    """Every strip of every incident."""
    incidents = stack.get("/api/v1/incidents", limit=100)["items"]
    found: list[dict[str, Any]] = []
    for incident in incidents:
        found += stack.get(f"/api/v1/incidents/{incident['id']}/filmstrips")["items"]
    return found


def wait(stack: Stack, wanted: Callable[[], bool], what: str) -> None:
    deadline_ns = stack.clock.monotonic_ns() + round(LONGEST_S * SECOND)
    while not wanted():
        assert stack.clock.monotonic_ns() < deadline_ns, f"no {what}\n{stack.log_tail()}"
        stack.clock.sleep(1.0)


def origins(strip: dict[str, Any], *, before: bool) -> set[str]:
    return {each["origin"]["code"] for each in strip["pictures"] if (each["offset_s"] <= 0) is before}


def complete(stack: Stack) -> list[dict[str, Any]]:
    return [strip for strip in strips(stack) if strip["state"]["code"] == "complete"]
