from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.evaluate.average_precision import Judged
from models.evaluate.judge import Looked, judge_picture, picture_rates
from models.evaluate.thresholds import choose, false_picture_score
from models.train.pictures import Picture
from models.train.sets import CLASS_INDEX, CLASSES, SETS

SPEC = next(spec for spec in SETS if spec.name == "coco128")
NO_BOXES = np.zeros((0, 5), np.float32)
NO_REGIONS = np.zeros((0, 4), np.float32)


def seen(name: str, score: float, *, there: bool) -> Looked:
    found = np.array([[CLASS_INDEX[name], score, 0, 0, 10, 10]], dtype=np.float32)
    boxes = np.array([[CLASS_INDEX[name], 0, 0, 0.1, 0.1]], dtype=np.float32) if there else NO_BOXES
    picture = Picture(SPEC, Path("x.jpg"), boxes, NO_REGIONS)
    return Looked(picture, found, judge_picture(picture, found, 100, 100))


def test_one_false_picture_in_a_hundred_is_allowed() -> None:
    looked = [seen("fire", 0.9, there=False), seen("fire", 0.5, there=False)]
    looked += [seen("fire", 0.1, there=False) for _ in range(98)]
    score = false_picture_score(looked, "fire")
    assert picture_rates(looked, "fire", score) == (0, 0, 100, 1)
    assert 0.5 < score < 0.51


def test_fire_threshold_keeps_the_false_pictures_out_even_where_f1_wants_less() -> None:
    looked = [seen("fire", 0.6, there=False) for _ in range(5)] + [
        seen("fire", 0.4, there=True) for _ in range(20)
    ]
    assert choose(looked, person=0.3)["fire"] == pytest.approx(0.61)


def test_person_threshold_is_that_of_the_counting_rule() -> None:
    assert choose([seen("person", 0.8, there=True)], person=0.37)["person"] == pytest.approx(0.37)


def test_class_with_too_few_boxes_gets_the_stated_default() -> None:
    assert choose([seen("bicycle", 0.8, there=True)] * 49, person=0.3)["bicycle"] == pytest.approx(0.30)
    assert choose([seen("bicycle", 0.8, there=True)] * 50, person=0.3)["bicycle"] == pytest.approx(0.80, abs=0.011)


def test_every_class_gets_a_threshold_within_the_bounds() -> None:
    chosen = choose([seen("car", 0.01, there=True)], person=0.3)
    assert set(chosen) == set(CLASSES)
    assert all(0.15 <= value <= 0.85 for value in chosen.values())


def test_class_that_a_set_does_not_label_is_not_judged() -> None:
    fire_set = next(spec for spec in SETS if spec.name == "fire_indoor_v10")
    picture = Picture(fire_set, Path("x.jpg"), NO_BOXES, NO_REGIONS)
    found = np.array([[CLASS_INDEX["person"], 0.9, 0, 0, 10, 10]], dtype=np.float32)
    judged = judge_picture(picture, found, 100, 100)
    assert list(judged) == ["fire"]
    assert isinstance(judged["fire"], Judged)
