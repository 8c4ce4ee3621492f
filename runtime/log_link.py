"""`Log`: the link of facts. Ordered per producer, acknowledged after the receiver's commit.

Records are sent again until acknowledged: at least once. The receiver's positions (stored in its transaction)
and the ids of the records make the effect once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Position:
    """How far a producer's log is committed. `incarnation` names one life of the producer's process."""

    producer: str
    incarnation: int
    sequence: int


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One record on the link: opaque bytes and where it stands in its producer's log (sequence from 1)."""

    producer: str
    incarnation: int
    sequence: int
    payload: bytes


class LogSender(Protocol):
    """A producer's end."""

    async def send(self, payloads: Sequence[bytes], *, deadline_s: float | None = None) -> None:
        """Hand over records in order; returns when the receiver has committed them all.

        Waits while the window of unacknowledged records is full. Raises LinkOverflow when `deadline_s` passes
        before the records entered the window (they are then not sent); once in the window they are sent until
        acknowledged.
        """

    async def close(self) -> None:
        """Give the link back; unacknowledged records are lost to this sender (their callers were not answered)."""


class LogWindow(LogSender, Protocol):
    """A producer's end whose `send` can be done in two halves: who hands over more before the first records are
    committed keeps the receiver busy, in order."""

    async def enter(self, payloads: Sequence[bytes], *, deadline_s: float | None = None) -> int:
        """The first half of `send`: returns when the records are in the window, with the number to wait for."""

    async def committed(self, number: int) -> None:
        """The second half of `send`: returns when the receiver has committed all up to a number of `enter`."""


class LogReceiver(Protocol):
    """The consumer's end."""

    async def receive(self, *, limit: int, wait_s: float) -> list[LogEntry]:
        """Up to `limit` entries in order per producer, without those at or before a committed position."""

    async def commit(self, positions: Sequence[Position]) -> None:
        """Acknowledge everything up to these positions; call it after the transaction that holds them."""

    def restore(self, positions: Mapping[str, Position]) -> None:
        """After a restart: what the stored state already contains."""

    async def close(self) -> None:
        """Give the link back."""
