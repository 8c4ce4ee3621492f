"""The real camera worker and the load server's bad cameras, each with the state and reason that it needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bench.load.clips import ClipName
from bench.load.control import Cut, Done, SetFault
from bench.load.faults import Fault
from bench.load.process import LineProcess
from bench.load.rig import load_server
from contracts import topics, wire
from contracts.control import HistoryAnswer, HistoryOrigin, HistoryRequest
from contracts.frame import Suspicion
from contracts.source import SourceChange, SourceState
from runtime.clock import SystemClock
from runtime.zmq_request import ZmqRequestClient
from tests.ingest.alerts_end import AlertsEnd, alerts_end, site_in
from tests.ingest.test_probe import recording
from tests.ingest.test_worker import camera, working

QUICK = {"suspect_after_s": 4.0, "suspect_quiet_s": 10.0, "flapping_steady_s": 8.0, "flapping_away_s": 2.0}
"""Seconds instead of minutes; a jump of the clock every 8 s must not be over before the next one."""
WAIT_S = 90.0
LIVE = (SourceState.LIVE, "")
ENDS = {
    Fault.FROZEN: (SourceState.SUSPECT, "frozen"),
    Fault.LOSS: (SourceState.SUSPECT, "packet_loss"),
    Fault.CLOCK_JUMP: (SourceState.SUSPECT, "clock_jump"),
    Fault.WRONG_RTCP: (SourceState.SUSPECT, "clock_jump"),
    Fault.STALL: (SourceState.STALE, "stall"),
    Fault.GARBAGE: (SourceState.FAULTED, "garbage"),
}


def told(end: AlertsEnd, name: str) -> list[tuple[SourceState, str]]:
    return [(each.state, each.reason) for each in end.changes if each.source_id == name]


def now(end: AlertsEnd, wanted: dict[str, tuple[SourceState, str]]) -> Callable[[], bool]:
    """Whether each of these cameras is in its state now."""

    def holds() -> bool:
        sources: dict[str, SourceChange] = end.sources
        return all(
            name in sources and (sources[name].state, sources[name].reason) == state
            for name, state in wanted.items()
        )

    return holds


async def served(stack: AsyncExitStack, streams: int) -> tuple[LineProcess, str]:
    server, ready = await stack.enter_async_context(load_server(ClipName.NORMAL, streams))
    return server, f"rtsp://127.0.0.1:{ready.port}/cam/"


@pytest.mark.slow
async def test_each_fault_has_its_state_and_reason_and_is_forgotten_when_mended(short_dir: Path) -> None:
    site = site_in(short_dir)
    names = [fault.value for fault in ENDS]
    async with AsyncExitStack() as stack:
        server, url = await served(stack, len(ENDS) + 1)
        cameras = [camera(name, f"{url}{number}") for number, name in enumerate([*names, "good"])]
        end = await stack.enter_async_context(alerts_end(site, cameras=tuple(cameras)))
        # Stalls and garbage come again and again: here they are looked at one by one.
        await stack.enter_async_context(working(site, stall_s=2.0, flapping_ends=1_000, **QUICK))
        await end.until(now(end, dict.fromkeys([*names, "good"], LIVE)), WAIT_S)
        for number, fault in enumerate(ENDS):
            await server.ask(SetFault((number,), fault), Done)
        for fault, expected in ENDS.items():
            await end.until(lambda f=fault, e=expected: e in told(end, f.value), WAIT_S)  # type: ignore[misc]
        await end.until(lambda: end.counter("ingest-cameras", "cameras_doubted:frozen") == 1, WAIT_S)
        for number in range(len(ENDS)):
            await server.ask(SetFault((number,), None), Done)
        await end.until(now(end, dict.fromkeys(names, LIVE)), WAIT_S)
        assert set(told(end, "good")) == {(SourceState.CONNECTING, ""), LIVE}
        for fault, expected in ENDS.items():
            others = set(told(end, fault.value)) - {(SourceState.CONNECTING, ""), LIVE, expected}
            assert others <= {(SourceState.LIVE, "clock_skew")}, fault


@pytest.mark.slow
async def test_flapping_camera_is_suspect_up_and_away_faulted_when_gone_and_live_when_steady(
    short_dir: Path,
) -> None:
    site = site_in(short_dir)
    async with AsyncExitStack() as stack:
        server, url = await served(stack, 2)
        cameras = (camera("flapping", f"{url}0"), camera("good", f"{url}1"))
        end = await stack.enter_async_context(alerts_end(site, cameras=cameras))
        await stack.enter_async_context(working(site, **QUICK))
        await end.until(now(end, {"flapping": LIVE, "good": LIVE}), WAIT_S)
        await server.ask(SetFault((0,), Fault.FLAP), Done)
        flapping = (SourceState.SUSPECT, "flapping")
        await end.until(now(end, {"flapping": flapping}), WAIT_S)
        assert told(end, "flapping").count(LIVE) >= 3, "three ends were failures like any other"
        began = len(end.changes)
        await asyncio.sleep(12)  # noqa: TID251
        assert end.changes[began:] == [], "two more ends and two more lives are no news"
        await server.ask(SetFault((0,), None), Done)
        await server.ask(Cut(streams=1, refuse_s=8.0), Done)
        await end.until(lambda: told(end, "flapping")[-1][0] is SourceState.FAULTED, WAIT_S)
        assert told(end, "flapping")[-1][1] in ("broken", "closed", "unreachable")
        await end.until(now(end, {"flapping": flapping}), WAIT_S)
        await end.until(now(end, {"flapping": LIVE}), WAIT_S)
        assert set(told(end, "good")) == {(SourceState.CONNECTING, ""), LIVE}


async def test_suspect_that_ffmpeg_reads_is_told_and_its_key_pictures_are_kept(short_dir: Path) -> None:
    site = site_in(short_dir)
    clock = SystemClock()
    # One key picture, again and again.
    file = recording(short_dir / "still.mp4", seconds=1)
    began = clock.now()
    async with AsyncExitStack() as stack:
        end = await stack.enter_async_context(alerts_end(site, cameras=(camera("file", str(file)),)))
        await stack.enter_async_context(working(site, suspect_after_s=0.5))
        await end.until(now(end, {"file": (SourceState.SUSPECT, "frozen")}), WAIT_S)
        client = ZmqRequestClient(site.endpoint(f"{topics.CONTROL_INGEST}-0"), clock)
        stack.push_async_callback(client.close)
        wish = HistoryRequest(source_id="file", begin=began, end=clock.now())
        body = await client.request(topics.REQUEST_HISTORY, wire.encode(wish), timeout_s=5)
        answer = wire.decode(body, HistoryAnswer)
        assert answer.origin is HistoryOrigin.RING
        assert len(answer.frames) >= 1
        assert all(frame.header.suspicion is Suspicion.FROZEN_BYTES for frame in answer.frames)
