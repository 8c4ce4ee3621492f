from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from contracts.instant import MINUTE, SECOND
from runtime.minute import QUARTER_NS, MinuteBook, quarter_end

Events = list[tuple[int, str]]

EVENTS = st.lists(
    st.tuples(
        st.one_of(
            st.integers(0, 40 * SECOND),
            st.sampled_from([0, 1, QUARTER_NS - 1, QUARTER_NS, QUARTER_NS + 1, MINUTE, 5 * MINUTE]),
        ),
        st.sampled_from("ab"),
    ),
    max_size=80,
)
"""Each: how long after the one before, and of whom."""


@given(steps=EVENTS, start=st.integers(0, 10 * MINUTE), wait=st.integers(0, 3 * MINUTE))
def test_count_is_what_came_in_the_minute_before_the_quarter_and_nothing_else(
    steps: Events, start: int, wait: int
) -> None:
    book, came, now = MinuteBook(), [], start
    for step, name in steps:
        now += step
        # Looking never changes what is seen later.
        book.minute(name, quarter_end(now))
        book.count(name, now)
        came.append((now, name))
    for later in (now, now + wait):
        end = quarter_end(later)
        for name in "abc":
            naive = sum(end - MINUTE <= at < end for at, whose in came if whose == name)
            assert book.minute(name, end) == naive
            assert book.last_ns(name) == max((at for at, whose in came if whose == name), default=None)


def test_camera_that_floods_neither_overflows_into_the_quarter_before_nor_forgets() -> None:
    book = MinuteBook()
    book.count("quiet before", 0)
    for _ in range(70_000):
        book.count("flood", 1)
    assert book.minute("flood", QUARTER_NS) == 65_535
    assert book.minute("flood", 4 * QUARTER_NS) == 65_535
    assert book.minute("flood", 5 * QUARTER_NS) == 0
    assert book.minute("quiet before", QUARTER_NS) == 1


def test_book_holds_the_names_it_is_told_to_keep_in_some_200_bytes_each() -> None:
    book, cameras = MinuteBook(), [f"1529210000132{number:07d}" for number in range(3_700)]
    for second in range(0, 120, 2):
        for name in cameras:
            book.count(name, second * SECOND)
    assert {book.minute(name, 2 * MINUTE) for name in cameras} == {30}
    tallies = book._tallies
    held = sum(
        sys.getsizeof(tally) + sys.getsizeof(tally.quarters) + sys.getsizeof(tally.last_ns)
        for tally in tallies.values()
    )
    assert (held + sys.getsizeof(tallies)) / len(cameras) < 220
    book.keep_only(cameras[:10])
    assert len(book) == 10
    assert book.minute(cameras[10], 2 * MINUTE) == 0
