"""A running site takes another catalogue into force: for those who ask, for the database, and for new records."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from contracts import topics, wire
from contracts.source import Catalogue, SourceChange, SourceKind, SourceState
from tests.alerts.county import County, county
from tests.alerts.records import SITE
from tests.alerts.site_files import catalogue, write_site


async def handed_out(here: County) -> Catalogue:
    body = await here.requests.request(topics.REQUEST_CATALOGUE, b"", timeout_s=10.0)
    return wire.decode(body, Catalogue)


async def until_version(here: County, version: int) -> Catalogue:
    async with asyncio.timeout(20):
        while (found := await handed_out(here)).version != version:
            await here.clock.asleep(0.1)
    return found


async def test_new_version_is_handed_out_noted_and_used_without_a_restart(short_dir: Path) -> None:
    site = write_site(short_dir)
    async with county(site) as here:
        assert (await handed_out(here)).version == 7
        renamed = msgspec.structs.replace(catalogue().cameras[0], id="15292101001321000002", name="新门", zones=())
        new = msgspec.structs.replace(catalogue(), version=8, cameras=(*catalogue().cameras, renamed))
        (short_dir / "catalogue.json").write_bytes(msgspec.json.encode(new))
        assert len((await until_version(here, 8)).cameras) == 2
        [row] = here.rows("SELECT value FROM meta WHERE key = 'catalogue_version'")
        assert row["value"] == "8"
        names = {each["id"]: each["name"] for each in here.rows("SELECT id, name FROM source_names")}
        assert names["15292101001321000002"] == "新门"
        # A record of the new camera finds its place, though the engine's process never stopped.
        change = SourceChange(
            id="c-1",
            site=SITE,
            source_id="15292101001321000002",
            kind=SourceKind.CAMERA,
            state=SourceState.LIVE,
            at=here.clock.now(),
        )
        await here.send(change)
        [stored] = here.rows("SELECT body FROM changes WHERE kind = 'source'")
        assert wire.decode(stored["body"], SourceChange).place == (await handed_out(here)).cameras[1].place


async def test_wrong_file_or_same_version_changes_nothing_and_is_counted(short_dir: Path) -> None:
    site = write_site(short_dir)
    async with county(site) as here:
        (short_dir / "catalogue.json").write_bytes(b"{")
        await here.until(
            "SELECT 1 FROM health WHERE service = 'alerts' AND CAST(body AS TEXT) LIKE '%catalogues_refused%'"
        )
        assert (await handed_out(here)).version == 7
        same = msgspec.structs.replace(catalogue(), cameras=())
        (short_dir / "catalogue.json").write_bytes(msgspec.json.encode(same))
        await here.clock.asleep(3.0)
        assert len((await handed_out(here)).cameras) == 1
        right = msgspec.structs.replace(same, version=9)
        (short_dir / "catalogue.json").write_bytes(msgspec.json.encode(right))
        assert (await until_version(here, 9)).cameras == ()
        (short_dir / "catalogue.json").unlink()
        await here.clock.asleep(2.5)
        assert (await handed_out(here)).version == 9
