from __future__ import annotations

import numpy as np
import pytest

from contracts.detection import Detections
from inference.detector import Detector
from inference.registry import load_model
from inference.shadow import Shadow, matches
from runtime.metrics import StageCounters
from sim.scenes import SceneKind, make_scene
from tests.inference.county import MODELS
from tests.inference.pictures import Bgr, at, found, picture, textured

LIVE = Detector(load_model(MODELS / "county-nano", {}), floor=0.05)
BOLD = Detector(load_model(MODELS / "county-nano", {"person": 0.05, "fire": 0.05}), floor=0.05)


@pytest.fixture(scope="module")
def square() -> Bgr:
    return make_scene(SceneKind.SQUARE_FILLING, 9200, onset_s=10.0).render(90.0)[0]


def counted(counters: StageCounters) -> dict[str, int]:
    report = counters.report("t", "inference-0", at(0), at(0))
    return {name: n for name, n in report.counters if name.startswith("shadow")}


def test_same_model_agrees_with_itself(square: Bgr) -> None:
    counters = StageCounters("inference")
    shadow = Shadow(LIVE, LIVE, 1.0, counters)
    shadow.look(picture(square, at(0)), LIVE.detect([square])[0], behind=False)
    told = counted(counters)
    assert told["shadow_pictures"] == 1
    assert told["shadow_both:person"] >= 10
    assert not any("only" in name or "disagrees" in name for name in told)


def test_bolder_model_is_counted_as_finding_more(square: Bgr) -> None:
    counters = StageCounters("inference")
    Shadow(LIVE, BOLD, 1.0, counters).look(picture(square, at(0)), LIVE.detect([square])[0], behind=False)
    told = counted(counters)
    assert told["shadow_shadow_only:person"] >= 1
    assert "shadow_live_only:person" not in told


def test_share_is_kept_and_the_same_picture_is_always_chosen_or_never() -> None:
    shadow = Shadow(LIVE, LIVE, 0.2, StageCounters("inference"))
    shots = [picture(textured(8, 8), at(float(n))) for n in range(1000)]
    chosen = [shadow.chosen(each) for each in shots]
    assert 150 <= sum(chosen) <= 250
    assert chosen == [shadow.chosen(each) for each in shots]


def test_nothing_is_compared_while_pictures_wait(square: Bgr) -> None:
    counters = StageCounters("inference")
    Shadow(LIVE, LIVE, 1.0, counters).look(picture(square, at(0)), Detections.empty(), behind=True)
    assert counted(counters) == {"shadow_shed": 1}


def test_each_finding_is_matched_once() -> None:
    left = found(("person", 0.9, (0, 0, 10, 20)), ("person", 0.8, (1, 0, 11, 20)))
    right = found(("person", 0.9, (0, 0, 10, 20)))
    assert matches(left, right) == 1
    assert matches(left, left) == 2
    assert matches(left, found()) == 0
    assert matches(left, found(("person", 0.9, (50, 0, 60, 20)))) == 0
    assert np.array_equal(left.xyxy[0], [0, 0, 10, 20])
