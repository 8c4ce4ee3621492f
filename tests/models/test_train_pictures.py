from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from contracts.errors import SourceMissing
from models.train.pictures import parse_labels, read_set
from models.train.sets import CLASSES, DROP, IGNORE, RIDER, SETS, SetSpec

SPEC = SetSpec(
    "some_set", "CC0-1.0", "a test", {"man": "person", "van": IGNORE, "cyclist": RIDER}, frozenset({"person"})
)


def write_set(folder: Path, names: str, labels: str) -> None:
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    (folder / "classes.txt").write_text(names, encoding="utf-8")
    cv2.imwrite(str(folder / "images" / "train_7_jpg-a1b2c3.jpg"), np.zeros((20, 40, 3), np.uint8))
    (folder / "labels" / "train_7_jpg-a1b2c3.txt").write_text(labels, encoding="utf-8")


def test_labels_become_corners_clipped_to_the_picture() -> None:
    boxes, ignored = parse_labels(["0 0.5 0.5 0.2 0.4", "", "0 0.0 0.5 0.4 0.2"], ["person"])
    assert boxes.tolist() == [pytest.approx([0, 0.4, 0.3, 0.6, 0.7]), pytest.approx([0, 0.0, 0.4, 0.2, 0.6])]
    assert ignored.shape == (0, 4)


def test_ignored_dropped_and_empty_boxes_teach_nothing() -> None:
    lines = ["0 0.5 0.5 0.2 0.2", "1 0.5 0.5 1 1", "2 0.5 0.5 0 0.2"]
    boxes, ignored = parse_labels(lines, [IGNORE, DROP, "fire"])
    assert boxes.shape == (0, 5)
    assert ignored.tolist() == [pytest.approx([0.4, 0.4, 0.6, 0.6])]


def test_set_is_read_with_its_own_class_order(tmp_path: Path) -> None:
    write_set(
        tmp_path / "s", "van\ncyclist\nman\nsign\n", "2 .5 .5 .1 .1\n0 .2 .2 .1 .1\n1 .8 .8 .1 .1\n3 .5 .5 1 1\n"
    )
    (picture,) = read_set(tmp_path / "s", SPEC)
    assert picture.boxes[:, 0].tolist() == [CLASSES.index("person")]
    assert len(picture.ignored) == 2
    assert picture.riders == 1
    assert picture.bare_name == "7_jpg"
    assert picture.read().shape == (20, 40, 3)


def test_absent_set_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match="some_set"):
        read_set(tmp_path / "some_set", SPEC)


@pytest.mark.parametrize("spec", SETS, ids=lambda spec: spec.name)
def test_every_set_speaks_of_our_classes_only(spec: SetSpec) -> None:
    assert spec.labelled <= set(CLASSES)
    assert set(spec.meaning.values()) <= {*CLASSES, IGNORE, RIDER, DROP}
    assert {value for value in spec.meaning.values() if value in CLASSES} <= spec.labelled | {"truck"}
