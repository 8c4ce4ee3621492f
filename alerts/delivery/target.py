"""A target: an outside system that takes changes, one at a time, and says whether it did."""

from __future__ import annotations

from typing import Final, Protocol

from alerts.delivery.outbox import OutboxRow

RETRY_AFTER_MAX_S: Final = 3600.0
"""The longest wait that a target may ask for, seconds."""


class Target(Protocol):
    """One outside system. `name` stands in every Delivery."""

    name: str

    async def send(self, row: OutboxRow) -> None:
        """Hand one change over; returns when the system has it.

        May be called again with the same row: the system sees the same id. Raises DeliveryUnavailable (try again)
        or DeliveryRejected (never).
        """

    async def close(self) -> None:
        """Give connections back."""
