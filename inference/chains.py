"""Chains: waiting pictures of promoted cameras, each camera's in decoding order, none missing in between.

Pure. A picture that is no key picture is of use only to the decoder that has all pictures since the key picture
before it. So each chain stays with one decoder (its *home*), and one that misses a picture is broken: everything
up to its next key picture is dropped and counted.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

from contracts.frame import FrameHeader
from contracts.instant import Instant

WAITING_MAX: Final = 2_000
"""Headers of one chain that wait, at most: 80 s at 25 pictures per second."""


@dataclass(slots=True)
class _Chain:
    home: int
    last_at: Instant
    """When a header of it came last."""
    waiting: deque[FrameHeader] = field(default_factory=deque)
    broken: str = "no_key"
    """Why pictures are dropped up to the next key picture, "" while the chain is whole."""
    number: int = 0
    sequence: int = 0
    over: bool = False
    """The promotion ended: the camera's ordinary pictures follow."""


class Chains:
    """At most `chains_max` promoted cameras. `dropped` counts pictures by reason.

    `no_key`: the chain began in the middle of a group; `chain_gap`: a number was missing; `stale`: older than
    the bound, or too many wait; `chain_limit`: too many cameras are promoted; else the reason of `break_off`.
    """

    def __init__(
        self, *, chains_max: int, homes: int, age_max_ns: int, idle_ns: int, dropped: dict[str, int] | None = None
    ) -> None:
        """`homes`: decoders. A chain without pictures for `idle_ns` is over. `dropped`: where to count."""
        self._chains_max = chains_max
        self._homes = homes
        self._age_max_ns = age_max_ns
        self._idle_ns = idle_ns
        self._chains: OrderedDict[str, _Chain] = OrderedDict()
        self._ended: list[tuple[int, str]] = []
        self.dropped: dict[str, int] = dropped if dropped is not None else {}

    def __len__(self) -> int:
        """Cameras that have a chain."""
        return len(self._chains)

    def has(self, source_id: str) -> bool:
        """Whether this camera's promotion goes on."""
        chain = self._chains.get(source_id)
        return chain is not None and not chain.over

    def waits(self, source_id: str) -> bool:
        """Whether pictures of this camera's chain are still to be decoded."""
        chain = self._chains.get(source_id)
        return chain is not None and bool(chain.waiting)

    def announce(self, header: FrameHeader, now: Instant) -> bool:
        """A picture of a promoted camera; False: it has no chain, its key pictures are ordinary ones."""
        chain = self._chains.get(header.source_id)
        if chain is None:
            if not header.key:
                self._drop("no_key" if len(self._chains) < self._chains_max else "chain_limit")
                return True
            if len(self._chains) >= self._chains_max:
                return False
            chain = self._chains[header.source_id] = _Chain(self._emptiest_home(), now)
        chain.last_at, chain.over = now, False
        if header.key:
            chain.broken = ""
        elif not chain.broken and (header.chain, header.sequence) != (chain.number + 1, chain.sequence + 1):
            chain.broken = "chain_gap"
        if chain.broken:
            self._drop(chain.broken)
            return True
        chain.number, chain.sequence = header.chain, header.sequence
        chain.waiting.append(header)
        if len(chain.waiting) > WAITING_MAX:
            self._fall_forward(chain)
        return True

    def ordinary(self, source_id: str) -> None:
        """An ordinary picture of this camera came, so its promotion is over."""
        chain = self._chains.get(source_id)
        if chain is not None:
            chain.over = True

    def take(self, home: int, limit: int, now: Instant) -> list[FrameHeader]:
        """The next pictures for this decoder, in order within a camera, the cameras in turn."""
        self._tidy(now)
        taken: list[FrameHeader] = []
        for source_id in [name for name, chain in self._chains.items() if chain.home == home and chain.waiting]:
            chain = self._chains[source_id]
            while chain.waiting and len(taken) < limit:
                taken.append(chain.waiting.popleft())
            self._chains.move_to_end(source_id)
            if len(taken) >= limit:
                break
        return taken

    def break_off(self, source_id: str, reason: str) -> None:
        """The decoder lost this chain: a picture did not come or decode. It goes on with its next key picture."""
        chain = self._chains.get(source_id)
        if chain is None:
            return
        while chain.waiting and not chain.waiting[0].key:
            chain.waiting.popleft()
            self._drop(reason)
        if not chain.waiting:
            chain.broken = reason

    def forget(self, source_id: str) -> int:
        """The camera is gone. Pictures that waited."""
        chain = self._chains.pop(source_id, None)
        if chain is None:
            return 0
        self._ended.append((chain.home, source_id))
        return len(chain.waiting)

    def ended(self, home: int) -> list[str]:
        """Cameras whose decoder context this decoder may close; each is told once."""
        told = [source_id for at_home, source_id in self._ended if at_home == home]
        self._ended = [each for each in self._ended if each[0] != home]
        return told

    def _tidy(self, now: Instant) -> None:
        for source_id, chain in list(self._chains.items()):
            while chain.waiting and now - chain.waiting[0].arrival_time > self._age_max_ns:
                self._fall_forward(chain)
            if not chain.waiting and (chain.over or now - chain.last_at > self._idle_ns):
                self.forget(source_id)

    def _fall_forward(self, chain: _Chain) -> None:
        chain.waiting.popleft()
        self._drop("stale")
        while chain.waiting and not chain.waiting[0].key:
            chain.waiting.popleft()
            self._drop("stale")
        if not chain.waiting:
            chain.broken = "stale"

    def _emptiest_home(self) -> int:
        loads = [0] * self._homes
        for chain in self._chains.values():
            loads[chain.home] += 1
        return loads.index(min(loads))

    def _drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
