"""What a running installation has in its books: reports of inference, incidents, tickets, and lines of its log."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from contracts import wire
from contracts.coverage import CoverageReport
from contracts.incident import Incident
from contracts.source import HealthReport
from contracts.ticket import Ticket
from inference.suspects import SENTENCE

_SEEN = "('live', 'suspect', 'blind')"


class Books:
    """Reads the database of alerts while it is written."""

    def __init__(self, database: Path) -> None:
        self._database = database

    def _rows(self, query: str, *values: object) -> list[tuple[bytes]]:
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as connection:
            found: list[tuple[bytes]] = connection.execute(query, values).fetchall()
            return found

    def live(self) -> int:
        """Cameras from which pictures arrive."""
        [(count,)] = self._rows(f"SELECT count(*) FROM sources WHERE kind = 'camera' AND state IN {_SEEN}")
        return int(count)

    def analysed(self) -> CoverageReport | None:
        """The newest report of inference."""
        rows = self._rows("SELECT body FROM coverage WHERE service = 'inference'")
        return wire.decode(rows[0][0], CoverageReport) if rows else None

    def health(self, service: str) -> HealthReport | None:
        """The newest report of a service."""
        rows = self._rows("SELECT body FROM health WHERE service = ?", service)
        return wire.decode(rows[0][0], HealthReport) if rows else None

    def incidents(self) -> list[Incident]:
        """All of them."""
        return [wire.decode(body, Incident) for (body,) in self._rows("SELECT body FROM incidents")]

    def tickets(self) -> list[Ticket]:
        """All of them."""
        return [wire.decode(body, Ticket) for (body,) in self._rows("SELECT body FROM tickets")]


class SuspectLines:
    """Follows the log of an installation and finds who was suspected of what."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = 0

    def new(self) -> Iterator[tuple[str, str]]:
        """(camera, reason) of the lines since the last call."""
        with self._log.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            if SENTENCE.encode() not in line:
                continue
            try:
                said = json.loads(line)
            except ValueError:
                continue
            yield said["source_id"], said["reason"]
