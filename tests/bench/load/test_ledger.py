from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bench.load.ledger import I64, Ledger, compare, gaps, load_table, ranges

pictures = st.sets(st.tuples(st.integers(0, 5), st.integers(0, 30)), max_size=80)


def table(events: list[tuple[int, int, int]]) -> I64:
    return np.array(events, dtype=np.int64).reshape(-1, 3)


def all_of(stream: int, *counters: int, at_ns: int = 0) -> list[tuple[int, int, int]]:
    return [(stream, counter, at_ns + counter) for counter in counters]


def test_nothing_is_lost_when_all_arrive_and_the_latency_is_theirs() -> None:
    sent = table(all_of(0, 1, 2, 3) + all_of(7, 1, 2, 3))
    seen = table(all_of(7, 1, 2, 3, at_ns=5) + all_of(0, 1, 2, 3, at_ns=9))
    found = compare(sent, seen, from_ns=0, until_ns=100)
    assert (found.due, found.seen, found.lost, found.twice, found.unknown) == (6, 6, (), 0, 0)
    assert found.latency_ns.tolist() == [9, 9, 9, 5, 5, 5]


def test_loss_is_named_and_one_before_the_first_seen_is_none() -> None:
    sent = table(all_of(3, 1, 2, 3, 4, 5))
    found = compare(sent, table(all_of(3, 2, 4)), from_ns=0, until_ns=100)
    assert found.lost == ((3, 3), (3, 5))
    assert found.due == 4


def test_picture_sent_at_the_end_of_the_window_is_not_due_yet() -> None:
    found = compare(table(all_of(0, 1, 2, 3)), table(all_of(0, 1)), from_ns=0, until_ns=3)
    assert found.lost == ((0, 2),)


def test_stream_of_which_nothing_came_counts_only_when_it_was_said_to_be_live() -> None:
    sent = table(all_of(0, 1, 2) + all_of(1, 1, 2))
    seen = table(all_of(0, 1, 2))
    assert compare(sent, seen, from_ns=0, until_ns=100).lost == ()
    assert compare(sent, seen, from_ns=0, until_ns=100, live=np.array([0, 1])).lost == ((1, 1), (1, 2))


def test_repetitions_and_pictures_never_sent_whole_are_counted() -> None:
    seen = table(all_of(0, 1, 1, 2, 9))
    found = compare(table(all_of(0, 1, 2)), seen, from_ns=0, until_ns=100)
    assert (found.twice, found.unknown, found.seen) == (1, 1, 2)


def test_a_picture_seen_twice_has_the_latency_of_the_first_time() -> None:
    seen = table([(0, 1, 30), (0, 1, 50)])
    assert compare(table([(0, 1, 10)]), seen, from_ns=0, until_ns=100).latency_ns.tolist() == [20]


@given(pictures, pictures)
def test_comparison_is_the_difference_of_the_sets(sent: set[tuple[int, int]], seen: set[tuple[int, int]]) -> None:
    found = compare(
        table([(*each, 0) for each in sent]), table([(*each, 0) for each in seen]), from_ns=0, until_ns=1
    )
    first = {stream: min(c for s, c in seen if s == stream) for stream, _ in seen}
    due = {(s, c) for s, c in sent if s in first and c >= first[s]}
    assert set(found.lost) == due - seen
    assert found.due == len(due)
    assert found.unknown == len(seen - sent)


@given(pictures)
def test_ranges_hold_exactly_the_pictures_and_gaps_what_lies_between(noted: set[tuple[int, int]]) -> None:
    ledger = Ledger()
    for stream, counter in noted:
        ledger.note(stream, counter, 0)
    found = ledger.ranges()
    assert {(s, c) for s, spans in found.items() for a, b in spans for c in range(a, b + 1)} == noted
    assert all(b + 1 < c for spans in found.values() for (_, b), (c, _) in pairwise(spans))
    between = sum(
        max(mine) - min(mine) + 1 - len(mine)
        for stream in found
        for mine in [[c for s, c in noted if s == stream]]
    )
    assert gaps(ledger.table()) == between


def test_ledger_is_read_as_it_was_saved(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.note(3, 2, 2**62)
    ledger.save(tmp_path / "sent.npy")
    assert load_table(tmp_path / "sent.npy").tolist() == [[3, 2, 2**62]]
    assert len(ledger) == 1


def test_empty_ledgers_compare() -> None:
    found = compare(Ledger().table(), Ledger().table(), from_ns=0, until_ns=1)
    assert (found.due, found.lost) == (0, ())
    assert ranges(Ledger().table()) == {}
