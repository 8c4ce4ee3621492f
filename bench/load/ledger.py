"""What was sent and what was seen: key pictures by stream and counter with their moment; how the two compare."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
_COUNTERS: Final = 1 << 40


class Ledger:
    """Key pictures noted one by one: stream number, counter (both >= 0, counter < 2^40), monotonic ns."""

    def __init__(self) -> None:
        self._events = array("q")

    def note(self, stream: int, counter: int, at_ns: int) -> None:
        """One key picture."""
        self._events.extend((stream, counter, at_ns))

    def __len__(self) -> int:
        return len(self._events) // 3

    def table(self) -> I64:
        """All events, n x 3: stream, counter, monotonic ns."""
        return np.array(self._events, dtype=np.int64).reshape(-1, 3)

    def save(self, file: Path) -> None:
        """Write the events as a NumPy file."""
        with file.open("wb") as out:
            np.save(out, self.table())

    def ranges(self) -> dict[int, list[tuple[int, int]]]:
        """Per stream the counters as ranges (first, last), both included, in order."""
        return ranges(self.table())


def load_table(file: Path) -> I64:
    """What `Ledger.save` wrote."""
    table: I64 = np.load(file)
    return table


def ranges(table: I64) -> dict[int, list[tuple[int, int]]]:
    """Per stream the counters of a table as ranges (first, last), both included, in order."""
    keys = np.unique(table[:, 0] * _COUNTERS + table[:, 1])
    if not len(keys):
        return {}
    begins = np.concatenate(([True], np.diff(keys) != 1))
    ends = np.concatenate((begins[1:], [True]))
    found: dict[int, list[tuple[int, int]]] = {}
    for first, last in zip(keys[begins].tolist(), keys[ends].tolist(), strict=True):
        found.setdefault(first // _COUNTERS, []).append((first % _COUNTERS, last % _COUNTERS))
    return found


@dataclass(frozen=True, slots=True)
class Comparison:
    """`due`: key pictures sent while their stream was live; `lost`: those never seen, as (stream, counter).

    `seen`: how many of the due ones arrived; `twice`: events of pictures that were seen before; `unknown`: seen,
    but never sent whole. `latency_ns`: last byte sent to seen, of each due picture that arrived.
    """

    due: int
    seen: int
    lost: tuple[tuple[int, int], ...]
    twice: int
    unknown: int
    latency_ns: I64


def compare(sent: I64, seen: I64, *, from_ns: int, until_ns: int, live: I64 | None = None) -> Comparison:
    """Compare what was sent whole within [from_ns, until_ns) with what was ever seen.

    A picture is due from the first one that was seen of its stream on, so the end of the window must lie far
    enough back that its last picture had time to arrive. A stream of which nothing at all was seen has no due
    picture, unless `live` names it: then all of them are.
    """
    sent_keys, first_sent = np.unique(sent[:, 0] * _COUNTERS + sent[:, 1], return_index=True)
    seen_keys, first_seen = np.unique(seen[:, 0] * _COUNTERS + seen[:, 1], return_index=True)
    starts = _first_counters(seen, live)
    stream, counter = np.divmod(sent_keys, _COUNTERS)
    at_ns = sent[first_sent, 2]
    begin = np.array([starts.get(each, -1) for each in stream.tolist()], dtype=np.int64)
    due = (begin >= 0) & (counter >= begin) & (at_ns >= from_ns) & (at_ns < until_ns)
    arrived = np.isin(sent_keys, seen_keys)
    lost = np.flatnonzero(due & ~arrived)
    both = np.flatnonzero(due & arrived)
    latency = seen[first_seen, 2][np.searchsorted(seen_keys, sent_keys[both])] - at_ns[both]
    return Comparison(
        due=int(due.sum()),
        seen=len(both),
        lost=tuple(zip(stream[lost].tolist(), counter[lost].tolist(), strict=True)),
        twice=len(seen) - len(seen_keys),
        unknown=int((~np.isin(seen_keys, sent_keys)).sum()),
        latency_ns=latency,
    )


def _first_counters(seen: I64, live: I64 | None) -> dict[int, int]:
    starts = dict.fromkeys([] if live is None else live.tolist(), 0)
    order = np.lexsort((seen[:, 1], seen[:, 0]))
    streams, at = np.unique(seen[order, 0], return_index=True)
    starts.update(zip(streams.tolist(), seen[order[at], 1].tolist(), strict=True))
    return starts


def gaps(seen: I64) -> int:
    """Counters missing between the first and the last seen of each stream: a loss that needs no sender's list."""
    return sum(
        following - last - 1 for spans in ranges(seen).values() for (_, last), (following, _) in pairwise(spans)
    )
