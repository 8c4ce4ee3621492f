"""Our copy of the catalogue: asked of alerts, kept on disk so that a start without alerts still receives."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from contracts import wire
from contracts.errors import CommandRefused, LinkError, MalformedMessage
from contracts.source import Catalogue
from contracts.topics import REQUEST_CATALOGUE
from runtime.log import CountedLog, get_log
from runtime.supervise import wait_or_stop

if TYPE_CHECKING:
    from runtime.clock import Clock
    from runtime.request_link import RequestClient

_AGAIN_S = 1.0


class CatalogueCopy:
    """Asks for the catalogue of a site and remembers the last one in `file`."""

    def __init__(self, client: RequestClient, file: Path, site: str, clock: Clock, *, ask_s: float = 5.0) -> None:
        self._client = client
        self._file = file
        self._site = site
        self._clock = clock
        self._ask_s = ask_s
        self._log = CountedLog(clock, interval_s=30.0)

    async def first(self, stop: asyncio.Event) -> Catalogue | None:
        """The catalogue to start with: from alerts, else from disk; waits for one. None when stopped before."""
        while not stop.is_set():
            catalogue = await self.ask()
            if catalogue is None:
                catalogue = await asyncio.to_thread(self._read)
                if catalogue is not None:
                    get_log().warning("Started with the catalogue kept on disk", version=catalogue.version)
            if catalogue is not None:
                return catalogue
            await wait_or_stop(self._clock, stop, _AGAIN_S)
        return None

    async def ask(self) -> Catalogue | None:
        """The catalogue as alerts has it now, None when alerts does not answer or it is not ours."""
        try:
            answer = await self._client.request(REQUEST_CATALOGUE, b"", timeout_s=self._ask_s)
            catalogue = wire.decode(answer, Catalogue)
        except (LinkError, CommandRefused, MalformedMessage) as error:
            self._log.warning("catalogue", "The catalogue could not be asked for", error=str(error))
            return None
        if catalogue.site != self._site:
            self._log.warning("site", "The catalogue is of another site", site=catalogue.site)
            return None
        await asyncio.to_thread(self._write, answer)
        return catalogue

    def _write(self, answer: bytes) -> None:
        """Keep a copy; a full disk costs only the copy."""
        try:
            if self._file.exists() and self._file.read_bytes() == answer:
                return
            self._file.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._file.with_suffix(".new")
            fresh.write_bytes(answer)
            os.replace(fresh, self._file)
        except OSError as error:
            self._log.warning("copy", "The catalogue's copy could not be written", error=str(error))

    def _read(self) -> Catalogue | None:
        try:
            catalogue = wire.decode(self._file.read_bytes(), Catalogue)
        except (OSError, MalformedMessage):
            return None
        return catalogue if catalogue.site == self._site else None
