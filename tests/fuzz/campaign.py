"""One target under mutated inputs: what is told, what is held against it.

A failure is any exception but the declared errors of the target, an input that takes over HANG_S, memory that
grows, or state that outgrows its bound. The failing bytes are kept, so that they become part of the corpus.
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

from contracts.errors import GridwhistleError
from contracts.instant import MS, SECOND
from runtime.clock import SystemClock
from tests.fuzz.mutate import Mutator

CORPUS: Final = Path(__file__).parent / "corpus"
HANG_S: Final = 5.0
GROWTH_MAX_MB: Final = 48.0
"""Resident memory may grow so much after the first tenth of the inputs."""
FAILURES_MAX: Final = 20
_CHECK_EVERY: Final = 2_000


class Hang(Exception):
    """An input that took too long."""


@dataclass(frozen=True)
class Target:
    """What is fuzzed. `run` takes one input; it may raise nothing but `refuses`. `kept` is how many bytes the
    parser
    under test holds on to between inputs, `kept_max` its bound. `words` are tokens of the protocol."""

    name: str
    run: Callable[[bytes], None]
    refuses: tuple[type[GridwhistleError], ...] = ()
    words: Sequence[bytes] = ()
    kept: Callable[[], int] = field(default=lambda: 0)
    kept_max: int = 0

    def corpus(self) -> list[tuple[str, bytes]]:
        """The kept inputs, by name."""
        return [(file.name, file.read_bytes()) for file in sorted((CORPUS / self.name).iterdir())]


@dataclass
class Report:
    """What a campaign showed. Failures are (first line of the error, input)."""

    target: str
    inputs: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest_ms: float = 0.0
    slowest: bytes = b""
    growth_mb: float = 0.0
    kept_bytes: int = 0
    failures: list[tuple[str, bytes]] = field(default_factory=list)

    def line(self) -> str:
        """For people."""
        return (
            f"{self.target:<10} {self.inputs:>8} inputs, refused {self.refused:>8}, {self.seconds:>5.0f} s, "
            f"slowest {self.slowest_ms:.1f} ms, memory +{self.growth_mb:.1f} MB, kept {self.kept_bytes} B, "
            f"failures {len(self.failures)}"
        )


@contextmanager
def watchdog() -> Iterator[Callable[[], None]]:
    """Yields a function that gives the next input its time. Raises Hang inside whatever takes longer."""

    def bark(_number: int, _frame: FrameType | None) -> None:
        raise Hang(f"over {HANG_S:g} s")

    def feed() -> None:
        signal.setitimer(signal.ITIMER_REAL, HANG_S)

    before = signal.signal(signal.SIGALRM, bark)
    try:
        yield feed
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def resident_mb() -> float:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def attempt(target: Target, data: bytes, report: Report) -> None:
    """One input."""
    report.inputs += 1
    try:
        target.run(data)
    except target.refuses:
        report.refused += 1
    except Exception as error:  # noqa: BLE001 - finding these is what a fuzzer is for
        if len(report.failures) < FAILURES_MAX:
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            report.failures.append((f"{type(error).__name__} in {where}: {str(error)[:200]}", data))


def campaign(target: Target, inputs: int, seed: int, *, tell: Callable[[Report], None] | None = None) -> Report:
    """The whole corpus, then mutated inputs up to `inputs` in all."""
    clock = SystemClock()
    report = Report(target.name)
    corpus = [data for _, data in target.corpus()]
    mutator = Mutator(corpus, target.words, seed)
    began_ns = clock.monotonic_ns()
    settled_mb: float | None = None
    with watchdog() as feed:
        while report.inputs < inputs:
            data = corpus[report.inputs] if report.inputs < len(corpus) else mutator.next()
            feed()
            # Of this process alone: the machine may be busy with others.
            before_ns = time.process_time_ns()
            attempt(target, data, report)
            spent_ms = (time.process_time_ns() - before_ns) / MS
            if spent_ms > report.slowest_ms:
                report.slowest_ms, report.slowest = spent_ms, data
            if report.inputs % _CHECK_EVERY == 0:
                report.kept_bytes = max(report.kept_bytes, target.kept())
                if settled_mb is None and report.inputs * 10 >= inputs:
                    settled_mb = resident_mb()
                elif settled_mb is not None:
                    report.growth_mb = max(report.growth_mb, resident_mb() - settled_mb)
                if report.kept_bytes > target.kept_max:
                    report.failures.append((f"keeps {report.kept_bytes} bytes, may keep {target.kept_max}", data))
                    break
                if report.growth_mb > GROWTH_MAX_MB:
                    report.failures.append((f"memory grew by {report.growth_mb:.0f} MB", data))
                    break
                if tell is not None and report.inputs % (_CHECK_EVERY * 5) == 0:
                    report.seconds = (clock.monotonic_ns() - began_ns) / SECOND
                    tell(report)
    report.seconds = (clock.monotonic_ns() - began_ns) / SECOND
    return report


def keep_failures(report: Report) -> None:
    """Put what failed into the corpus, named by its content."""
    for _, data in report.failures:
        folder = CORPUS / report.target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"failed-{hashlib.sha256(data).hexdigest()[:12]}.bin").write_bytes(data)
