"""The real camera worker with a promoted camera whose pictures are not all taken."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from contracts.frame import FrameHeader
from tests.ingest.alerts_end import alerts_end, site_in
from tests.ingest.test_patrol_worker import FAST, Recorder, cameras_of, gauge, promote
from tests.ingest.test_worker import working


async def test_pictures_of_a_promoted_camera_that_nobody_took_are_counted_by_reason(
    short_dir: Path,
) -> None:
    site = site_in(short_dir)
    async with Recorder(["c0"], 1).serving() as recorder, alerts_end(site) as end:
        end.catalogue = msgspec.structs.replace(end.catalogue, cameras=cameras_of(recorder, ["c0"]))
        async with working(site, **FAST) as puller:
            await puller.headers(limit=10, wait_s=20.0)
            assert (await promote(site, "c0", 60.0)).accepted
            heard: list[FrameHeader] = []
            async with asyncio.timeout(30):
                while len(heard) < 3:
                    heard += [each for each in await puller.headers(limit=10, wait_s=1.0) if each.promoted]
            # One in the middle of what waits: those before it are given up.
            [taken] = await puller.pull([("c0", heard[-1].sequence)])
            assert taken.header.sequence == heard[-1].sequence
            await end.until(lambda: gauge(end, "promoted_pictures_dropped_passed_over") >= len(heard) - 1)
