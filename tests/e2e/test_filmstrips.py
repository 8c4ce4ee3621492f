"""Filmstrips in the running county: real processes and links, and a kill of inference in the middle of one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

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


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_county_shows_before_and_after_from_the_ring_and_says_what_is_missing(short_dir: Path) -> None:
    with Stack(short_dir) as stack:
        stack.wait_ready(120)
        listed = json.loads((short_dir / "var/county/catalogue.json").read_text(encoding="utf-8"))
        ringed = {camera["id"] for camera in listed["cameras"] if camera.get("keep_ring")}

        def both() -> bool:
            mine = [strip for strip in complete(stack) if strip["pictures"]]
            kinds = {strip["source"]["id"] in ringed for strip in mine}
            return kinds == {True, False}

        wait(stack, both, "strip of a camera with a ring, and of one without")
        for strip in complete(stack):
            assert (strip["begin_s"], strip["end_s"]) == (-30.0, 30.0)
            for picture in strip["pictures"]:
                answer = httpx.get(stack.address + picture["evidence"]["url"], trust_env=False)
                assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        with_ring = next(
            strip for strip in complete(stack) if strip["source"]["id"] in ringed and strip["pictures"]
        )
        assert origins(with_ring, before=True) >= {"ring"}
        assert origins(with_ring, before=False) >= {"live"}
        without = next(
            strip for strip in complete(stack) if strip["source"]["id"] not in ringed and strip["pictures"]
        )
        assert [gap["reason"]["code"] for gap in without["gaps"]][:1] == ["no_recording"]
        assert "ring" not in origins(without, before=True)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_inference_is_killed_while_a_strip_is_gathered_then_it_is_finished_all_the_same(short_dir: Path) -> None:
    with Stack(short_dir) as stack:
        stack.wait_ready(120)
        gathering: list[str] = []

        def begun() -> bool:
            gathering[:] = [each["id"] for each in strips(stack) if each["state"]["code"] == "gathering"]
            return bool(gathering)

        wait(stack, begun, "strip that is gathered")
        assert stack.kill("inference") is not None

        def finished() -> bool:
            return any(each["id"] == gathering[0] for each in complete(stack))

        wait(stack, finished, "end of the strip that was gathered")
        strip = next(each for each in complete(stack) if each["id"] == gathering[0])
        assert strip["pictures"] or strip["gaps"], "what is not shown is said to be missing"
