from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference.detector import Detector as LiveDetector
from inference.registry import load_model
from models.evaluate.detect import iou
from models.evaluate.folder import read_folder
from sim.scenes import SceneKind, make_scene

COUNTY_NANO = Path(__file__).parents[2] / "models" / "county-nano"


@pytest.mark.parametrize("shape", [(360, 640), (360, 360), (331, 251)])
def test_judge_sees_what_the_live_detector_sees(shape: tuple[int, int]) -> None:
    """The judge has its own arithmetic; both must come to the same boxes and scores."""
    rendered, _ = make_scene(SceneKind.SQUARE_FILLING, 5, onset_s=0.0).render(150.0)
    left = (rendered.shape[1] - shape[1]) // 2
    picture = np.ascontiguousarray(rendered[: shape[0], left : left + shape[1]])
    folder = read_folder(COUNTY_NANO)
    (live,) = LiveDetector(load_model(COUNTY_NANO), floor=0.2).detect([picture])
    judged = folder.detector().detect(picture, folder.longer_side, floor=0.05, nms_iou=folder.nms_iou)
    strong = live[live.confidence >= 0.3]
    assert len(strong.confidence) > 3
    overlaps = iou(strong.xyxy, judged[:, 2:])
    for row, (confidence, class_id) in enumerate(zip(strong.confidence, strong.class_id, strict=True)):
        same = (judged[:, 0] == class_id) & (np.abs(judged[:, 1] - confidence) < 0.02) & (overlaps[row] > 0.9)
        assert same.any()
