"""What is counted of a session over all its lives, whole and as far as it is asked for all the time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(slots=True)
class SessionTotals:
    """Running totals of one session object over all its lives."""

    sessions: int = 0
    resyncs: int = 0
    packets_late: int = 0
    packets_foreign: int = 0
    rtcp_malformed: int = 0
    bytes_received: int = 0
    packets: int = 0
    packets_lost: int = 0
    packets_malformed: int = 0
    key_pictures: int = 0
    key_pictures_lost: int = 0
    key_pictures_refused: int = 0
    pictures: int = 0
    clock_jumps: int = 0

    def add(self, other: SessionTotals) -> None:
        """Add another's."""
        self.sessions += other.sessions
        self.resyncs += other.resyncs
        self.packets_late += other.packets_late
        self.packets_foreign += other.packets_foreign
        self.rtcp_malformed += other.rtcp_malformed
        self.bytes_received += other.bytes_received
        self.packets += other.packets
        self.packets_lost += other.packets_lost
        self.packets_malformed += other.packets_malformed
        self.key_pictures += other.key_pictures
        self.key_pictures_lost += other.key_pictures_lost
        self.key_pictures_refused += other.key_pictures_refused
        self.pictures += other.pictures
        self.clock_jumps += other.clock_jumps


class Reception(NamedTuple):
    """How well it arrives: totals of all lives, and the camera's clock minus ours (ns), None while unknown."""

    packets: int
    packets_lost: int
    clock_jumps: int
    clock_offset_ns: int | None
