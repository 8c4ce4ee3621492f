"""The catalogue as inference knows it: asked of alerts, kept on disk so that a start without alerts works."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

from contracts import topics, wire
from contracts.errors import MalformedMessage
from contracts.source import Camera, Catalogue
from runtime.log import get_log
from runtime.request_link import RequestClient

REQUEST_TIMEOUT_S: Final = 5.0


class CatalogueCopy:
    """The newest catalogue that was heard of, in memory and in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._answer = b""
        self.catalogue: Catalogue | None = None

    def load(self) -> None:
        """What the last run left on disk, if anything readable."""
        try:
            self.catalogue = wire.decode(self._path.read_bytes(), Catalogue)
        except FileNotFoundError:
            return
        except (OSError, MalformedMessage) as error:
            # Alerts hands out a fresh one; an old copy is a convenience, not a need.
            get_log().warning("The copy of the catalogue is unreadable", path=str(self._path), error=str(error))

    async def refresh(self, client: RequestClient) -> bool:
        """Ask alerts; True when it is another version than before. Raises GridwhistleError."""
        answer = await client.request(topics.REQUEST_CATALOGUE, b"", timeout_s=REQUEST_TIMEOUT_S)
        if answer == self._answer:
            return False
        self.catalogue = wire.decode(answer, Catalogue)
        self._answer = answer
        await asyncio.to_thread(self._store, answer)
        return True

    def cameras(self) -> list[Camera]:
        """The cameras that may be looked at: not secret, not in a forbidden place."""
        if self.catalogue is None:
            return []
        return [each for each in self.catalogue.cameras if not each.secrecy and not each.forbidden_place]

    def _store(self, data: bytes) -> None:
        waiting = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            waiting.write_bytes(data)
            waiting.replace(self._path)
        except OSError as error:
            get_log().warning("The catalogue cannot be kept", path=str(self._path), error=str(error))
