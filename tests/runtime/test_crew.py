from __future__ import annotations

import asyncio

import pytest

from runtime.crew import Crew


async def forever() -> None:
    await asyncio.Event().wait()


async def broken() -> None:
    raise ValueError("a defect")


async def short() -> None:
    return None


async def test_main_work_that_ends_ends_the_crew_in_peace() -> None:
    crew = Crew()
    crew.add("other", forever())
    await crew.work(short(), asyncio.Event())
    await crew.close()


async def test_defect_of_a_task_ends_the_worker_loudly() -> None:
    crew = Crew()
    crew.add("other", broken())
    with pytest.raises(ValueError, match="a defect"):
        await crew.work(forever(), asyncio.Event())
    await crew.close()


async def test_task_that_ends_by_itself_ends_the_worker_too_unless_it_stops() -> None:
    crew = Crew()
    crew.add("other", short())
    with pytest.raises(RuntimeError, match="other"):
        await crew.work(forever(), asyncio.Event())
    stopped = asyncio.Event()
    stopped.set()
    await crew.work(short(), stopped)
    await crew.close()
