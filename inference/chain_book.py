"""ChainBook: which chains the decoding child has open, and what was sent of each. The parent's side; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from contracts.frame import Frame, FrameHeader
from inference.decode_child import Step

_NUMBERS: Final = 0xFFFF
_SENT_MAX: Final = 64
"""Looks that wait for their picture, more than any reorder depth."""


@dataclass(frozen=True, slots=True)
class Chained:
    """A frame of a promoted camera's chain; `look`: its picture is wanted, else it is only decoded."""

    frame: Frame
    look: bool = True


@dataclass(slots=True)
class _Open:
    number: int
    sequence: int = 0
    chain: int = 0
    broken: bool = True
    wanted: dict[int, tuple[FrameHeader, int]] = field(default_factory=dict)
    """Header and fingerprint by request, of pictures that the decoder may give later."""


class ChainBook:
    """The open chains of one child, by camera."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._ended: list[int] = []
        self._last = 0

    def __len__(self) -> int:
        return len(self._open)

    def step(self, header: FrameHeader, look: bool) -> tuple[int, Step] | None:
        """The child's number of this chain and what to ask; None: it misses what this picture needs."""
        chain = self._open.get(header.source_id)
        follows = chain is not None and not chain.broken and header.sequence == chain.sequence + 1
        wish = Step.LOOK if look else Step(0)
        if header.key:
            wish |= Step.KEY if follows else Step.BEGIN
            if chain is None:
                chain = self._open[header.source_id] = _Open(self._new_number())
            if not follows:
                chain.wanted.clear()
        elif chain is None or not follows or header.chain != chain.chain + 1:
            self.lost(header.source_id)
            return None
        chain.sequence, chain.chain, chain.broken = header.sequence, header.chain, False
        return chain.number, wish

    def sent(self, request: int, frame: Frame) -> None:
        """The picture of this request is wanted."""
        wanted = self._open[frame.header.source_id].wanted
        wanted[request] = (frame.header, fingerprint(frame.data))
        while len(wanted) > _SENT_MAX:
            del wanted[next(iter(wanted))]

    def shown(self, source_id: str, request: int) -> tuple[FrameHeader, int] | None:
        """Header and fingerprint of the picture that came out; None when nobody waits for it any more."""
        chain = self._open.get(source_id)
        return chain.wanted.pop(request, None) if chain is not None else None

    def lost(self, source_id: str) -> None:
        """The chain goes on with its next key picture."""
        chain = self._open.get(source_id)
        if chain is not None:
            chain.broken = True

    def child_lost(self) -> None:
        """The child is gone, and with it every chain."""
        self._open.clear()
        self._ended.clear()

    def end(self, source_id: str) -> None:
        """This chain is over."""
        chain = self._open.pop(source_id, None)
        if chain is not None:
            self._ended.append(chain.number)

    def take_ended(self) -> list[int]:
        """Numbers of chains that the child may close; each once."""
        ended, self._ended = self._ended, []
        return ended

    def _new_number(self) -> int:
        taken = {each.number for each in self._open.values()} | set(self._ended)
        while True:
            self._last = self._last % _NUMBERS + 1
            if self._last not in taken:
                return self._last


def fingerprint(data: bytes) -> int:
    """Names encoded bytes: equal for equal ones, else different but for chance (2**-64)."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")
