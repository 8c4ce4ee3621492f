"""Following the catalogue file while the site runs: a new version comes into force without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import msgspec

from alerts.grids import load_catalogue
from contracts.errors import ConfigError, StoreBusy, StoreFull
from runtime.log import get_log

if TYPE_CHECKING:
    from pathlib import Path

    from alerts.given import Given
    from contracts.source import Catalogue
    from runtime.clock import Clock
    from runtime.metrics import StageCounters
    from runtime.site import Site

_LOOK_S: Final = 2.0

_Stamp = tuple[int, int, int]


class CatalogueFollower:
    """Looks at the catalogue file every 2 s.

    A file that is wrong, or that says other things under the same version, changes nothing: the catalogue in force
    stays, and a line in the log, the counter `catalogues_refused` and the gauge `catalogue_file_wrong` tell it.
    """

    def __init__(self, site: Site, given: Given, clock: Clock, counters: StageCounters) -> None:
        self._file = site.catalogue_file
        self._given = given
        self._clock = clock
        self._counters = counters
        # Not the stamp of now: the file may have changed since it was read.
        self._seen: _Stamp | None = None

    async def run(self, use: Callable[[Given], Awaitable[None]]) -> None:
        """Hand each new version to `use` until cancelled; one that could not be stored is tried again."""
        while self._file is not None:
            await self._clock.asleep(_LOOK_S)
            stamp = await asyncio.to_thread(_stamp, self._file)
            if stamp is None or stamp == self._seen:
                continue
            catalogue = await self._read(self._file)
            if catalogue is not None:
                given = msgspec.structs.replace(self._given, catalogue=catalogue)
                try:
                    await use(given)
                except (StoreFull, StoreBusy) as error:
                    get_log().warning("A new catalogue waits for the store", error=str(error))
                    continue
                self._given = given
                get_log().info("The catalogue is in force", version=catalogue.version)
            self._seen = stamp

    async def _read(self, file: Path) -> Catalogue | None:
        """The file's catalogue when it is new and right."""
        now = self._given.catalogue
        try:
            catalogue = await asyncio.to_thread(load_catalogue, file, self._given.grids)
            if catalogue == now:
                self._counters.gauge("catalogue_file_wrong", 0.0)
                return None
            if catalogue.version == now.version:
                raise ConfigError(
                    f"{file}: 内容已改, version 仍为 {now.version} (changed under the same version); "
                    f"请改为 {now.version + 1} (write a new one)"
                )
        except ConfigError as error:
            self._counters.count("catalogues_refused")
            self._counters.gauge("catalogue_file_wrong", 1.0)
            get_log().warning("The catalogue file is wrong; the one in force stays", error=str(error))
            return None
        self._counters.gauge("catalogue_file_wrong", 0.0)
        return catalogue


def _stamp(file: Path) -> _Stamp | None:
    """What changes when the file does; None while there is none."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
