"""Cameras added and removed through the versions of the catalogue: memory, and what the unchanged ones notice.

python -m bench.ingest_churn --changes 10000
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from bench.ingest_storm import slope
from bench.load.ledger import compare
from bench.load.program import run_program
from bench.load.progress import tell
from bench.load.rig import ARRIVING, Rig, RigPlan, camera_id, rig
from bench.load.trial import all_live
from contracts.errors import GridwhistleError
from contracts.source import SourceState

SETTINGS: Final = {"catalogue_poll_s": 0.5, "connect_rate_per_s": 400.0}
"""Quick looks at the catalogue and a quick pace, so that thousands of changes fit into minutes."""
FLAT_MB: Final = 2.0
"""Growth over the second half of the changes: 5,000 cameras that were never forgotten would cost some 50 MB."""
_START_S: Final = 120.0
_VERSION_S: Final = 60.0
_SETTLE_S: Final = 5.0
_FIRST_NEW: Final = 1_000


class ChurnResult(msgspec.Struct, frozen=True, kw_only=True):
    """`changes` adds and removes in `versions`; `kept` cameras stayed in every one. `rss_mb` after each tenth,
    `growth_mb` over the second half by its slope."""

    kept: int
    changes: int
    versions: int
    lost_of_kept: int
    growth_mb: float
    rss_mb: list[float]

    @property
    def flat(self) -> bool:
        """Memory does not grow with the changes."""
        return self.growth_mb <= FLAT_MB


async def run_churn(folder: Path, *, kept: int, changes: int, per_version: int) -> ChurnResult:
    """Swap half of `per_version` cameras for new ones, again and again; each new one becomes live before the next.

    Raises ConfigError, LinkClosed; GridwhistleError with reason `not_live` when a version is not followed.
    """
    half = per_version // 2
    async with rig(RigPlan(kept, ingest=SETTINGS), folder) as rigged:
        if await all_live(rigged, _START_S) is None:
            raise GridwhistleError("未全部在线, 无法开始 (not all live at the start)", reason="not_live")
        await rigged.clock.asleep(_SETTLE_S)
        began_ns = rigged.clock.monotonic_ns()
        versions = max(1, round(changes / per_version))
        old: range = range(0)
        sizes = []
        for version in range(versions):
            first = _FIRST_NEW + version * half
            new = range(first, first + half)
            await _follow(rigged, kept, old, new)
            old = new
            sizes.append(rigged.worker().rss_mb)
            if version % 10 == 0:
                tell(f"目录版本 (version) {version + 1}/{versions}, 内存 (memory) {sizes[-1]:.1f} MB")
        ended_ns = rigged.clock.monotonic_ns()
        await rigged.clock.asleep(_SETTLE_S)
        seen, _ = await rigged.seen()
        sent = await rigged.sent()
        assert sent is not None, "the load server is ours"
        comparison = compare(sent, seen, from_ns=began_ns, until_ns=ended_ns, live=np.arange(kept))
    warm = sizes[len(sizes) // 2 :]
    return ChurnResult(
        kept=kept,
        changes=(2 * versions - 1) * half,
        versions=versions,
        lost_of_kept=sum(stream < kept for stream, _ in comparison.lost),
        growth_mb=round(slope(warm) * len(warm), 2),
        rss_mb=[round(each, 1) for each in sizes[:: max(1, len(sizes) // 10)]],
    )


async def _follow(rigged: Rig, kept: int, old: range, new: range) -> None:
    rigged.publish([*range(kept), *new])
    sources = rigged.end.sources

    def followed() -> bool:
        states = [sources[name].state if name in sources else None for name in map(camera_id, new)]
        gone = [sources[name].state for name in map(camera_id, old)]
        return all(state in ARRIVING for state in states) and all(state is SourceState.OFF for state in gone)

    if not await rigged.wait_until(followed, _VERSION_S, every_s=0.1):
        raise GridwhistleError(
            "目录新版本未被执行 (a version of the catalogue was not followed)", reason="not_live"
        )
    for number in old:
        del sources[camera_id(number)]


def main() -> int:
    """Change the catalogue; 1 when memory grew or an unchanged camera lost a picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=1_000, help="增删次数 adds and removes")
    parser.add_argument("--per-version", type=int, default=100, help="每版增删 changes in a version")
    parser.add_argument("--kept", type=int, default=50, help="不变的摄像机 cameras that stay")
    given = parser.parse_args()
    return run_program(
        lambda folder: run_churn(folder, kept=given.kept, changes=given.changes, per_version=given.per_version),
        lambda result: result.flat and not result.lost_of_kept,
    )


if __name__ == "__main__":
    sys.exit(main())
