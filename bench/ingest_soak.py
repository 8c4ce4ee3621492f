"""Bad cameras for hours: 5 % flap, stall, freeze, lose packets, send garbage, lie in RTCP or jump in time.

The others lose nothing, and of every camera the right is told, and nothing else.

python -m bench.ingest_soak --streams 1000 --seconds 1800
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from bench.load.control import AskStatus, Done, SetFault, Status
from bench.load.faults import HARMLESS, Fault
from bench.load.ledger import compare
from bench.load.process import LineProcess
from bench.load.program import run_program
from bench.load.progress import tell
from bench.load.rig import Rig, RigPlan, camera_id, rig
from bench.load.trial import all_live
from contracts.errors import GridwhistleError
from contracts.instant import SECOND
from contracts.source import SourceState

BYTES_PER_STREAM: Final = 40_000
"""The budget of the worker's memory for one stream: session, connection, health, activity and statistics. The
pictures that wait for inference and the ring have budgets of their own."""
_FIRST_USE_BYTES: Final = 3_000_000
"""What the first cameras bring into memory once, however many follow."""
_START_S: Final = 400.0
_EMPTY_S: Final = 15.0
_HEAR_S: Final = 0.5
_TELL_S: Final = 30.0
_ARRIVE_S: Final = 4.0

Heard = tuple[SourceState, str]
"""A state and its reason, as told over the log link."""

EXPECTED: Final[Mapping[Fault, Heard]] = {
    Fault.FLAP: (SourceState.SUSPECT, "flapping"),
    Fault.STALL: (SourceState.STALE, "stall"),
    Fault.GARBAGE: (SourceState.FAULTED, "garbage"),
    Fault.FROZEN: (SourceState.SUSPECT, "frozen"),
    Fault.LOSS: (SourceState.SUSPECT, "packet_loss"),
    # The clock that its reports tell of is another one each time; nothing else is wrong with it.
    Fault.WRONG_RTCP: (SourceState.SUSPECT, "clock_jump"),
    Fault.CLOCK_JUMP: (SourceState.SUSPECT, "clock_jump"),
}
"""This must be told of a camera with the fault..."""
_WELL: Final = frozenset({(SourceState.CONNECTING, ""), (SourceState.LIVE, "")})
_FLAPPING: Final = frozenset({(SourceState.SUSPECT, "flapping")})
BESIDE: Final[Mapping[Fault, frozenset[Heard]]] = {
    Fault.FLAP: frozenset({(SourceState.FAULTED, "broken"), (SourceState.FAULTED, "closed")}),
    Fault.STALL: _FLAPPING,
    Fault.GARBAGE: _FLAPPING,
    Fault.FROZEN: frozenset(),
    Fault.LOSS: frozenset(),
    Fault.WRONG_RTCP: frozenset({(SourceState.LIVE, "clock_skew")}),
    Fault.CLOCK_JUMP: frozenset({(SourceState.LIVE, "clock_skew")}),
}
"""...this may be, as well as that it is well; of a good camera nothing but that."""


class SoakResult(msgspec.Struct, frozen=True, kw_only=True):
    """`lost_of_others`: key pictures of cameras whose pictures were all sent (good ones, wrong RTCP, clock jumps).

    `heard`: per fault how many cameras were told to be in which state and reason, as `state:reason`.
    `wrong`: cameras of which the expected was never told, or something without a cause; must be empty.
    `attempts_per_s_max`: most connections within a second. `bytes_per_stream`: the worker's growth over its size
    without cameras, less the pictures that wait and what is needed once, per stream.
    """

    streams: int
    bad: int
    seconds: float
    due_of_others: int
    lost_of_others: int
    heard: dict[str, dict[str, int]]
    wrong: list[str]
    attempts_per_s_max: int
    bytes_per_stream: int
    budget_bytes_per_stream: int = BYTES_PER_STREAM

    @property
    def good(self) -> bool:
        """Nothing lost, every state right, the budget kept."""
        return not self.lost_of_others and not self.wrong and self.bytes_per_stream <= BYTES_PER_STREAM


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """How long, and how many of the streams are bad (at least one of each fault)."""

    streams: int
    seconds: float
    bad_share: float = 0.05

    def faults(self) -> dict[int, Fault]:
        """Which stream has which fault; spread over the whole range of numbers."""
        kinds = list(Fault)
        count = max(len(kinds), round(self.streams * self.bad_share))
        step = max(1, self.streams // count)
        return {number * step: kinds[number % len(kinds)] for number in range(min(count, self.streams))}


async def run_soak(plan: SoakPlan, folder: Path) -> SoakResult:
    """Run it. Raises ConfigError, LinkClosed; GridwhistleError when not all are live at the start."""
    faults = plan.faults()
    heard: dict[str, set[Heard]] = defaultdict(set)
    async with rig(RigPlan(plan.streams, begin_empty=True), folder) as rigged:
        server = rigged.server
        assert server is not None, "the load server is ours"
        await rigged.clock.asleep(_EMPTY_S)
        empty_mb = rigged.worker().rss_mb
        rigged.publish(range(plan.streams))
        if await all_live(rigged, _START_S) is None:
            raise GridwhistleError("未全部在线, 无法开始 (not all live at the start)", reason="not_live")
        for kind in Fault:
            streams = tuple(number for number, fault in faults.items() if fault is kind)
            await server.ask(SetFault(streams, kind), Done)
        await _listen(rigged, server, plan.seconds, heard)
        ended_ns = rigged.clock.monotonic_ns()
        worker, counters = rigged.worker(), rigged.worker_counters()
        status = await server.ask(AskStatus(), Status)
        await rigged.clock.asleep(_ARRIVE_S)
        seen, _ = await rigged.seen()
        sent = await rigged.sent()
        assert sent is not None, "the load server is ours"
    others = np.array([n for n in range(plan.streams) if faults.get(n) is None or faults[n] in HARMLESS])
    comparison = compare(sent[np.isin(sent[:, 0], others)], seen, from_ns=0, until_ns=ended_ns, live=others)
    grown = (worker.rss_mb - empty_mb) * 1e6 - counters.get("pictures_waiting_bytes", 0.0) - _FIRST_USE_BYTES
    return SoakResult(
        streams=plan.streams,
        bad=len(faults),
        seconds=plan.seconds,
        due_of_others=comparison.due,
        lost_of_others=len(comparison.lost),
        heard=_tally(faults, heard),
        wrong=judge(faults, heard, plan.streams),
        attempts_per_s_max=status.connects_per_s_max,
        bytes_per_stream=max(0, round(grown / plan.streams)),
    )


async def _listen(rigged: Rig, server: LineProcess, seconds: float, heard: dict[str, set[Heard]]) -> None:
    """Collect every state that is told, for so long."""
    clock = rigged.clock
    began_ns = told_ns = clock.monotonic_ns()
    rigged.end.changes.clear()
    while (now_ns := clock.monotonic_ns()) - began_ns < seconds * SECOND:
        await clock.asleep(_HEAR_S)
        rigged.worker()
        for change in rigged.end.changes:
            heard[change.source_id].add((change.state, change.reason))
        rigged.end.changes.clear()
        if now_ns - told_ns >= _TELL_S * SECOND:
            told_ns = now_ns
            status = await server.ask(AskStatus(), Status)
            tell(
                f"浸泡 (soak) {(now_ns - began_ns) // SECOND}/{seconds:.0f} s: 在线 live {rigged.arriving():,}, "
                f"播放 playing {status.playing:,}, 内存 memory {rigged.worker().rss_mb:.1f} MB"
            )


def judge(faults: Mapping[int, Fault], heard: Mapping[str, Set[Heard]], streams: int) -> list[str]:
    """A sentence for each camera of which the wrong was told, or not the right; see EXPECTED and BESIDE."""
    wrong = []
    for number in range(streams):
        fault, told = faults.get(number), heard.get(camera_id(number), set())
        right = _WELL if fault is None else _WELL | BESIDE[fault] | {EXPECTED[fault]}
        if fault is not None and EXPECTED[fault] not in told:
            wrong.append(f"{number} {fault}: never told as expected, but {_names(told)}")
        if told - right:
            wrong.append(f"{number} {fault or 'good'}: told without a cause: {_names(told - right)}")
    return wrong


def _names(told: Set[Heard]) -> str:
    return ", ".join(sorted(f"{state}:{reason}" for state, reason in told)) or "nothing"


def _tally(faults: Mapping[int, Fault], heard: Mapping[str, Set[Heard]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {kind.value: {} for kind in Fault}
    for number, fault in faults.items():
        for state, reason in heard.get(camera_id(number), set()):
            name = f"{state}:{reason}"
            found[fault.value][name] = found[fault.value].get(name, 0) + 1
    return found


def main() -> int:
    """Soak; 1 when something was lost, told wrongly, or too large."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=100, help="路数 streams")
    parser.add_argument("--seconds", type=float, default=60.0, help="时长 length, s")
    given = parser.parse_args()
    plan = SoakPlan(given.streams, given.seconds)
    return run_program(lambda folder: run_soak(plan, folder), lambda result: result.good)


if __name__ == "__main__":
    sys.exit(main())
