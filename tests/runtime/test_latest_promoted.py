"""The picture store with promoted sources: order, budgets, and no picture that its puller could not decode."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from contracts.frame import Frame, FrameHeader
from runtime.latest import LatestStore
from tests.runtime.frame_headers import header

SOURCES = ("a", "b")


def put_group(store: LatestStore, source: str, first: int, pictures: int, size: int = 1) -> None:
    for chain in range(pictures):
        store.put(header(source, first + chain, size, chain), bytes(size))


def pull(store: LatestStore, source: str) -> list[int]:
    """Hear of everything that is new of this source and pull it, in order."""
    headers = [each for each in store.take_headers(1_000) if each.source_id == source]
    frames = [store.get(source, each.sequence) for each in headers]
    return [frame.header.sequence for frame in frames if frame is not None]


def test_promoted_group_then_every_picture_is_announced_in_order_and_handed_over_once() -> None:
    store = LatestStore(1_000)
    put_group(store, "a", 1, 5)
    store.put(header("b", 1, 1), b"b")
    assert [(each.source_id, each.sequence) for each in store.take_headers(3)] == [("a", 1), ("a", 2), ("a", 3)]
    assert [(each.source_id, each.sequence) for each in store.take_headers(9)] == [("b", 1), ("a", 4), ("a", 5)]
    assert [store.get("a", n) is not None for n in (1, 2, 3, 4, 5)] == [True] * 5
    assert store.get("a", 5) is None
    assert store.dropped == {}


def test_full_queue_with_a_later_key_picture_then_it_falls_forward_to_it() -> None:
    store = LatestStore(1_000, queue_bytes=60)
    put_group(store, "a", 1, 3, size=10)
    put_group(store, "a", 4, 4, size=10)
    assert pull(store, "a") == [4, 5, 6, 7]
    assert store.dropped == {"queue_full": 3}


def test_full_queue_within_one_group_then_its_rest_is_left_out_up_to_the_next_key_picture() -> None:
    store = LatestStore(1_000, queue_bytes=30)
    put_group(store, "a", 1, 5, size=10)
    assert store.dropped == {"queue_full": 2}
    put_group(store, "a", 6, 2, size=10)
    assert pull(store, "a") == [6, 7]
    assert store.dropped == {"queue_full": 5}


def test_all_queues_full_then_the_longest_falls_forward_and_the_others_stay() -> None:
    store = LatestStore(1_000, queue_bytes=80, queues_bytes=100)
    put_group(store, "a", 1, 7, size=10)
    put_group(store, "b", 1, 4, size=10)
    assert [each.source_id for each in store.take_headers(100)] == ["b"] * 4
    store.put(header("a", 8, 10, 7), bytes(10))
    assert store.take_headers(100) == [], "its predecessors are gone"
    put_group(store, "a", 9, 2, size=10)
    assert pull(store, "a") == [9, 10]


def test_many_small_pictures_then_their_number_is_bounded_too() -> None:
    store = LatestStore(1_000_000, queue_pictures=10)
    put_group(store, "a", 1, 50)
    assert len(store) == 10
    assert store.dropped == {"queue_full": 40}


def test_chain_with_a_gap_then_nothing_of_it_waits_until_the_next_key_picture() -> None:
    store = LatestStore(1_000)
    store.put(header("a", 1, 1, 3), b"x")
    put_group(store, "a", 2, 2)
    store.put(header("a", 4, 1, 3), b"x")
    store.put(header("a", 5, 1, 4), b"x")
    put_group(store, "a", 6, 1)
    assert pull(store, "a") == [2, 3, 6]
    assert store.dropped == {"no_key": 1, "chain_gap": 2}


def test_new_puller_in_the_middle_of_a_group_then_it_hears_from_the_next_key_picture_on() -> None:
    store = LatestStore(1_000)
    put_group(store, "a", 1, 6)
    assert len(store.take_headers(3)) == 3
    assert store.get("a", 1) is not None
    store.announce_all_again()
    store.put(header("a", 7, 1, 6), b"x")
    put_group(store, "a", 8, 2)
    assert pull(store, "a") == [8, 9]
    assert store.dropped == {"new_puller": 6}


def test_new_puller_when_nothing_was_pulled_yet_then_it_hears_of_the_whole_group() -> None:
    store = LatestStore(1_000)
    put_group(store, "a", 1, 4)
    assert len(store.take_headers(2)) == 2
    store.announce_all_again()
    assert pull(store, "a") == [1, 2, 3, 4]


def test_headers_that_nobody_heard_then_they_are_announced_again_in_order() -> None:
    store = LatestStore(1_000)
    put_group(store, "a", 1, 4)
    store.put(header("b", 1, 1), b"b")
    lost = store.take_headers(3)
    store.put_back(lost)
    assert pull(store, "a") == [1, 2, 3, 4]


def test_promotion_ends_then_the_queue_is_pulled_first_and_ordinary_pictures_replace_one_another() -> None:
    store = LatestStore(1_000)
    put_group(store, "a", 1, 3)
    for sequence in (4, 5, 6):
        store.put(header("a", sequence, 1), b"x")
    assert store.replaced == 2
    assert pull(store, "a") == [1, 2, 3, 6]
    assert store.queues == 0
    store.put(header("a", 7, 1), b"x")
    assert store.get("a", 7) is not None
    assert store.get("a", 7) is None, "a picture is handed over once"


def test_promotion_ends_with_the_queue_pulled_then_the_next_picture_is_ordinary_at_once() -> None:
    store = LatestStore(1_000)
    put_group(store, "a", 1, 2)
    assert pull(store, "a") == [1, 2]
    store.put(header("a", 3, 1), b"x")
    assert store.queues == 0
    store.announce_all_again()
    assert [each.sequence for each in store.take_headers(9)] == [3]


def test_promotion_begins_then_the_latest_picture_is_overtaken() -> None:
    store = LatestStore(1_000)
    store.put(header("a", 1, 1), b"x")
    put_group(store, "a", 2, 2)
    assert store.get("a", 1) is None
    assert pull(store, "a") == [2, 3]
    assert store.replaced == 1


def test_queues_take_the_budget_then_ordinary_pictures_are_evicted_and_the_budget_holds() -> None:
    store = LatestStore(100, queue_bytes=80, queues_bytes=80)
    for name in ("x", "y", "z"):
        store.put(header(name, 1, 30), bytes(30))
    put_group(store, "a", 1, 6, size=10)
    assert store.size_bytes <= 100
    assert store.evicted == 2
    store.put(header("w", 1, 90), bytes(90))
    assert store.size_bytes == 90
    assert store.dropped == {"queue_full": 6}
    store.put(header("w", 2, 101), bytes(101))
    assert store.dropped["too_large"] == 1


@pytest.mark.parametrize("bounds", [{"queues_bytes": 200}, {"queue_bytes": 0}, {"queue_pictures": 0}])
def test_bounds_that_make_no_sense_then_refused(bounds: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="bounds of the picture store"):
        LatestStore(100, **bounds)


class PromotedStore(RuleBasedStateMachine):
    """Ingest puts, a puller hears and pulls in order, loses messages, dies and comes back; sources go.

    The puller proves on its side that each picture is a key picture or continues the one it pulled before.
    """

    BUDGET, QUEUES, QUEUE, PICTURES = 110, 90, 60, 9

    def __init__(self) -> None:
        super().__init__()
        self.store = LatestStore(
            self.BUDGET, queue_bytes=self.QUEUE, queues_bytes=self.QUEUES, queue_pictures=self.PICTURES
        )
        self.sequence = dict.fromkeys(SOURCES, 0)
        self.chain: dict[str, int] = {}
        self.heard: list[FrameHeader] = []
        self.got: dict[str, FrameHeader] = {}
        self.told: dict[str, int] = {}

    @rule(
        source=st.sampled_from(SOURCES),
        sizes=st.lists(st.integers(0, 25), min_size=1, max_size=6),
        key=st.booleans(),
    )
    def ingest_hands_on_promoted_pictures(self, source: str, sizes: list[int], key: bool) -> None:
        for size in sizes:
            chain = 0 if key or source not in self.chain else self.chain[source] + 1
            key = False
            self._put(header(source, self.sequence[source] + 1, size, chain), size)
            self.chain[source] = chain

    @rule(source=st.sampled_from(SOURCES), size=st.integers(0, 60))
    def ingest_hands_on_an_ordinary_picture(self, source: str, size: int) -> None:
        self.chain.pop(source, None)
        self._put(header(source, self.sequence[source] + 1, size), size)

    @precondition(lambda self: self.chain)
    @rule(data=st.data())
    def ingest_loses_a_picture_of_a_chain(self, data: st.DataObject) -> None:
        source = data.draw(st.sampled_from(sorted(self.chain)))
        self.chain[source] += 1
        self.sequence[source] += 1

    @rule(limit=st.integers(1, 8), lost=st.booleans())
    def puller_hears(self, limit: int, lost: bool) -> None:
        headers = self.store.take_headers(limit)
        assert len(headers) <= limit
        if lost:
            self.store.put_back(headers)
            return
        for each in headers:
            assert each.sequence > self.told.get(each.source_id, 0), "announced once, in order"
            self.told[each.source_id] = each.sequence
        self.heard += headers

    @rule(count=st.integers(1, 8))
    def puller_pulls_what_it_heard(self, count: int) -> None:
        for each in self.heard[:count]:
            frame = self.store.get(each.source_id, each.sequence)
            if frame is None:
                continue
            self._check_decodable(frame)
            self.got[each.source_id] = each
        del self.heard[:count]

    def _check_decodable(self, frame: Frame) -> None:
        got = frame.header
        assert len(frame.data) == got.size
        if got.key:
            return
        before = self.got.get(got.source_id)
        assert before is not None, "the first picture that a puller gets is a key picture"
        assert (before.sequence, before.chain) == (got.sequence - 1, got.chain - 1)

    @rule()
    def puller_hears_and_pulls_everything(self) -> None:
        self.puller_hears(limit=1_000, lost=False)
        self.puller_pulls_what_it_heard(count=1_000)

    @rule()
    def puller_is_killed_and_another_comes(self) -> None:
        self.heard.clear()
        self.got.clear()
        self.told.clear()
        self.store.announce_all_again()

    @rule(source=st.sampled_from(SOURCES))
    def source_goes(self, source: str) -> None:
        self.store.forget(source)
        self.chain.pop(source, None)

    @invariant()
    def budgets_hold(self) -> None:
        assert 0 <= self.store.queued_bytes <= self.QUEUES
        assert self.store.queued_bytes <= self.store.size_bytes <= self.BUDGET
        assert len(self.store) <= (self.PICTURES + 1) * len(SOURCES)

    def teardown(self) -> None:
        for source in SOURCES:
            self.store.forget(source)
        assert (self.store.size_bytes, self.store.queued_bytes, len(self.store)) == (0, 0, 0)
        assert self.store.take_headers(100) == []

    def _put(self, header: FrameHeader, size: int) -> None:
        self.sequence[header.source_id] = header.sequence
        self.store.put(header, bytes(size))


TestPromotedStore = PromotedStore.TestCase
TestPromotedStore.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
