from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.frame import Codec, Frame, FrameHeader
from contracts.instant import SECOND, Instant
from ingest.ring import PICTURE_OVERHEAD_BYTES, PictureRing

T0 = Instant(1_800_000_000 * SECOND)
EACH = PICTURE_OVERHEAD_BYTES


def frame(source: str, at_s: float, size: int = 100, chain: int = 0) -> Frame:
    at = Instant(T0 + round(at_s * SECOND))
    header = FrameHeader(
        source_id=source,
        sequence=1,
        event_time=at,
        arrival_time=at,
        codec=Codec.H264,
        size=size,
        key=chain == 0,
        chain=chain,
    )
    return Frame(header=header, data=bytes(size))


def test_key_pictures_of_the_window_are_given_back_in_order_and_older_ones_are_gone() -> None:
    ring = PictureRing(100_000, 30 * SECOND)
    for second in range(0, 60, 2):
        ring.keep(frame("a", second))
    found = ring.history("a", T0, Instant(T0 + 100 * SECOND), 100)
    assert [(each.header.event_time - T0) // SECOND for each in found] == list(range(28, 60, 2))
    assert len(ring) == 16
    assert ring.size_bytes == 16 * (100 + EACH)
    assert ring.evicted == 0


def test_history_is_thinned_out_evenly_to_what_was_asked_for() -> None:
    ring = PictureRing(100_000, 60 * SECOND)
    for second in range(20):
        ring.keep(frame("a", second))
    found = ring.history("a", T0, Instant(T0 + 100 * SECOND), 5)
    assert [(each.header.event_time - T0) // SECOND for each in found] == [0, 4, 8, 12, 16]
    assert ring.history("b", T0, Instant(T0 + 100 * SECOND), 5) == []
    assert ring.history("a", Instant(T0 + 3 * SECOND), Instant(T0 + 4 * SECOND), 5) == [
        frame("a", 3),
        frame("a", 4),
    ]


def test_open_group_is_whole_or_nothing() -> None:
    ring = PictureRing(100_000, 60 * SECOND)
    ring.keep(frame("a", 0))
    ring.keep(frame("a", 0.04, chain=1))
    ring.keep(frame("a", 0.08, chain=2))
    assert [each.header.chain for each in ring.open_group("a", 2)] == [0, 1, 2]
    assert ring.open_group("a", 3) == [], "a picture that came is not kept"
    ring.keep(frame("a", 0.16, chain=4))
    assert ring.open_group("a", 4) == [], "one is missing in the middle"
    assert ring.open_group("b", 0) == []
    ring.keep(frame("a", 2))
    assert [each.header.chain for each in ring.open_group("a", 0)] == [0]
    assert len(ring) == 2, "of the closed group the key picture alone stays"


def test_budget_takes_the_oldest_picture_of_all_cameras() -> None:
    ring = PictureRing(6 * (100 + EACH), 60 * SECOND)
    for second in range(6):
        ring.keep(frame("a", second, 100))
    ring.keep(frame("big", 6, 3 * (100 + EACH)))
    assert ring.size_bytes <= ring.budget_bytes
    assert ring.evicted == 4
    assert len(ring.history("a", T0, Instant(T0 + 60 * SECOND), 100)) == 2
    ring.keep(frame("huge", 7, ring.budget_bytes))
    assert ring.evicted == 5
    assert ring.history("huge", T0, Instant(T0 + 60 * SECOND), 100) == []


def test_camera_that_sends_nothing_any_more_leaves_the_ring() -> None:
    ring = PictureRing(10_000, 10 * SECOND)
    ring.keep(frame("a", 0))
    ring.keep(frame("b", 8))
    ring.expire(Instant(T0 + 12 * SECOND))
    assert (len(ring), ring.size_bytes) == (1, 100 + EACH)
    ring.forget("b")
    assert (len(ring), ring.size_bytes) == (0, 0)


def test_county_of_suspects_is_watched_as_far_as_the_bound_goes() -> None:
    ring = PictureRing(1000, 10 * SECOND, suspects_max=2)
    assert [ring.watch(name, True) for name in "abca"] == [True, True, False, True]
    assert not ring.watch("a", False)
    assert ring.watch("c", True)
    ring.forget("b")
    assert ring.watch("a", True)


def test_senseless_bounds_are_refused() -> None:
    with pytest.raises(ValueError, match="budget"):
        PictureRing(-1, SECOND)
    with pytest.raises(ValueError, match="window"):
        PictureRing(1, 0)


KEEPS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 400), st.integers(0, 9)), max_size=80
)


@settings(max_examples=200, deadline=None)
@given(KEEPS)
def test_budget_and_sums_hold_whatever_comes(keeps: list[tuple[str, int, int, int]]) -> None:
    ring = PictureRing(1000 + 6 * EACH, 20 * SECOND)
    now = 0
    for source, chain, size, wait in keeps:
        now += wait
        if chain == 3 and wait == 9:
            ring.forget(source)
        elif chain == 3 and wait == 8:
            ring.expire(Instant(T0 + now * SECOND))
        else:
            ring.keep(frame(source, now, size, chain))
        held = [kept for name in "abc" for kept in ring.history(name, T0, Instant(T0 + 10_000 * SECOND), 1000)]
        assert ring.size_bytes <= ring.budget_bytes
        assert sum(len(each.data) for each in held) <= ring.size_bytes - len(ring) * EACH
    for name in "abc":
        ring.forget(name)
    assert (ring.size_bytes, len(ring)) == (0, 0)


@pytest.mark.parametrize("size", [60, 300, 20_000])
def test_memory_of_many_cameras_stays_within_the_budget_however_small_their_pictures_are(size: int) -> None:
    """Measured by the interpreter: forty suspects whose every picture is collected, far beyond the budget."""
    budget = 4 << 20
    tracemalloc.start()
    try:
        ring = PictureRing(budget, 3600 * SECOND)
        before, _ = tracemalloc.get_traced_memory()
        for number in range(12_000):
            turn, camera = divmod(number, 40)
            ring.keep(frame(f"camera {camera}", number / 1000, size, chain=turn))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert budget // 2 < ring.size_bytes <= budget
    assert ring.evicted > 0
    assert held - before <= budget * 1.1
