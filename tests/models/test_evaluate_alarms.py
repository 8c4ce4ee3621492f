from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contracts.errors import SourceMissing
from models.evaluate.alarms import HARD, best_scores, folder_scores, threshold_for
from models.evaluate.average_precision import judge
from models.evaluate.folder import read_folder
from models.evaluate.judge import Looked
from models.train.pictures import Picture
from models.train.sets import CLASS_INDEX, SETS

MODEL = Path(__file__).resolve().parents[2] / "models" / "county-nano"
FIRE = CLASS_INDEX["fire"]


def test_threshold_lets_one_negative_in_a_hundred_pass_and_no_more() -> None:
    scores = np.linspace(0.0, 0.5, 200)
    threshold = threshold_for(scores)
    assert (scores >= threshold).sum() == 2
    assert threshold_for(np.full(50, 0.4)) > 0.4, "fewer than a hundred: none may pass"
    assert threshold_for(np.empty(0)) == 0.0


def looked(set_name: str, score: float, *, shows: bool) -> Looked:
    spec = next(each for each in SETS if each.name == set_name)
    box = np.array([[FIRE, 0.1, 0.1, 0.5, 0.5]] if shows else np.empty((0, 5)), np.float32)
    found = np.array([[FIRE, score, 1, 1, 5, 5]], np.float32)
    nothing = np.empty((0, 4), np.float32)
    truth = box[:, 1:] * 10
    judged = {name: judge(found[:, 1:] if name == "fire" else found[:0, 1:], truth, nothing) for name in ("fire",)}
    return Looked(Picture(spec, Path("x.jpg"), box, nothing), found, judged)


def test_hard_negatives_of_the_validation_groups_are_those_of_the_fire_sets_alone() -> None:
    shown, clear = best_scores(
        [
            looked("fire_cctv_v8", 0.9, shows=True),
            looked("fire_cctv_v8", 0.2, shows=False),
            looked("atl_traffic_v12", 0.7, shows=False),
        ],
        "fire",
    )
    assert shown == pytest.approx([0.9])
    assert clear == pytest.approx([0.2])


def test_absent_folder_is_refused_in_words(tmp_path: Path) -> None:
    folder = read_folder(MODEL)
    with pytest.raises(SourceMissing, match="restore the data folder"):
        folder_scores(folder.detector(), tmp_path / "absent", 416, nms_iou=0.5)


@pytest.mark.data
def test_shipped_thresholds_are_quiet_on_warm_rooms_and_sunsets(data_dir: Path) -> None:
    folder = read_folder(MODEL)
    warm = data_dir / HARD["cair_normal"]
    scores = folder_scores(folder.detector(), warm, folder.longer_side, nms_iou=folder.nms_iou)
    assert (scores["fire"] >= folder.thresholds["fire"]).mean() <= 0.05
