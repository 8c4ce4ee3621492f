from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.evaluate.counting import THRESHOLDS, best_threshold, compare, countable, summarise, true_count
from models.train.pictures import Picture
from models.train.sets import SETS

ROOT = Path(__file__).parents[2]


def test_threshold_with_the_smallest_error_is_chosen() -> None:
    table = np.full((2, len(THRESHOLDS)), 9.0)
    table[:, 20] = (3, 1)
    assert best_threshold(table, np.array([3.0, 2.0])) == pytest.approx(THRESHOLDS[20])


def test_of_equal_thresholds_the_highest_is_chosen() -> None:
    table = np.zeros((1, len(THRESHOLDS)))
    assert best_threshold(table, np.array([1.0])) == pytest.approx(THRESHOLDS[-1])


def test_error_bias_and_bands() -> None:
    result = summarise("m", 0.4, np.array([1.0, -2.0, -3.0]), np.array([2.0, 5.0, 8.0]))
    assert result.mean_absolute_error == pytest.approx(2.0)
    assert result.bias == pytest.approx(-4 / 3)
    assert result.by_band == {"0-5": (2, 1.5, -0.5), "6-20": (1, 3.0, -3.0)}


def test_sets_with_group_boxes_are_not_counted_and_riders_are() -> None:
    boxes = np.array([[0, 0, 0, 1, 1], [3, 0, 0, 1, 1]], dtype=np.float32)
    none = np.zeros((0, 4), dtype=np.float32)
    pictures = {spec.name: Picture(spec, Path("x.jpg"), boxes, none, riders=1) for spec in SETS}
    kept = {picture.spec.name for picture in countable(list(pictures.values()))}
    assert kept == {"highway_object_v40", "trapedesveh", "person_capston2_v11", "coco128"}
    assert true_count(pictures["trapedesveh"]) == 2


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_people_are_counted_no_worse_than_by_yolox_nano(data_dir: Path) -> None:
    own, coco = compare(ROOT / "models" / "county-nano", data_dir)
    print(own)
    print(coco)
    assert own.pictures == coco.pictures >= 60
    assert own.mean_absolute_error <= coco.mean_absolute_error
