from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from models.train.pictures import read_set
from models.train.run import group_names
from models.train.scenes import Plan, label_lines, write_scenes
from models.train.sets import CLASSES, SCENES


@dataclass(frozen=True)
class Thing:
    cls: int
    x1: float
    y1: float
    x2: float
    y2: float
    visible: float


PERSON = Thing(0, 10, 10, 20, 40, 1.0)


def test_what_is_seen_is_labelled_in_yolo_form() -> None:
    assert label_lines([PERSON], 100, 50) == ["0 0.150000 0.500000 0.100000 0.600000\n"]


@pytest.mark.parametrize("thing", [Thing(0, 10, 10, 20, 40, 0.2), Thing(0, 10, 10, 12, 14, 1.0)])
def test_hidden_or_tiny_things_are_ignored(thing: Thing) -> None:
    assert label_lines([thing], 100, 50)[0].startswith(f"{len(CLASSES)} ")


def test_what_cannot_be_seen_is_left_out() -> None:
    assert label_lines([Thing(0, 10, 10, 20, 40, 0.02)], 100, 50) == []


def test_written_scenes_are_read_back_as_a_set(tmp_path: Path) -> None:
    asked: list[tuple[str, int, bool, float]] = []

    def make(kind: str, seed: int, night: bool, onset_s: float):  # type: ignore[no-untyped-def]
        asked.append((kind, seed, night, onset_s))
        return lambda t_s: (np.full((50, 100, 3), int(t_s), np.uint8), [PERSON])

    plans = (Plan("quiet", 2, 3, 0.0, 100.0),)
    assert write_scenes(make, tmp_path, seed=4, plans=plans) == 6
    pictures = read_set(tmp_path, SCENES)
    assert len(pictures) == 6
    assert len(set(group_names(pictures))) == len(asked) == 2
    assert pictures[0].boxes[0].tolist() == pytest.approx([0, 0.1, 0.2, 0.2, 0.8])
