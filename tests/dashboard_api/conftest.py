from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from tests.dashboard_api.running_api import RunningApi, running_api

START_UP = (
    ("dashboard_api/app.py", {"run", "make_services", "create_app", "listen"}),
    ("runtime/site.py", {"__init__"}),
    ("runtime/zmq_socket.py", {"open_socket"}),
)
"""Before the first request a start may look at files."""


@pytest.fixture(autouse=True)
def never_blocks() -> Iterator[BlockBuster]:
    """A blocking call of ours inside the event loop fails the test."""
    with blockbuster_ctx(scanned_modules=["dashboard_api", "runtime"]) as blockbuster:
        for function in blockbuster.functions.values():
            for file, names in START_UP:
                function.can_block_in(file, names)
        yield blockbuster


@pytest.fixture
async def api(short_dir: Path) -> AsyncIterator[RunningApi]:
    """A small county, served."""
    async with running_api(short_dir, pairs=6) as running:
        yield running


@pytest.fixture
async def client(api: RunningApi) -> AsyncIterator[httpx.AsyncClient]:
    """A program that speaks HTTP to it."""
    async with httpx.AsyncClient(base_url=f"{api.url}/api/v1/") as client:
        yield client
