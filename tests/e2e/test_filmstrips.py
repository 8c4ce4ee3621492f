"""Filmstrips in the running county: real processes and links, and a kill of inference in the middle of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.stack import Stack
from tests.e2e.strips_of_county import complete, strips, wait


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
