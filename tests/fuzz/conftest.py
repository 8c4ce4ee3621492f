"""The million inputs for every parser take an hour: they run where `-m soak` asks for them, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the soak of this folder out of a run that did not name it, as `pytest tests/fuzz` does not."""
    if "soak" in config.option.markexpr:
        return
    left_out = [
        item for item in items if _HERE in item.path.parents and item.get_closest_marker("soak") is not None
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
