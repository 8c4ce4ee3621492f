from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "default", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], max_examples=100
)
settings.load_profile("default")


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
