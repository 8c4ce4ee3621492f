"""Keeping the directory fresh: catalogue, grids and policy come from alerts as snapshots, with a copy on disk.

The copies let the API show names and the map while alerts is away.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from pathlib import Path
from typing import Final

import msgspec

from contracts import topics
from contracts.errors import GridwhistleError
from contracts.grid import GridTree
from contracts.policy import Policy
from contracts.source import Catalogue
from dashboard_api.database import DatabaseReader
from dashboard_api.directory import EMPTY, Directory
from runtime.clock import Clock
from runtime.log import CountedLog
from runtime.request_link import RequestClient
from runtime.snapshot_copy import SnapshotCopy
from runtime.supervise import wait_or_stop

CHECK_EVERY_S: Final = 2.0


class Snapshots:
    """Holds the current `directory` and the grid map; replaces both as one when a version changes."""

    def __init__(self, folder: Path, reader: DatabaseReader, client: RequestClient, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._catalogue_copy = SnapshotCopy(
            client, topics.REQUEST_CATALOGUE, Catalogue, folder / "api-catalogue.bin"
        )
        self._grids_copy = SnapshotCopy(client, topics.REQUEST_GRIDS, GridTree, folder / "api-grids.bin")
        self._policy_copy = SnapshotCopy(client, topics.REQUEST_POLICY, Policy, folder / "api-policy.bin")
        self._log = CountedLog(clock, interval_s=30.0)
        self._catalogue: Catalogue | None = None
        self._grids: GridTree | None = None
        self._policy: Policy | None = None
        self.directory: Directory = EMPTY
        self.map_geojson: bytes | None = None
        self.map_etag = ""

    async def load_copies(self) -> None:
        """Start with what the last run left on disk, if anything."""
        self._catalogue = await self._catalogue_copy.stored()
        self._grids = await self._grids_copy.stored()
        self._policy = await self._policy_copy.stored()
        await self._rebuild()

    async def keep_fresh(self, stop: asyncio.Event) -> None:
        """Ask alerts again whenever the database names a version that we do not hold, until `stop`."""
        while not stop.is_set():
            try:
                await self.refresh()
            except GridwhistleError as error:
                self._log.warning("snapshots", "Waiting for snapshots from alerts", error=str(error))
            await wait_or_stop(self._clock, stop, CHECK_EVERY_S)

    async def refresh(self) -> None:
        """Fetch what is missing or outdated. Raises GridwhistleError when alerts or its database is away."""
        versions = await self._reader.read(_versions)
        changed = False
        if self._catalogue is None or versions.get("catalogue_version") not in (None, self._catalogue.version):
            self._catalogue = await self._catalogue_copy.ask()
            changed = True
        if self._grids is None or versions.get("grids_version") not in (None, self._grids.version):
            self._grids = await self._grids_copy.ask()
            changed = True
        if self._policy is None or versions.get("policy_version") not in (None, self._policy.version):
            self._policy = await self._policy_copy.ask()
            changed = True
        if changed:
            await self._rebuild()

    async def _rebuild(self) -> None:
        self.directory = await asyncio.to_thread(Directory, self._catalogue, self._grids, self._policy)
        if self._grids is not None:
            self.map_geojson = await asyncio.to_thread(geojson, self._grids)
            self.map_etag = f'"{hashlib.sha256(self.map_geojson).hexdigest()[:32]}"'


def _versions(connection: sqlite3.Connection) -> dict[str, int]:
    rows = connection.execute("SELECT key, value FROM meta WHERE key LIKE '%_version'")
    return {key: int(value) for key, value in rows if str(value).isdigit()}


def geojson(tree: GridTree) -> bytes:
    """The grid tree as a FeatureCollection (RFC 7946): leaf areas and every named node; retired ones left out."""
    features = [
        {
            "type": "Feature",
            "id": grid.code,
            "geometry": (
                {"type": "MultiPolygon", "coordinates": [[ring] for ring in grid.rings]} if grid.rings else None
            ),
            "properties": {"code": grid.code, "name": grid.name, "level": grid.level, "parent": grid.parent},
        }
        for grid in tree.grids
        if not grid.retired
    ]
    return msgspec.json.encode(
        {
            "type": "FeatureCollection",
            "site": tree.site,
            "county": tree.county,
            "version": tree.version,
            "crs_note": tree.crs_note,
            "features": features,
        }
    )
