"""`python -m tests.fuzz [--target NAME|all] [--inputs 1000000] [--seed N] [--keep]`: mutated inputs against
parsers.

Shows a progress bar, prints a line per target and at the end one JSON object; 1 when anything failed. `--keep`
writes failing inputs into the corpus. Memory is limited, so that an input that asks for gigabytes fails instead of
the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys

from runtime.log import configure_log
from tests.fuzz.campaign import Report, keep_failures
from tests.fuzz.targets import all_targets
from tests.fuzz.watched import watched

_MEMORY = 2 << 30


async def fuzz(asked: argparse.Namespace) -> list[Report]:
    """The chosen targets one after the other."""
    reports = []
    targets = all_targets()
    known = [target.name for target in targets]
    if asked.target not in ("all", *known):
        sys.exit(f"没有目标 {asked.target} (no such target); 可选 (known): all, {', '.join(known)}")
    for target in targets:
        if asked.target not in ("all", target.name):
            continue
        report = watched(target, asked.inputs, asked.seed)
        print(report.line(), flush=True)
        for text, data in report.failures:
            print(f"  {text}\n    {data[:200]!r}", flush=True)
        if asked.keep:
            keep_failures(report)
        reports.append(report)
    return reports


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--target", default="all")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true")
    asked = parser.parse_args()
    configure_log("fuzz", "error")
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    reports = asyncio.run(fuzz(asked))
    print(
        json.dumps(
            {
                report.target: {
                    "inputs": report.inputs,
                    "refused": report.refused,
                    "failures": len(report.failures),
                    "seconds": round(report.seconds, 1),
                    "slowest_ms": round(report.slowest_ms, 2),
                    "memory_growth_mb": round(report.growth_mb, 1),
                    "kept_bytes": report.kept_bytes,
                }
                for report in reports
            }
        )
    )
    return 1 if any(report.failures for report in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
