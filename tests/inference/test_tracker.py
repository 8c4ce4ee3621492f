from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from contracts.class_names import CLASS_NAMES
from inference.tracker import MISSED_MAX_S, Tracker, generalised_iou
from tests.inference.pictures import at

CAR, BUS = CLASS_NAMES.index("car"), CLASS_NAMES.index("bus")
Box = tuple[float, float, float, float]


def look(tracker: Tracker, t_s: float, *boxes: Box, sure: bool = True, class_id: int = CAR) -> None:
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    count = len(boxes)
    tracker.look(at(t_s), xyxy, np.full(count, class_id, np.int16), np.full(count, sure))


def car(x: float, y: float = 100.0) -> Box:
    return x, y, x + 60, y + 40


def test_two_vehicles_that_meet_keep_their_tracks() -> None:
    tracker = Tracker()
    for n in range(20):
        look(tracker, n * 0.12, car(20 + 20 * n, 100), car(420 - 20 * n, 128))
    assert len(tracker.tracks) == 2
    ends = sorted(float(track.boxes[-1][0]) for track in tracker.tracks)
    starts = {float(track.boxes[-1][0]): float(track.boxes[0][0]) for track in tracker.tracks}
    assert ends == [40.0, 400.0]
    assert starts == {40.0: 420.0, 400.0: 20.0}


def test_fast_vehicle_that_never_overlaps_itself_is_one_track() -> None:
    tracker = Tracker()
    for n in range(8):
        look(tracker, n * 0.12, car(10 + 75 * n))
    assert [len(track.times) for track in tracker.tracks] == [8]


def test_weak_finding_keeps_a_track_and_never_begins_one() -> None:
    tracker = Tracker()
    look(tracker, 0, car(10), sure=False)
    assert tracker.tracks == []
    look(tracker, 0.1, car(12))
    look(tracker, 0.2, car(14), sure=False)
    assert [(len(track.times), track.sure) for track in tracker.tracks] == [(2, 1)]


def test_vehicle_hidden_for_a_moment_is_found_where_it_should_be_and_for_longer_it_is_another() -> None:
    tracker = Tracker()
    for n in range(6):
        look(tracker, n * 0.12, car(10 + 20 * n))
    look(tracker, 0.72)
    look(tracker, 0.84)
    look(tracker, 0.96, car(10 + 160))
    assert [len(track.times) for track in tracker.tracks] == [7]
    look(tracker, 0.96 + MISSED_MAX_S + 0.1)
    assert tracker.tracks == []
    assert [len(track.times) for track in tracker.ended] == [7]


def test_large_box_in_the_same_place_is_no_continuation_of_a_small_one() -> None:
    tracker = Tracker()
    look(tracker, 0, car(100))
    look(tracker, 0.12, (70.0, 60.0, 200.0, 190.0), class_id=BUS)
    assert [len(track.times) for track in tracker.tracks] == [1, 1]


BOX = st.tuples(*[st.floats(0, 500, width=32)] * 2, *[st.floats(1, 200, width=32)] * 2)


@given(st.lists(BOX, min_size=1, max_size=6))
def test_generalised_iou_lies_in_its_range_is_symmetric_and_one_with_itself(
    made: list[tuple[float, float, float, float]],
) -> None:
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in made], np.float32)
    alike = generalised_iou(boxes, boxes)
    assert ((alike > -1) & (alike <= 1 + 1e-6)).all()
    assert np.allclose(alike, alike.T)
    assert np.allclose(np.diag(alike), 1, atol=1e-4)
