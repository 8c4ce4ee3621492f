from __future__ import annotations

from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import structs

from contracts.frame import FrameHeader
from contracts.instant import SECOND
from inference.chains import WAITING_MAX, Chains
from tests.inference.pictures import at, header


def chains(chains_max: int = 2, homes: int = 1) -> Chains:
    return Chains(chains_max=chains_max, homes=homes, age_max_ns=20 * SECOND, idle_ns=10 * SECOND)


def link(source: str, sequence: int, chain: int, second: float = 0.0) -> FrameHeader:
    return structs.replace(header(source, sequence, at(second), key=chain == 0), promoted=True, chain=chain)


def announce(made: Chains, source: str, first: int, numbers: Sequence[int], second: float = 0.0) -> None:
    for offset, chain in enumerate(numbers):
        assert made.announce(link(source, first + offset, chain, second), at(second))


def sequences(headers: Sequence[FrameHeader]) -> list[int]:
    return [each.sequence for each in headers]


def test_pictures_come_in_order_and_cameras_take_turns() -> None:
    made = chains()
    announce(made, "a", 1, range(5))
    announce(made, "b", 1, range(3))
    taken = [made.take(0, 4, at(0)) for _ in range(3)]
    assert [[(each.source_id, each.sequence) for each in some] for some in taken] == [
        [("a", 1), ("a", 2), ("a", 3), ("a", 4)],
        [("b", 1), ("b", 2), ("b", 3), ("a", 5)],
        [],
    ]


def test_number_is_missing_then_nothing_until_the_next_key_picture() -> None:
    made = chains()
    announce(made, "a", 1, [0, 1])
    announce(made, "a", 4, [3, 4, 0, 1])
    assert sequences(made.take(0, 9, at(0))) == [1, 2, 6, 7]
    assert made.dropped == {"chain_gap": 2}


def test_chain_begins_in_the_middle_of_a_group_then_it_waits_for_a_key_picture() -> None:
    made = chains()
    announce(made, "a", 1, [4, 5, 0])
    assert sequences(made.take(0, 9, at(0))) == [3]
    assert made.dropped == {"no_key": 2}


def test_decoder_lost_a_picture_then_what_needs_it_is_dropped_also_what_comes_later() -> None:
    made = chains()
    announce(made, "a", 1, [0, 1, 2])
    made.take(0, 1, at(0))
    made.break_off("a", "overtaken")
    announce(made, "a", 4, [3, 0, 1])
    assert sequences(made.take(0, 9, at(0))) == [5, 6]
    assert made.dropped == {"overtaken": 3}


def test_decoder_lost_a_picture_and_a_key_picture_waits_already_then_the_chain_goes_on_there() -> None:
    made = chains()
    announce(made, "a", 1, [0, 1, 2, 0, 1])
    made.take(0, 1, at(0))
    made.break_off("a", "crash")
    announce(made, "a", 6, [2])
    assert sequences(made.take(0, 9, at(0))) == [4, 5, 6]


def test_pictures_wait_too_long_then_the_chain_falls_forward_to_a_fresh_key_picture() -> None:
    made = chains()
    announce(made, "a", 1, [0, 1, 2], second=0.0)
    announce(made, "a", 4, [0, 1], second=15.0)
    assert sequences(made.take(0, 9, at(21))) == [4, 5]
    assert made.dropped == {"stale": 3}


def test_more_cameras_than_allowed_are_promoted_then_their_key_pictures_are_ordinary_ones() -> None:
    made = chains(chains_max=1)
    announce(made, "a", 1, [0])
    assert not made.announce(link("b", 1, 0), at(0))
    assert made.announce(link("b", 2, 1), at(0))
    assert made.dropped == {"chain_limit": 1}


def test_chain_stays_with_its_decoder_and_chains_are_shared_out() -> None:
    made = chains(chains_max=4, homes=2)
    for name in "abcd":
        announce(made, name, 1, [0])
    homes = [{each.source_id for each in made.take(home, 9, at(0))} for home in (0, 1)]
    assert sorted(map(len, homes)) == [2, 2]
    for name in "abcd":
        announce(made, name, 2, [1])
    assert [{each.source_id for each in made.take(home, 9, at(0))} for home in (0, 1)] == homes


def test_promotion_ends_then_the_rest_is_decoded_and_the_decoder_may_be_closed() -> None:
    made = chains()
    announce(made, "a", 1, [0, 1])
    made.ordinary("a")
    assert sequences(made.take(0, 9, at(0))) == [1, 2]
    assert made.take(0, 9, at(0)) == []
    assert (made.ended(0), made.ended(0), len(made)) == (["a"], [], 0)


def test_camera_falls_silent_then_its_chain_is_given_up_after_a_while() -> None:
    made = chains()
    announce(made, "a", 1, [0, 1])
    made.take(0, 9, at(0))
    made.take(0, 9, at(9))
    assert len(made) == 1
    made.take(0, 9, at(11))
    assert made.ended(0) == ["a"]


class AnyChains(RuleBasedStateMachine):
    """Headers come with gaps and new groups, the decoder takes and loses; what it gets it can always decode."""

    def __init__(self) -> None:
        super().__init__()
        self.made = chains(chains_max=2)
        self.now = 0.0
        self.sequence = dict.fromkeys("abc", 0)
        self.chain: dict[str, int] = {}
        self.held: dict[str, FrameHeader] = {}
        self.announced = 0
        self.taken = 0
        self.ordinary = 0

    @rule(source=st.sampled_from("abc"), key=st.booleans(), count=st.integers(1, 6), gap=st.booleans())
    def pictures_come(self, source: str, key: bool, count: int, gap: bool) -> None:
        if gap:
            self.sequence[source] += 1
            self.chain[source] = self.chain.get(source, 0) + 1
        for _ in range(count):
            self.sequence[source] += 1
            self.chain[source] = 0 if key or source not in self.chain else self.chain[source] + 1
            key = False
            self.announced += 1
            picture = link(source, self.sequence[source], self.chain[source], self.now)
            if not self.made.announce(picture, at(self.now)):
                assert picture.key
                self.ordinary += 1

    @rule(limit=st.integers(1, 9))
    def decoder_takes(self, limit: int) -> None:
        headers = self.made.take(0, limit, at(self.now))
        assert len(headers) <= limit
        self.taken += len(headers)
        for each in headers:
            before = self.held.get(each.source_id)
            if not each.key:
                assert before is not None
                assert (each.sequence, each.chain) == (before.sequence + 1, before.chain + 1)
            self.held[each.source_id] = each
        for source in self.made.ended(0):
            self.held.pop(source, None)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def decoder_loses_a_chain(self, data: st.DataObject) -> None:
        source = data.draw(st.sampled_from(sorted(self.held)))
        self.made.break_off(source, "crash")
        self.held.pop(source)

    @rule(seconds=st.sampled_from([0.1, 5.0, 21.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds

    @rule(source=st.sampled_from("abc"))
    def promotion_ends(self, source: str) -> None:
        self.made.ordinary(source)

    @invariant()
    def every_picture_is_accounted_for(self) -> None:
        waiting = self.announced - self.taken - self.ordinary - sum(self.made.dropped.values())
        assert 0 <= waiting <= 2 * WAITING_MAX
        assert len(self.made) <= 2
        if not any(self.made.waits(each) for each in "abc"):
            assert waiting == 0


TestAnyChains = AnyChains.TestCase
TestAnyChains.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
