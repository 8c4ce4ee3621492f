"""What an import does not take, and why: each with its place, so that a person can put it right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec


class Refused(msgspec.Struct, frozen=True):
    """An entry that was not taken. `reason`: stable code; `origin`: where it stood; `id`: as far as known.

    `secret`: it says Secrecy=1 or a forbidden place; a camera of this id is closed at once, whatever else it says.
    """

    reason: str
    origin: str
    id: str
    sentence: str
    secret: bool = False

    def line(self) -> str:
        """One line of a report."""
        return f"{self.origin} {self.id} [{self.reason}] {self.sentence}".replace("  ", " ")


def count_reasons(refused: Iterable[Refused]) -> dict[str, int]:
    """How many there are of each reason, most first."""
    return dict(Counter(each.reason for each in refused).most_common())
