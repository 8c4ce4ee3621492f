"""Mutations of real bytes: flips, cuts, splices, repeats, tokens, numbers in text and in length fields.

Seeded: the same seed gives the same inputs. Nothing here knows what the bytes mean; a target adds the words of its
protocol.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Final

SIZE_MAX: Final = 16_384
"""Longest input, bytes."""
_NUMBERS: Final = (0, 1, 2, 3, 4, 7, 8, 127, 128, 255, 256, 1460, 4095, 4096, 32_767, 32_768, 65_534, 65_535)
_TEXTS: Final = tuple(
    text.encode()
    for text in (
        "0", "-1", "1", "00", "65536", "2147483648", "4294967296", "9" * 25, "1" + "0" * 400, "1e308", "-1e999",
        "1e-400", "0x10", "NaN", "Infinity", "null", "true", "[]", "{}", "\"\"", "１２", "२", "\ufeff", "\x00",
        "\r\n\r\n", "\n", "%s%n", "[" * 200, "{\"a\":" * 200, "a" * 1000, " " * 1000, "\ud7ff", "😀",
    )
)  # fmt: skip
_RUN: Final = re.compile(rb"[0-9]+")


class Mutator:
    """Endless inputs from `corpus` (at least one, none over SIZE_MAX) and the target's `words`."""

    def __init__(self, corpus: Sequence[bytes], words: Sequence[bytes], seed: int) -> None:
        self._corpus = [each[:SIZE_MAX] for each in corpus]
        self._words = [*words, *_TEXTS]
        self._random = random.Random(seed)
        self._ways = (
            self._flip, self._byte, self._cut, self._shorten, self._repeat, self._splice, self._word, self._insert,
            self._length, self._digits, self._digits, self._swap, self._noise,
        )  # fmt: skip

    def next(self) -> bytes:
        """One mutated input: mostly one or two mutations, sometimes many."""
        chance = self._random
        data = bytearray(chance.choice(self._corpus))
        for _ in range(1 if chance.random() < 0.4 else chance.randint(1, 8)):
            if not data:
                data += chance.choice(self._corpus)
            chance.choice(self._ways)(data)
        return bytes(data[:SIZE_MAX])

    def _place(self, data: bytearray) -> int:
        return self._random.randrange(len(data)) if data else 0

    def _range(self, data: bytearray) -> tuple[int, int]:
        at = self._place(data)
        return at, min(len(data), at + 1 + int(len(data) * self._random.random() ** 4))

    def _flip(self, data: bytearray) -> None:
        data[self._place(data)] ^= 1 << self._random.randrange(8)

    def _byte(self, data: bytearray) -> None:
        data[self._place(data)] = self._random.choice((0, 1, 0x24, 0x7F, 0x80, 0xFF, self._random.randrange(256)))

    def _cut(self, data: bytearray) -> None:
        at, end = self._range(data)
        del data[at:end]

    def _shorten(self, data: bytearray) -> None:
        del data[self._place(data) :]

    def _repeat(self, data: bytearray) -> None:
        at, end = self._range(data)
        data[at:at] = data[at:end] * self._random.choice((1, 1, 2, 16))

    def _splice(self, data: bytearray) -> None:
        other = self._random.choice(self._corpus)
        at = self._random.randrange(len(other)) if other else 0
        data[self._place(data) :] = other[at:]

    def _word(self, data: bytearray) -> None:
        word = self._random.choice(self._words)
        at = self._place(data)
        data[at : at + len(word)] = word

    def _insert(self, data: bytearray) -> None:
        at = self._place(data)
        data[at:at] = self._random.choice(self._words)

    def _length(self, data: bytearray) -> None:
        at, size = self._place(data), self._random.choice((1, 2, 2, 4))
        number = self._random.choice((*_NUMBERS, len(data) - at, len(data) - at - size, len(data) - at + 1))
        data[at : at + size] = (max(number, 0) & (1 << 8 * size) - 1).to_bytes(size, "big")

    def _digits(self, data: bytearray) -> None:
        """A number in text becomes another one."""
        runs = list(_RUN.finditer(data[:4096]))
        if runs:
            run = self._random.choice(runs)
            data[run.start() : run.end()] = self._random.choice(_TEXTS)

    def _swap(self, data: bytearray) -> None:
        at, end = self._range(data)
        to = self._place(data)
        piece = bytes(data[at:end])
        del data[at:end]
        data[to:to] = piece

    def _noise(self, data: bytearray) -> None:
        at = self._place(data)
        data[at:at] = self._random.randbytes(self._random.randint(1, 24))
