"""All cameras lost at once and given back, again and again: how soon all are live, how hard we knock, what stays.

python -m bench.ingest_storm --streams 1000 --storms 10
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from bench.load.control import AskStatus, Cut, Done, ResetConnects, Status
from bench.load.process import LineProcess
from bench.load.program import run_program
from bench.load.progress import tell
from bench.load.rig import Rig, RigPlan, rig
from bench.load.trial import all_live
from contracts.errors import GridwhistleError
from contracts.instant import SECOND
from ingest.config import IngestConfig

BACK_WITHIN_S: Final = 60.0
BURST: Final = 10
"""Connections that the policy lets through at once before its rate holds."""
FLAT_MB_PER_STORM: Final = 0.5
_START_S: Final = 400.0
_SETTLE_S: Final = 5.0


class Storm(msgspec.Struct, frozen=True, kw_only=True):
    """One cut.

    `back_s`: from the moment when connections were taken again to the last camera live, None: not in time.
    `attempts`: connections made for it, `per_s_max` the most within any second, `opening_max` the most that were
    open at once and did not play yet.
    """

    back_s: float | None
    attempts: int
    per_s_max: int
    opening_max: int
    rss_mb: float


class StormResult(msgspec.Struct, frozen=True, kw_only=True):
    """All storms. `per_s_allowed`: what the policy allows within one second, its burst included.

    `opening_allowed`: connections in the handshake at once by the policy, None = it has no limit.
    """

    streams: int
    per_s_allowed: int
    opening_allowed: int | None
    rss_before_mb: float
    slope_mb_per_storm: float
    storms: list[Storm]

    @property
    def good(self) -> bool:
        """All back in time, the policy kept."""
        most = self.opening_allowed
        return all(
            each.back_s is not None
            and each.per_s_max <= self.per_s_allowed
            and (most is None or each.opening_max <= most)
            for each in self.storms
        )

    @property
    def flat(self) -> bool:
        """Memory does not grow from storm to storm."""
        return self.slope_mb_per_storm <= FLAT_MB_PER_STORM


def slope(values: Sequence[float]) -> float:
    """The growth per step of a series, by least squares; 0 for a single value."""
    return float(np.polyfit(np.arange(len(values)), np.array(values), 1)[0]) if len(values) > 1 else 0.0


def policy(ingest: Mapping[str, object]) -> tuple[int, int | None]:
    """Connections within any second, and in the handshake at once (None: any), by `[ingest]` with settings."""
    settings = {**msgspec.structs.asdict(IngestConfig()), **ingest}
    # A second may begin with a full bucket, and end with the token that its last moment brings.
    per_s = math.ceil(settings["connect_rate_per_s"]) + settings.get("connect_burst", BURST) + 1
    limits = [settings[name] for name in ("openings_max", "host_openings_max") if settings.get(name)]
    return per_s, min(limits, default=None)


async def run_storms(plan: RigPlan, folder: Path, *, storms: int, refuse_s: float) -> StormResult:
    """Cut all streams `storms` times, refusing them for `refuse_s` each time. Raises ConfigError, LinkClosed."""
    per_s_allowed, opening_allowed = policy(plan.ingest)
    async with rig(plan, folder) as rigged:
        server = rigged.server
        if server is None or await all_live(rigged, _START_S) is None:
            raise GridwhistleError("未全部在线, 无法开始 (not all live at the start)", reason="not_live")
        await rigged.clock.asleep(_SETTLE_S)
        before_mb = rigged.worker().rss_mb
        found = []
        for number in range(storms):
            found.append(await _storm(rigged, server, refuse_s))
            tell(f"风暴 (storm) {number + 1}/{storms}: {msgspec.to_builtins(found[-1])}")
        return StormResult(
            streams=plan.streams,
            per_s_allowed=per_s_allowed,
            opening_allowed=opening_allowed,
            rss_before_mb=round(before_mb, 1),
            # The first storm fills pools and free lists for good.
            slope_mb_per_storm=round(slope([each.rss_mb for each in found[1:]]), 3),
            storms=found,
        )


async def _storm(rigged: Rig, server: LineProcess, refuse_s: float) -> Storm:
    clock, wanted = rigged.clock, rigged.plan.streams
    await server.ask(ResetConnects(), Done)
    await server.ask(Cut(refuse_s=refuse_s), Done)
    await clock.asleep(refuse_s)
    given_back_ns = clock.monotonic_ns()
    status = await server.ask(AskStatus(), Status)
    while (late_s := (clock.monotonic_ns() - given_back_ns) / SECOND) < 2 * BACK_WITHIN_S:
        status = await server.ask(AskStatus(), Status)
        if status.playing >= wanted and rigged.arriving() >= wanted:
            break
        await clock.asleep(0.25)
    await clock.asleep(_SETTLE_S)
    return Storm(
        back_s=round(late_s, 1) if late_s <= BACK_WITHIN_S else None,
        attempts=status.accepted,
        per_s_max=status.connects_per_s_max,
        opening_max=status.opening_max,
        rss_mb=round(rigged.worker().rss_mb, 1),
    )


def main() -> int:
    """Run the storms; 1 when cameras were not back in time, the policy was not kept, or memory grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=200, help="路数 streams")
    parser.add_argument("--storms", type=int, default=3, help="次数 how many")
    parser.add_argument("--refuse-seconds", type=float, default=3.0, help="断电时长 length of a cut, s")
    given = parser.parse_args()
    plan = RigPlan(given.streams)
    return run_program(
        lambda folder: run_storms(plan, folder, storms=given.storms, refuse_s=given.refuse_seconds),
        lambda result: result.good and result.flat,
    )


if __name__ == "__main__":
    sys.exit(main())
