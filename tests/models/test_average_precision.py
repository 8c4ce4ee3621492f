from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluate.average_precision import Curve, Judged, area_under_envelope, curve, inside_any, judge

BOX = [10.0, 10.0, 20.0, 20.0]
FAR = [60.0, 60.0, 80.0, 80.0]
NONE = np.zeros((0, 4), dtype=np.float32)


def table(*rows: list[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(rows, dtype=np.float32)


def judged(scores: list[float], true: list[bool], boxes: int) -> Judged:
    return Judged(np.array(scores, dtype=np.float32), np.array(true, dtype=np.bool_), boxes)


def test_every_box_found_first_gives_one() -> None:
    result = curve([judge(table([0.9, *BOX], [0.8, *FAR]), table(BOX, FAR), NONE)])
    assert result.average_precision == pytest.approx(1.0)


def test_second_detection_of_the_same_box_is_false() -> None:
    result = judge(table([0.9, *BOX], [0.8, *BOX]), table(BOX), NONE)
    assert result.true.tolist() == [True, False]


def test_better_score_takes_the_box_whatever_the_order_given() -> None:
    result = judge(table([0.3, *BOX], [0.7, *BOX]), table(BOX), NONE)
    assert result.scores.tolist() == pytest.approx([0.7, 0.3])
    assert result.true.tolist() == [True, False]


def test_overlap_under_one_half_is_false() -> None:
    # 10 x 10 boxes shifted by 4: 60 shared of 140, IoU 0.43.
    result = judge(table([0.9, 14.0, 10.0, 24.0, 20.0]), table(BOX), NONE)
    assert result.true.tolist() == [False]


def test_detection_in_an_ignored_region_counts_neither_way() -> None:
    result = judge(table([0.9, *FAR], [0.5, *BOX]), table(BOX), table([50.0, 50.0, 90.0, 90.0]))
    assert result.scores.tolist() == [0.5]


def test_hand_computed_curve() -> None:
    # T F T F with 4 boxes: precision 1, 1/2, 2/3, 1/2; recall 1/4, 1/4, 1/2, 1/2.
    # Envelope: 1 up to recall 1/4, 2/3 up to 1/2, then nothing: 1/4 + 1/6 = 5/12.
    result = curve([judged([0.9, 0.8, 0.7, 0.6], [True, False, True, False], 4)])
    assert result.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3, 1 / 2])
    assert result.recall.tolist() == pytest.approx([1 / 4, 1 / 4, 1 / 2, 1 / 2])
    assert result.average_precision == pytest.approx(5 / 12)


def test_false_detection_above_the_true_one_halves_it() -> None:
    assert curve([judged([0.9, 0.8], [False, True], 1)]).average_precision == pytest.approx(0.5)


def test_pictures_are_joined_by_score() -> None:
    result = curve([judged([0.4], [False], 0), judged([0.9], [True], 1)])
    assert result.average_precision == pytest.approx(1.0)


def test_nothing_found_gives_zero_and_nothing_to_find_gives_nan() -> None:
    assert curve([judged([], [], 3)]).average_precision == 0.0
    assert math.isnan(curve([judged([0.5], [False], 0)]).average_precision)
    assert curve([judged([], [], 3)]).best_f1() == (1.0, 0.0)


def test_threshold_reads_the_curve() -> None:
    result = curve([judged([0.9, 0.8, 0.7, 0.6], [True, False, True, False], 4)])
    assert list(result.at(0.7)) == pytest.approx([2 / 3, 0.5])
    assert result.at(0.95) == (1.0, 0.0)
    score, f1 = result.best_f1()
    assert [score, f1] == pytest.approx([0.7, 4 / 7])


def test_inside_needs_half_of_the_box() -> None:
    boxes = table([0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 10.1])
    assert inside_any(boxes, table([0.0, 0.0, 10.0, 5.0])).tolist() == [True, False]


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 40))
def test_area_stays_between_zero_and_one(true: list[bool], extra: int) -> None:
    scores = list(np.linspace(0.99, 0.1, len(true)))
    result = curve([judged(scores, true, sum(true) + extra - 1 or 1)])
    assert 0.0 <= result.average_precision <= 1.0


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_a_false_detection_below_all_others_changes_nothing(true: list[bool]) -> None:
    boxes = max(sum(true), 1)
    scores = list(np.linspace(0.9, 0.2, len(true)))
    before = curve([judged(scores, true, boxes)]).average_precision
    after = curve([judged([*scores, 0.1], [*true, False], boxes)]).average_precision
    assert after == pytest.approx(before)


def test_empty_curve_has_no_area() -> None:
    empty = np.zeros(0, dtype=np.float32)
    assert area_under_envelope(empty, empty) == 0.0
    assert Curve(empty, empty, empty, 2).at(0.5) == (1.0, 0.0)
