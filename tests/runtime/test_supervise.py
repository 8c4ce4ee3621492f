from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ConfigError, GridwhistleError, SourceUnreachable
from contracts.instant import SECOND, Instant
from runtime.channel import Channel, Overflow
from runtime.clock import SimClock, SystemClock
from runtime.log import CountedLog, configure_log
from runtime.metrics import StageCounters
from runtime.supervise import Backoff, supervise, wait_or_stop


@given(st.text(max_size=20), st.integers(1, 50))
def test_backoff_grows_within_its_bounds_and_is_repeatable(seed: str, failures: int) -> None:
    first, second = Backoff(1.0, 60.0, seed), Backoff(1.0, 60.0, seed)
    delays = [first.failed() for _ in range(failures)]
    assert delays == [second.failed() for _ in range(failures)]
    for number, delay in enumerate(delays):
        ceiling = min(60.0, 2.0**number)
        assert ceiling / 2 <= delay <= ceiling


async def test_run_once_fails_then_tried_again_with_growing_delay_until_stopped() -> None:
    clock, stop = SimClock(), asyncio.Event()
    heard: list[tuple[str, float]] = []
    attempts = 0

    async def run_once() -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 4:
            stop.set()
        if attempts == 3:
            raise ValueError("a defect of ours")
        raise SourceUnreachable("gone")

    def on_failure(error: GridwhistleError, delay_s: float) -> None:
        heard.append((error.reason, delay_s))

    await supervise(run_once, Backoff(1, 8, "s"), clock, stop, on_failure)
    assert [reason for reason, _ in heard] == ["unreachable", "unreachable", "bug"]
    assert heard[0][1] < heard[2][1]


async def test_long_healthy_run_then_backoff_starts_over() -> None:
    clock, stop = SimClock(), asyncio.Event()
    delays: list[float] = []

    async def run_once() -> None:
        if len(delays) == 3:
            clock.advance(60)
        if len(delays) == 4:
            stop.set()
        raise SourceUnreachable("gone")

    await supervise(run_once, Backoff(1, 64, "s"), clock, stop, lambda _, delay: delays.append(delay))
    assert delays[3] <= 1.0 < delays[2]


async def test_waiting_ends_at_once_when_stopped() -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(wait_or_stop(SystemClock(), stop, 3600))
    await asyncio.wait({task}, timeout=0.01)
    stop.set()
    assert await asyncio.wait_for(task, 5) is True


async def test_full_channel_follows_its_policy_and_counts() -> None:
    oldest: Channel[int] = Channel(2, Overflow.DROP_OLDEST)
    newest: Channel[int] = Channel(2, Overflow.DROP_NEWEST)
    for number in range(4):
        await oldest.put(number)
        await newest.put(number)
    assert await oldest.take(9) == [2, 3]
    assert await newest.take(9) == [0, 1]
    assert oldest.statistics().dropped == newest.statistics().dropped == 2
    block: Channel[int] = Channel(1, Overflow.BLOCK)
    await block.put(1)
    putter = asyncio.create_task(block.put(2))
    await asyncio.wait({putter}, timeout=0.01)
    assert not putter.done()
    assert await block.get() == 1
    assert await putter is True


def test_storm_of_one_key_then_one_line_a_second_with_a_count(capsys: pytest.CaptureFixture[str]) -> None:
    clock = SimClock()
    log = CountedLog(clock)
    for _ in range(1000):
        log.warning("camera", "A camera failed")
    clock.advance(1.5)
    log.warning("camera", "A camera failed")
    lines = [line for line in (capsys.readouterr().out + capsys.readouterr().err).splitlines() if "failed" in line]
    assert len(lines) == 2
    assert "999" in lines[1]


def test_more_keys_than_are_remembered_then_memory_stays_bounded_and_a_known_key_keeps_its_count(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = SimClock()
    log = CountedLog(clock, keys_max=10)
    for key in [f"camera-{number}" for number in range(100)]:
        for _ in range(3):
            log.warning(key, "A camera failed")
    assert log.remembered <= 10
    clock.advance(1.5)
    log.warning("camera-99", "The last camera failed")
    lines = [
        line for line in (capsys.readouterr().out + capsys.readouterr().err).splitlines() if "The last" in line
    ]
    assert len(lines) == 1
    assert "2" in lines[0].partition("held_back")[2][:8]


def test_unknown_log_level_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="debug, info, warning, error"):
        configure_log("alerts", "verbose")


def test_counters_are_reported_and_bounded() -> None:
    counters = StageCounters("ingest-cameras")
    for number in range(3_000):
        counters.count("refused", f"reason-{number}")
    counters.count("received", n=5)
    counters.gauge("depth", 1.5)
    report = counters.report("s", "i", Instant(SECOND), Instant(0))
    assert sum(total for _, total in report.counters) == 3_005
    assert len(report.counters) <= 2_001
