from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import SourceUnreachable
from contracts.instant import SECOND
from contracts.source import Platform
from ingest.config import IngestConfig
from ingest.guest.gate import Gate
from ingest.guest.limits import GuestLimits, PlatformLimits, guest_limits
from ingest.guest.place import Visitor
from runtime.clock import SimClock
from tests.ingest.guest.county import AlarmClock, SimCamera


@asynccontextmanager
async def running(cameras: list[SimCamera]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(camera.run()) for camera in cameras]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_3700_cameras_start_within_five_minutes_under_the_default_policy() -> None:
    clock = AlarmClock()
    limits = guest_limits(IngestConfig(), ())
    gate = Gate(clock, limits)
    cameras = [
        SimCamera(
            Visitor(f"c{number}", f"host {number % 40}", f"platform {number % 5}"),
            gate,
            clock,
            handshake_s=0.8,
            up=lambda: True,
        )
        for number in range(3_700)
    ]
    async with running(cameras):
        assert await clock.run_until(300, lambda: all(camera.live for camera in cameras))
        assert 3_700 / limits.rate_per_s - 1 <= clock.monotonic_ns() / SECOND <= 160
        assert gate.admission.opening == 0


def host(number: int) -> str:
    """300 cameras with an address of their own, the others 25 behind one recorder."""
    return f"alone {number}" if number < 300 else f"recorder {number // 25}"


@pytest.mark.parametrize("away_s", [0, 20, 400])
async def test_thousand_cameras_cut_at_once_are_live_60_s_after_they_are_given_back(away_s: float) -> None:
    """Behind one host each, a recorder of 25, and one platform: whatever lost its power."""
    clock = AlarmClock()
    limits = guest_limits(IngestConfig(), ())
    gate = Gate(clock, limits)
    power = True
    cameras = [
        SimCamera(
            Visitor(
                f"c{number}", f"alone {number}" if number < 300 else f"host {number // 25}", "p" * (number > 800)
            ),
            gate,
            clock,
            handshake_s=0.5,
            up=lambda: power,
        )
        for number in range(1_000)
    ]
    async with running(cameras):
        assert await clock.run_until(300, lambda: all(camera.live for camera in cameras))
        began = clock.monotonic_ns() / SECOND
        power = away_s == 0
        for camera in cameras:
            camera.cut()
        most = 0
        while clock.monotonic_ns() / SECOND < began + away_s:
            await clock.run_until(clock.monotonic_ns() / SECOND + 1)
            most = max(most, gate.admission.opening)
            assert gate.admission.opening <= limits.openings
        power = True
        back = clock.monotonic_ns() / SECOND
        assert await clock.run_until(back + 60, lambda: all(camera.live for camera in cameras)), (
            sum(camera.live for camera in cameras),
            most,
        )


async def test_limits_of_the_catalogue_hold_and_change_without_reconnecting() -> None:
    clock = AlarmClock()
    gate = Gate(clock, GuestLimits(platforms={"p": PlatformLimits(3, 0)}))
    cameras = [
        SimCamera(Visitor(f"c{number}", "h", "p"), gate, clock, handshake_s=0.1, up=lambda: True)
        for number in range(10)
    ]
    async with running(cameras):
        await clock.run_until(60)
        assert sum(camera.live for camera in cameras) == 3
        assert all(camera.visits for camera in cameras), "all were visited in turn"
        gate.change_limits(GuestLimits(platforms={"p": PlatformLimits(10, 0)}))
        before = sum(camera.attempts for camera in cameras)
        await clock.run_until(200)
        assert all(camera.live for camera in cameras)
        assert sum(camera.attempts for camera in cameras) - before == 7, (
            "those who waited; nobody was disconnected"
        )


@given(
    cancelled=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 12)), max_size=12),
    sessions=st.integers(1, 3),
)
@settings(deadline=None, max_examples=60)
def test_cancelled_at_any_moment_leaves_no_place_behind(cancelled: list[tuple[int, int]], sessions: int) -> None:
    async def play() -> None:
        clock = SimClock()
        gate = Gate(clock, GuestLimits(rate_per_s=100, burst=2, openings=2, host_sessions=sessions))
        inside = 0

        async def visit(number: int) -> None:
            nonlocal inside
            # The clock jumps to whatever the gate waits for, so a visit may be over before it showed anything.
            with suppress(SourceUnreachable):
                async with gate.visit(Visitor(f"c{number}", "h")) as held:
                    inside += 1
                    try:
                        assert inside <= sessions
                        await asyncio.sleep(0)  # noqa: TID251
                        held.opened()
                        if number % 2:
                            held.seen()
                        await asyncio.sleep(0)  # noqa: TID251
                    finally:
                        inside -= 1
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0

        tasks = [asyncio.create_task(visit(number)) for number in range(8)]
        for step in range(13):
            for number, at in cancelled:
                if at == step:
                    tasks[number].cancel()
            await asyncio.sleep(0)  # noqa: TID251
        ends = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        wanted = {number for number, _ in cancelled}
        for number, end in enumerate(ends):
            assert end is None or (number in wanted and isinstance(end, asyncio.CancelledError))
        assert (gate.admission.waiting, gate.admission.opening, gate.admission.open) == (0, 0, 0)
        assert len(gate.admission) == 0

    asyncio.run(play())


def test_lower_one_of_what_operator_and_catalogue_say_of_a_platform_holds() -> None:
    config = IngestConfig(platform_sessions={"a": 8, "b": 4, "c": 0}, platform_sessions_max=100)
    listed = (
        Platform(id="a", sessions_max=5, nvr_sessions_max=2),
        Platform(id="b", sessions_max=9),
        Platform(id="d"),
    )
    limits = guest_limits(config, listed)
    assert [limits.of_platform(each).sessions for each in ("a", "b", "c", "d", "e", "")] == [5, 4, 0, 100, 100, 0]
    assert limits.of_platform("a").nvr_sessions == 2


async def test_recall_ends_the_block_alone_and_a_cancellation_from_outside_ends_the_task() -> None:
    clock = AlarmClock()
    gate = Gate(clock, GuestLimits(host_sessions=1))
    ended: list[str] = []

    async def visit(name: str) -> None:
        async with gate.visit(Visitor(name, "h")) as held:
            held.opened()
            held.seen()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)  # noqa: TID251 - as a TEARDOWN waits for its answer
                ended.append(name)
        ended.append(f"behind {name}")
        await asyncio.Event().wait()

    first, second = (asyncio.create_task(visit(name)) for name in ("a", "b"))
    await clock.run_until(1)
    assert ended == ["a", "behind a"], "b waits, and was never seen"
    assert first.cancelling() == 0
    third = asyncio.create_task(visit("c"))
    await clock.run_until(1.01)
    # b is being recalled for c, or was already; cancelled from outside as well it must not go on.
    second.cancel()
    third.cancel()
    await asyncio.gather(second, third, return_exceptions=True)
    assert second.cancelled()
    assert third.cancelled()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert (gate.admission.waiting, gate.admission.opening, gate.admission.open) == (0, 0, 0)


async def test_recalled_and_cancelled_in_the_same_moment_stays_cancelled() -> None:
    clock = AlarmClock()
    gate = Gate(clock, GuestLimits(host_sessions=1))
    behind = False

    async def hold() -> None:
        nonlocal behind
        async with gate.visit(Visitor("a", "h")) as held:
            held.opened()
            held.seen()
            await asyncio.Event().wait()
        behind = True

    async def come() -> None:
        async with gate.visit(Visitor("b", "h")):
            await asyncio.Event().wait()

    holder = asyncio.create_task(hold())
    await clock.run_until(1)
    comer = asyncio.create_task(come())
    await asyncio.sleep(0)  # noqa: TID251 - b asks, and a is recalled
    holder.cancel()
    await asyncio.gather(holder, return_exceptions=True)
    assert holder.cancelled()
    assert not behind
    comer.cancel()
    await asyncio.gather(comer, return_exceptions=True)
    assert len(gate.admission) == 0
