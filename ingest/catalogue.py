"""Our copy of the catalogue: asked of alerts, kept on disk so that a start without alerts still receives."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.errors import CommandRefused, LinkError, MalformedMessage
from contracts.source import Catalogue
from contracts.topics import REQUEST_CATALOGUE
from runtime.log import CountedLog, get_log
from runtime.snapshot_copy import SnapshotCopy
from runtime.supervise import wait_or_stop

if TYPE_CHECKING:
    from runtime.clock import Clock
    from runtime.request_link import RequestClient

_AGAIN_S = 1.0


class CatalogueCopy:
    """Asks for the catalogue of a site and remembers the last one in `file`."""

    def __init__(self, client: RequestClient, file: Path, site: str, clock: Clock, *, ask_s: float = 5.0) -> None:
        self._copy = SnapshotCopy(client, REQUEST_CATALOGUE, Catalogue, file, ask_s=ask_s)
        self._site = site
        self._clock = clock
        self._log = CountedLog(clock, interval_s=30.0)

    async def first(self, stop: asyncio.Event) -> Catalogue | None:
        """The catalogue to start with: from alerts, else from disk; waits for one. None when stopped before."""
        while not stop.is_set():
            catalogue = await self.ask()
            if catalogue is None:
                catalogue = self._ours(await self._copy.stored())
                if catalogue is not None:
                    get_log().warning("Started with the catalogue kept on disk", version=catalogue.version)
            if catalogue is not None:
                return catalogue
            await wait_or_stop(self._clock, stop, _AGAIN_S)
        return None

    async def ask(self) -> Catalogue | None:
        """The catalogue as alerts has it now, None when alerts does not answer or it is not ours."""
        try:
            return self._ours(await self._copy.ask())
        except (LinkError, CommandRefused, MalformedMessage) as error:
            self._log.warning("catalogue", "The catalogue could not be asked for", error=str(error))
            return None

    def _ours(self, catalogue: Catalogue | None) -> Catalogue | None:
        """A catalogue of another site is none."""
        if catalogue is None or catalogue.site == self._site:
            return catalogue
        self._log.warning("site", "The catalogue is of another site", site=catalogue.site)
        return None
