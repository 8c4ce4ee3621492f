from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "default", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], max_examples=100
)
settings.load_profile("default")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with the longest time-outs first, then those with slow tests: none of them then runs alone at the end
    while the other workers are idle."""
    longest: dict[Path, float] = {}
    for item in items:
        marks = [mark.args[0] for mark in item.iter_markers("timeout") if mark.args]
        marks.append(1.0 if item.get_closest_marker("slow") else 0.0)
        longest[item.path] = max(longest.get(item.path, 0.0), *marks)
    items.sort(key=lambda item: -longest[item.path])


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A folder with a short path: names of Unix sockets are limited to 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="gw-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The data folder (GRIDWHISTLE_DATA); tests that use it carry the mark `data`."""
    folder = Path(os.environ.get("GRIDWHISTLE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not (folder / "MANIFEST.md").exists():
        pytest.skip(f"data folder absent: {folder} (set GRIDWHISTLE_DATA)")
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where everything is installed (GRIDWHISTLE_REQUIRE_EXTERNAL=1) a skipped outside part is a failure."""
    report = yield
    required = os.environ.get("GRIDWHISTLE_REQUIRE_EXTERNAL") == "1"
    if report.skipped and required and item.get_closest_marker("external") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: an outside part is missing that apt can install: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were skipped for which kind of reason."""
    skipped = terminalreporter.getreports("skipped")
    data = sum("data" in getattr(report, "keywords", ()) for report in skipped)
    external = sum("external" in getattr(report, "keywords", ()) for report in skipped)
    terminalreporter.write_line(
        f"skipped: {len(skipped)} in all; {data} for want of the data folder; {external} for want of outside parts"
    )
