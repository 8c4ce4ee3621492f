"""Request and answer between processes: Commands (answered after commit) and snapshots asked by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

RequestHandler = Callable[[str, bytes], Awaitable[bytes]]
"""(kind, body) -> answer. A GridwhistleError raised by it travels back and is raised at the asker's side as
CommandRefused with the same reason and sentence."""


class RequestClient(Protocol):
    """The asker's end."""

    async def request(self, kind: str, body: bytes, *, timeout_s: float) -> bytes:
        """Ask and wait. Raises LinkClosed after `timeout_s`, CommandRefused when the other side refuses."""

    async def close(self) -> None:
        """Give the link back."""


class RequestServer(Protocol):
    """The answerer's end: serves many askers at once, with a bounded number in work."""

    async def serve(self, handler: RequestHandler) -> None:
        """Answer until cancelled."""


class ChangePublisher(Protocol):
    """Committed changes, to whoever listens; a slow listener loses some and fills the gap from the database."""

    async def publish(self, sequence: int, kind: str, body: bytes) -> None:
        """Send one change; never waits for listeners."""

    async def close(self) -> None:
        """Give the link back."""


class ChangeSubscriber(Protocol):
    """A listener's end."""

    async def receive(self, *, wait_s: float) -> tuple[int, str, bytes] | None:
        """The next (sequence, kind, body), or None after `wait_s`."""

    async def close(self) -> None:
        """Give the link back."""
