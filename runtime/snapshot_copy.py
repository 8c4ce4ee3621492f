"""A snapshot that alerts hands out by name; the last one is kept on disk, so that a start without alerts works."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from contracts import wire
from contracts.errors import MalformedMessage
from runtime.log import get_log
from runtime.whole_file import write_whole

if TYPE_CHECKING:
    from runtime.request_link import RequestClient

S = TypeVar("S", bound=msgspec.Struct)


class SnapshotCopy(Generic[S]):
    """One kind of snapshot (a name of contracts.topics) of type `type_`, kept in `file`."""

    def __init__(
        self, client: RequestClient, kind: str, type_: type[S], file: Path, *, ask_s: float = 5.0
    ) -> None:
        self._client = client
        self._kind = kind
        self._type = type_
        self._file = file
        self._ask_s = ask_s
        self._digest = b""
        self._last: S | None = None
        self._is_kept = False

    async def ask(self) -> S:
        """The snapshot as alerts has it now; it is kept on disk when it changed. A full disk costs only the copy.

        While alerts answers the same bytes this is the same object: a county's catalogue is neither decoded anew
        every few seconds nor held twice.

        Raises LinkError when alerts does not answer, CommandRefused, MalformedMessage.
        """
        answer = await self._client.request(self._kind, b"", timeout_s=self._ask_s)
        digest = hashlib.sha256(answer).digest()
        snapshot = self._last if digest == self._digest else None
        if snapshot is None:
            snapshot = await asyncio.to_thread(wire.decode, answer, self._type)
            self._digest, self._last, self._is_kept = digest, snapshot, False
        if not self._is_kept:
            await asyncio.to_thread(self._keep, answer)
        return snapshot

    async def stored(self) -> S | None:
        """What was kept last, None when there is none that can be read."""
        return await asyncio.to_thread(self._read)

    def _keep(self, answer: bytes) -> None:
        try:
            write_whole(self._file, answer)
        except OSError as error:
            get_log().warning("The copy of a snapshot cannot be kept", file=str(self._file), error=str(error))
        else:
            self._is_kept = True

    def _read(self) -> S | None:
        try:
            return wire.decode(self._file.read_bytes(), self._type)
        except FileNotFoundError:
            return None
        except (OSError, MalformedMessage) as error:
            # Alerts hands out a fresh one; an old copy is a convenience, not a need.
            get_log().warning("The copy of a snapshot is unreadable", file=str(self._file), error=str(error))
            return None
